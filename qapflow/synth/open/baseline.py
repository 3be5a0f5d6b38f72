"""Recorded figures of a design, and whether new ones are worse than they allow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from qapflow.errors import UsageError
from qapflow.lower.files import write_file
from qapflow.synth.open.result import OpenSynthesis

FORMAT = "qapflow synthesis baseline 1"

# Percent by which a figure may grow. The tools give the same cells for the same bytes, so this is
# room for harmless changes of the generated text, not for noise. Of all of these fewer is better.
TOLERANCES: Mapping[str, float] = {
    "lut": 2.0,
    "lut_packed": 2.0,
    "ff": 2.0,
    "carry": 2.0,
    "dsp": 0.0,
    "bram18": 0.0,
    "uram": 0.0,
}

State = Literal["worse", "better", "same"]


@dataclass(frozen=True)
class Baseline:
    """What a model cost when it was recorded; `tools` are the versions that counted."""

    model: str
    board: str
    effort: str
    tools: Mapping[str, str]
    figures: Mapping[str, int]
    tolerance_percent: Mapping[str, float]


@dataclass(frozen=True)
class Checked:
    """One figure, before and now."""

    name: str
    before: int
    now: int
    tolerance_percent: float
    state: State

    @property
    def percent(self) -> float:
        """The change in percent of before; infinite from nothing."""
        if self.before == self.now:
            return 0.0
        return 100.0 * (self.now - self.before) / self.before if self.before else float("inf")


def record(model: str, board: str, found: OpenSynthesis, tools: Mapping[str, str]) -> Baseline:
    """Return the baseline of a result.

    Raises:
        UsageError: the result is partial.
    """
    if found.status != "ok":
        raise UsageError(f"{model} has only a partial result", hint="see the errors above")
    figures = {name: found.totals[name] for name in TOLERANCES}
    return Baseline(model, board, found.effort, tools, figures, dict(TOLERANCES))


def check(baseline: Baseline, now: Baseline) -> tuple[Checked, ...]:
    """Return every figure of a baseline with what it is now; a figure that is gone counts as 0."""
    found = []
    for name, before in baseline.figures.items():
        value, room = now.figures.get(name, 0), baseline.tolerance_percent.get(name, 0.0)
        state: State = "same"
        if value > before * (1 + room / 100):
            state = "worse"
        elif value < before:
            state = "better"
        found.append(Checked(name, before, value, room, state))
    return tuple(found)


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Store a baseline."""
    data = {"format": FORMAT, **asdict(baseline)}
    write_file(path, (json.dumps(data, indent=1, sort_keys=True) + "\n").encode())


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        UsageError: it is not there, or not of this format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        assert data.pop("format") == FORMAT, "another format"
        return Baseline(**data)
    except OSError as error:
        raise UsageError(
            f"there is no baseline: {error.strerror}", at=str(path), hint="make synth-baselines"
        ) from error
    except (AssertionError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"the baseline cannot be read: {error}"
        raise UsageError(what, at=str(path), hint="make synth-baselines") from error


def describe(baseline: Baseline, now: Baseline, rows: tuple[Checked, ...]) -> str:
    """Return the difference as lines of text; what is the same takes none."""
    worse = [row for row in rows if row.state == "worse"]
    better = [row for row in rows if row.state == "better"]
    word = "WORSE" if worse else "better" if better else "same"
    lines = [f"{baseline.model} on {baseline.board}: {word}"]
    for row in (*worse, *better):
        change = f"{row.percent:+.1f} %, up to +{row.tolerance_percent:g} % allowed"
        lines.append(f"  {row.state:<6} {row.name:<10} {row.before:>9,} -> {row.now:>9,}  {change}")
    if dict(baseline.tools) != dict(now.tools):
        both = (", ".join(f"{k} {v}" for k, v in tools.items()) for tools in
                (baseline.tools, now.tools))  # fmt: skip
        lines.append("  recorded with {}; now {}: make synth-baselines renews".format(*both))
    return "\n".join(lines)
