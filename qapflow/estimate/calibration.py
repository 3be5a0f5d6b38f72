"""The calibration file: what reports of real tools say about each formula, and how sure that is.

`calibration.json` is made by `make calibrate`; reading and evaluating it needs numpy alone.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from qapflow.errors import UsageError

FORMAT = 1
VARIABLE = "QAPFLOW_CALIBRATION"  # names a calibration file of the user


@dataclass(frozen=True)
class Forest:
    """Regression trees, one row a tree: split feature (-1: leaf), threshold, children, value."""

    feature: tuple[tuple[int, ...], ...]
    threshold: tuple[tuple[float, ...], ...]
    left: tuple[tuple[int, ...], ...]
    right: tuple[tuple[int, ...], ...]
    value: tuple[tuple[float, ...], ...]
    start: float = 0.0

    def predict(self, features: Sequence[float]) -> float:
        """Return the sum of the leaves that features [n] reach; thresholds are 32-bit floats."""
        row = np.asarray(features, np.float32)
        total = self.start
        for tree, columns in enumerate(self.feature):
            place = 0
            while columns[place] >= 0:
                below = row[columns[place]] <= self.threshold[tree][place]
                place = (self.left if below else self.right)[tree][place]
            total += self.value[tree][place]
        return total


@dataclass(frozen=True)
class Model:
    """How one figure of one kind of hardware follows from its terms, with measured errors.

    `low` and `high` are factors on an estimate that hold 90 % of designs never seen: conformal
    quantiles over whole groups of designs. `errors` are cross-validated (median, p90, bias,
    coverage). `region` has the least and greatest of each fact of the calibration's designs.
    """

    kind: str
    tool: str
    family: str
    stage: str
    figure: str
    low: float
    high: float
    rows: int
    groups: int
    coefficients: Mapping[str, float] = field(default_factory=dict)
    forest: Forest | None = None
    region: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)

    def evaluate(self, terms: Mapping[str, float], shape: Sequence[float] = ()) -> float:
        """Return the figure: the weighed terms, and the trees' factor on them."""
        value = sum(self.coefficients.get(name, 0.0) * term for name, term in terms.items())
        return value * math.exp(self.forest.predict(shape)) if self.forest else value


@dataclass(frozen=True)
class Calibration:
    """All models by (kind, tool, family, stage, figure), and where they come from."""

    version: str
    models: Mapping[tuple[str, str, str, str, str], Model]
    sources: tuple[Mapping[str, Any], ...]
    facts: Mapping[str, Any]

    def find(self, kind: str, tool: str, family: str, figure: str, stage: str) -> Model | None:
        """Return the model of exactly this case, None where no report covers it."""
        return self.models.get((kind, tool, family, stage, figure))

    def has_reports(self, kind: str, tool: str) -> bool:
        """Tell whether any part has reports of this kind of hardware with this tool."""
        head = kind.partition(" ")[0]
        return any(k.partition(" ")[0] == head and t == tool for k, t, *_ in self.models)

    def clocks(self, tool: str, family: str) -> tuple[float, float]:
        """Return the fastest and slowest calibrated clock of matrices, in ns; (0, 0) without."""
        found = [
            model.region["clock_ns"]
            for (kind, t, f, *_), model in self.models.items()
            if (t, f) == (tool, family)
            and "clock_ns" in model.region
            and kind.partition(" ")[0] in ("latency", "resource")
        ]
        return min((a for a, _ in found), default=0.0), max((b for _, b in found), default=0.0)


def current() -> Calibration:
    """Return the calibration in use: the file that `QAPFLOW_CALIBRATION` names, else the shipped.

    Raises:
        UsageError: the file cannot be read, or is no calibration.
    """
    own = os.environ.get(VARIABLE, "")
    return read_calibration(Path(own)) if own else shipped()


@cache
def shipped() -> Calibration:
    """Return the calibration that comes with qapflow."""
    text = resources.files("qapflow.estimate").joinpath("calibration.json").read_text("utf-8")
    return parse(text, "calibration.json of qapflow")


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        UsageError: unreadable, or not a calibration of this format.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the calibration cannot be read: {error}", str(path), _HINT) from error


_HINT = "qapflow calibrate REPORTS... -o FILE makes one"


def parse(text: str, at: str) -> Calibration:
    """Return the calibration in a JSON text; errors as in `read_calibration`."""
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            what = f"the calibration has format {data['format']!r}, this qapflow reads {FORMAT}"
            raise UsageError(what, at, _HINT)
        models = [_model(row) for row in data["models"]]
        return Calibration(
            version=str(data["version"]),
            models={(m.kind, m.tool, m.family, m.stage, m.figure): m for m in models},
            sources=tuple(data["sources"]),
            facts=data["facts"],
        )
    except (ValueError, TypeError, KeyError) as error:
        what = f"this is no calibration: {error!r}"
        raise UsageError(what, at, _HINT) from error


def _model(row: dict[str, Any]) -> Model:
    forest = row.pop("forest", None)
    region = {name: (float(a), float(b)) for name, (a, b) in row.pop("region", {}).items()}
    made = None
    if forest:
        start = forest.pop("start")
        made = Forest(**{k: tuple(map(tuple, v)) for k, v in forest.items()}, start=start)
    return Model(**row, region=region, forest=made)
