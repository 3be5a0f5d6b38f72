"""Figures with intervals: measured on reports, widened outside them, or judged where none are."""

from __future__ import annotations

import math
from collections.abc import Mapping

from qapflow.estimate.calibration import Model
from qapflow.report.figures import Figure, Source

CSYNTH, POST_SYNTH = "csynth", "post-synthesis"
JUDGED = (0.3, 3.0)  # factors where no report covers a formula: a judgement, and said to be one

# Added to both sides of report / estimate, so that zeros and counts of a few have factors too.
SMOOTH = {"dsp": 4.0, "bram18": 4.0, "ff": 100.0, "lut": 20.0}

# Facts of a design that a calibration's region is about: (name, less, more).
_FACTS = {
    "clock_ns": ("clock faster", "clock slower"),
    "n_in": ("fewer inputs", "more inputs"),
    "n_out": ("fewer outputs", "more outputs"),
    "in_width": ("narrower inputs", "wider inputs"),
    "weight_width": ("narrower weights", "wider weights"),
    "nonzeros": ("fewer weights", "more weights"),
    "reuse_factor": ("smaller reuse factor", "larger reuse factor"),
    "lut": ("smaller", "larger"),
}


def exact(value: float, unit: str, note: str = "") -> Figure:
    """Return a figure that follows from the network alone."""
    whole = float(round(value))
    return Figure(whole, unit, Source.ESTIMATE, whole, whole, note)


def judged(value: float, unit: str, note: str) -> Figure:
    """Return a figure that no report covers, with wide judged factors; zero needs no note."""
    low, high = math.floor(value * JUDGED[0]), math.ceil(value * JUDGED[1])
    note = note if value else ""
    return Figure(float(round(value)), unit, Source.ESTIMATE, float(low), float(high), note)


def measured(
    value: float, unit: str, model: Model, facts: Mapping[str, float], note: str = ""
) -> Figure:
    """Return a figure with the interval that held for designs never seen; wider outside them.

    However far outside, it gets no wider than `JUDGED`, as if no report covered the formula.
    """
    widening, reasons = distance(model, facts)
    notes = "; ".join(filter(None, (*reasons, note)))
    added = SMOOTH.get(model.figure, 1.0)
    least = max(model.low**widening, min(model.low, JUDGED[0]))
    most = min(model.high**widening, max(model.high, JUDGED[1]))
    low = (value + added) * least - added
    high = (value + added) * most - added
    whole = float(round(value))
    return Figure(
        whole,
        unit,
        Source.ESTIMATE,
        float(min(max(math.floor(low + 1e-9), 0), whole)),
        float(max(math.ceil(high - 1e-9), whole)),
        notes if value else "",
    )


def distance(model: Model, facts: Mapping[str, float]) -> tuple[float, list[str]]:
    """Return by how much an interval widens (a power of its factors, 1 inside), and why.

    Each factor of 2 by which a fact leaves the region of the calibration adds one to the power.
    """
    power, reasons = 1.0, []
    for name, (less, more) in _FACTS.items():
        if name not in model.region or name not in facts:
            continue
        least, most = model.region[name]
        value = facts[name]
        if value < least:
            power += min(math.log2(least / max(value, least / 16)), 4.0)
            reasons.append(f"{less} than any calibrated design ({_say(name, least)})")
        elif value > most:
            power += min(math.log2(value / max(most, 1e-9)), 4.0)
            reasons.append(f"{more} than any calibrated design ({_say(name, most)})")
    return power, reasons


def _say(name: str, value: float) -> str:
    return f"{value:g} ns" if name == "clock_ns" else f"{value:,.0f}"
