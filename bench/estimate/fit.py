"""Fit one figure of one kind of hardware, and measure the fit on groups it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from bench.estimate.layers import element_coefficients
from bench.estimate.pieces import by_rule, is_element, region_of, terms_of
from bench.estimate.tables import Sample
from qapflow.estimate.calibration import Forest, Model
from qapflow.estimate.elements import Elements
from qapflow.estimate.interval import SMOOTH
from qapflow.estimate.terms import shape

FITTED = ("lut", "ff")
RULES = ("dsp", "bram18", "latency_cycles", "ii_cycles")
ENOUGH_FOR_TREES = 200  # rows; with fewer, the terms alone
FEW_GROUPS, FEW = 3, (0.6, 1.6)  # with fewer groups the interval is at least this wide: judged
LEVELS = (0.05, 0.95)
HUBER = 0.1  # relative errors beyond this count linearly, not squared
PULL = 0.02  # weight of a prior beside a row's 1
PRIOR = {  # LUT and FF a bit (or DSP) of csynth's own tables of expressions and registers
    "bits of adders": 0.8,
    "bits of constants": 1.4,
    "bits of negated inputs": 1.0,
    "bits of sums": 0.1,
    "bits of sums a cycle": 0.15,
    "bits of inputs": 0.5,
    "dsp": 4.0,
    "bits of registers": 2.2,
    "bits of multiplexers": 0.5,
    "bits of lanes": 2.0,
    "bits of products": 1.0,
}
DIGITS = 6  # of every number in the file
Floats = NDArray[np.float64]


def fit(samples: Sequence[Sample], figure: str, pool: Sequence[Sample]) -> Model:
    """Return the model of a figure, with quantiles and errors from left-out groups.

    `pool` are the samples whose formula shares coefficients with that of `samples`.
    """
    first = samples[0].module
    truth = np.array([s.truth[figure] for s in samples])
    groups = [s.group for s in samples]
    held = predict_held_out(samples, figure, pool)
    logs = residuals(truth, held, figure)
    low, high = quantiles(logs, groups)
    model = Model(
        first.kind,
        first.tool,
        first.family,
        "csynth",
        figure,
        low=rounded(np.exp(low)),
        high=rounded(np.exp(high)),
        rows=len(samples),
        groups=len(set(groups)),
        region=_region(samples),
        errors=errors_of(truth, held, groups, figure),
    )
    if figure in RULES:
        return model
    # What an element takes was read off these rows themselves: no row is wholly left out.
    if model.groups < FEW_GROUPS or is_element(model.kind):
        model = replace(model, low=min(model.low, FEW[0]), high=max(model.high, FEW[1]))
    every = _coefficients(pool, figure)
    own = {name for s in samples for name in terms_of(s.module, figure)}
    coefficients = {name: value for name, value in every.items() if name in own}
    return replace(model, coefficients=coefficients, forest=_forest(samples, figure, coefficients))


def predict_held_out(samples: Sequence[Sample], figure: str, pool: Sequence[Sample]) -> Floats:
    """Return predictions [rows], each by a fit without the sample's group."""
    if figure in RULES:
        return np.array([by_rule(s.module, figure) for s in samples])
    groups = np.array([s.group for s in samples])
    names = sorted(set(groups))
    folds = max(2, min(len(names), 12))
    predicted = np.zeros(len(samples))
    for fold in range(folds):
        out = np.isin(groups, names[fold::folds])
        known = [s for s in pool if s.group not in names[fold::folds]]
        own = [s for s, is_out in zip(samples, out, strict=True) if not is_out]
        # Without any other group there are only the errors of the fit itself.
        coefficients = _coefficients(known or pool, figure)
        forest = _forest(own, figure, coefficients)
        model = Model("", "", "", "", "", 1, 1, 0, 0, coefficients, forest)
        for place in np.flatnonzero(out):
            module = samples[place].module
            row = shape(module) if forest else ()
            predicted[place] = model.evaluate(terms_of(module, figure), row)
    return predicted


def _coefficients(samples: Sequence[Sample], figure: str) -> dict[str, float]:
    """Fit non-negative coefficients to relative errors, less to rows far off (Huber's weights)."""
    if samples and isinstance(samples[0].module, Elements):
        return element_coefficients(samples, figure)
    used = [s for s in samples if s.truth[figure] > 0]
    if not used:
        return {}
    rows = [terms_of(s.module, figure) for s in used]
    names = sorted({name for row in rows for name in row})
    matrix = np.array([[row.get(n, 0.0) for n in names] for row in rows])
    truth = np.array([s.truth[figure] for s in used])
    sizes = {s.group: 0 for s in used}
    for s in used:
        sizes[s.group] += 1
    share = np.array([sizes[s.group] ** -0.5 for s in used])
    scaled, ones = matrix / truth[:, None], np.ones(len(used))
    # A weak pull towards what the terms mean keeps coefficients that few rows tell in place.
    prior = [PRIOR.get(name.partition(",")[0], 0.0) for name in names]
    pull = np.diag([1 / c if c else 0.0 for c in prior])
    targets = np.concatenate([ones, [float(c > 0) for c in prior]])
    scaled = np.vstack([scaled, pull])
    weight = share
    line = LinearRegression(fit_intercept=False, positive=True)
    for _ in range(12):
        line.fit(scaled, targets, sample_weight=np.append(weight, np.full(len(names), PULL)))
        error = np.abs(scaled[: len(used)] @ line.coef_ - 1)
        weight = share / np.maximum(error / HUBER, 1.0)
    return {n: rounded(c) for n, c in zip(names, line.coef_, strict=True) if c > 1e-9}


def _forest(
    samples: Sequence[Sample], figure: str, coefficients: dict[str, float]
) -> Forest | None:
    used = [s for s in samples if s.truth[figure] > 0]
    if len(used) < ENOUGH_FOR_TREES:
        return None
    model = Model("", "", "", "", "", 1, 1, 0, 0, coefficients)
    base = np.array([model.evaluate(terms_of(s.module, figure)) for s in used])
    logs = np.log(np.array([s.truth[figure] for s in used]) / base)
    columns = np.array([shape(s.module) for s in used], np.float32)
    grown = GradientBoostingRegressor(
        n_estimators=120, max_depth=4, learning_rate=0.12, random_state=0, min_samples_leaf=3
    )
    grown.fit(columns, logs)
    trees = [tree.tree_ for tree in grown.estimators_[:, 0]]
    return Forest(
        feature=tuple(tuple(int(f) if f >= 0 else -1 for f in t.feature) for t in trees),
        threshold=tuple(tuple(rounded(x) for x in t.threshold) for t in trees),
        left=tuple(tuple(map(int, t.children_left)) for t in trees),
        right=tuple(tuple(map(int, t.children_right)) for t in trees),
        value=tuple(tuple(rounded(0.12 * v[0][0]) for v in t.value) for t in trees),
        start=rounded(logs.mean()),
    )


def residuals(truth: Floats, predicted: Floats, figure: str) -> Floats:
    """Return logarithms of report / estimate, `SMOOTH` added to both so that zeros count."""
    added = SMOOTH.get(figure, 1.0)
    return np.log((truth + added) / (np.maximum(predicted, 0) + added))


def quantiles(logs: Floats, groups: Sequence[str]) -> tuple[float, float]:
    """Return the ends of a 90 % interval for the next group: every group counts the same.

    Few groups say little of the next: the ends move out by 1.5 / groups of their size, and an
    interval always holds the estimate itself.
    """
    sizes = {g: groups.count(g) for g in set(groups)}
    order = np.argsort(logs, kind="stable")
    weight = np.array([1 / sizes[groups[k]] for k in order])
    heap = (np.cumsum(weight) - weight / 2) / weight.sum()
    low, high = (float(np.interp(level, heap, logs[order])) for level in LEVELS)
    wider = 1 + 1.5 / len(sizes)
    return min(low * wider, 0.0), max(high * wider, 0.0)


def coverage(logs: Floats, groups: Sequence[str]) -> float:
    """Return how often an interval from the other groups holds a group's rows."""
    names = sorted(set(groups))
    if len(names) < 2:
        return float("nan")
    marks = np.array(groups)
    inside = np.zeros(len(logs), bool)
    for name in names:
        out = marks == name
        rest = [g for g in groups if g != name]
        low, high = quantiles(logs[~out], rest)
        inside[out] = (logs[out] >= low - 1e-9) & (logs[out] <= high + 1e-9)
    return float(inside.mean())


def errors_of(truth: Floats, held: Floats, groups: Sequence[str], figure: str) -> dict[str, float]:
    """Return the cross-validated errors: relative (with one added), bias, exact share, coverage."""
    logs = residuals(truth, held, figure)
    error = np.abs(np.round(held) - truth) / np.maximum(truth, 1)
    found = {
        "median": float(np.median(error)),
        "p90": float(np.quantile(error, 0.9)),
        "bias": float(np.exp(-np.median(logs)) - 1),
        "exact": float(np.mean(np.round(held) == truth)),
        "coverage": coverage(logs, groups),
    }
    return {name: rounded(value) for name, value in found.items() if np.isfinite(value)}


def _region(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    rows = [region_of(s.module) for s in samples]
    return {
        name: (rounded(min(r[name] for r in rows)), rounded(max(r[name] for r in rows)))
        for name in rows[0]
    }


def rounded(value: float) -> float:
    """Return a number with `DIGITS` significant digits: the same file on every machine."""
    return float(f"{float(value):.{DIGITS}g}")
