"""Move a calibration towards a user's own reports, by as much as they tell."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from qapflow.calibrate.compare import Compared, Key
from qapflow.estimate.calibration import FORMAT, Calibration, Model
from qapflow.estimate.interval import SMOOTH

TRUST = 3.0  # projects that count as much as all reports of the calibration together


def refine(calibration: Calibration, rows: Sequence[Compared]) -> Calibration:
    """Return the calibration shifted by the median of the user's errors of each model.

    n projects move a fitted figure by n / (n + 3) of their median error; intervals reach at least
    as far as n / (n + 3) of the largest. Rules are not moved, their intervals are.
    """
    by_key: dict[Key, list[Compared]] = defaultdict(list)
    for row in rows:
        if row.key:
            by_key[row.key].append(row)
    models = dict(calibration.models)
    used: set[str] = set()
    for key, found in by_key.items():
        if key in models:
            models[key] = _moved(models[key], found)
            used |= {row.project for row in found}
    sources = [*calibration.sources, {"source": "own reports", "rows": len(used)}]
    version = f"{calibration.version}+own"
    return replace(calibration, models=models, sources=tuple(sources), version=version)


def _moved(model: Model, rows: Sequence[Compared]) -> Model:
    added = SMOOTH.get(model.figure, 1.0)
    logs = [math.log((r.reported + added) / (r.estimated + added)) for r in rows]
    projects = len({row.project for row in rows})
    weight = projects / (projects + TRUST)
    shift = weight * median(logs) if model.coefficients else 0.0
    left = [weight * (value - shift) for value in logs]
    return replace(
        model,
        coefficients={n: c * math.exp(shift) for n, c in model.coefficients.items()},
        low=min(model.low, math.exp(min(left))),
        high=max(model.high, math.exp(max(left))),
        rows=model.rows + len(rows),
        groups=model.groups + projects,
    )


def to_json(calibration: Calibration) -> str:
    """Return a calibration as the text that `read_calibration` reads."""
    rows = []
    for _, model in sorted(calibration.models.items()):
        row: dict[str, Any] = dict(vars(model))
        forest = row.pop("forest")
        rows.append(row | ({"forest": vars(forest)} if forest else {}))
    data = {
        "format": FORMAT,
        "version": calibration.version,
        "facts": calibration.facts,
        "sources": list(calibration.sources),
        "models": rows,
    }
    return json.dumps(data, sort_keys=True, default=dict) + "\n"
