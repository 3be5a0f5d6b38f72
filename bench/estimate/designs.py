"""Whole designs with figures of two stages: what logic synthesis made of csynth's figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.estimate.fit import coverage, quantiles, residuals, rounded
from bench.estimate.tables import number, read_rows, tool_of
from qapflow.estimate.calibration import Model
from qapflow.estimate.interval import CSYNTH, POST_SYNTH
from qapflow.estimate.stages import WHOLE

COLUMNS = {"lut": "vs_LUT", "ff": "vs_FF", "dsp": "vs_DSP", "bram18": "vs_BRAM36"}
CSYNTH_COLUMNS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM"}
LEAST_LUT = 1000.0  # smaller designs are adders or tests, no networks


@dataclass(frozen=True)
class Pair:
    """One design at two stages, csynth and post-synthesis, in figures by name."""

    repo: str
    tool: str
    csynth: dict[str, float]
    post_synthesis: dict[str, float]


def read_pairs(folder: Path) -> list[Pair]:
    """Return the designs that have figures of both stages, each once."""
    pairs: dict[tuple[object, ...], Pair] = {}
    for row in read_rows(folder / "designs.csv"):
        if not number(row, "vs_LUT") or number(row, "LUT") < LEAST_LUT:
            continue
        if "Placed" in row["vs_state"]:
            continue
        before = {name: number(row, column) for name, column in CSYNTH_COLUMNS.items()}
        after = {name: number(row, column) for name, column in COLUMNS.items()}
        after["bram18"] *= 2
        pair = Pair(row["repo"], tool_of(row["tool"]), before, after)
        pairs[row["repo"], *before.values(), *after.values()] = pair
    return list(pairs.values())


def stage_models(pairs: Sequence[Pair]) -> list[Model]:
    """Return the ratio of post-synthesis to csynth, with quantiles over repositories."""
    models = []
    for name in COLUMNS:
        used = [p for p in pairs if p.csynth[name] > 0]
        if len(used) < 5:
            continue
        groups = [p.repo for p in used]
        after = np.array([p.post_synthesis[name] for p in used])
        logs = residuals(after, np.array([p.csynth[name] for p in used]), name)
        middle = _middle(logs, groups)
        off = logs - middle
        held = np.array([_left_out(logs, groups, k) for k in range(len(used))])
        low, high = quantiles(logs - held, groups)
        error = np.abs(np.exp(held - logs) - 1)
        size = [p.csynth[name] for p in used]
        models.append(
            Model(
                WHOLE,
                "any",
                "any",
                POST_SYNTH,
                name,
                low=rounded(np.exp(low)),
                high=rounded(np.exp(high)),
                rows=len(used),
                groups=len(set(groups)),
                coefficients={CSYNTH: rounded(np.exp(middle))},
                region={name: (rounded(min(size)), rounded(max(size)))},
                errors={
                    "median": rounded(np.median(error)),
                    "p90": rounded(np.quantile(error, 0.9)),
                    "bias": rounded(np.exp(-np.median(off)) - 1),
                    "coverage": rounded(coverage(logs - held, groups)),
                },
            )
        )
    return models


def _middle(logs: np.ndarray, groups: Sequence[str]) -> float:
    """Return the median over repositories of their medians."""
    marks = np.array(groups)
    return float(np.median([np.median(logs[marks == g]) for g in sorted(set(groups))]))


def _left_out(logs: np.ndarray, groups: Sequence[str], place: int) -> float:
    keep = np.array([g != groups[place] for g in groups])
    rest = [g for g in groups if g != groups[place]]
    return _middle(logs[keep], rest) if rest else 0.0
