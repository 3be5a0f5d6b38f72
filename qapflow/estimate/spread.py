"""How far estimates were from real reports: the intervals printed beside every estimate.

Each factor pair is the 5 % and 95 % quantile of csynth report / estimate over the public reports
that `bench/estimate_check.py` reads (Vivado HLS 2019.2 to 2021.1 and Vitis HLS 2024.1). What no
report covers has the wide factors of `UNCALIBRATED`, which are a judgement, and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from qapflow.report.figures import Figure, Source


@dataclass(frozen=True)
class Spread:
    """Factors on an estimate, and what they come from ("" when reports cover the case)."""

    low: float
    high: float
    note: str = ""


UNCALIBRATED = Spread(0.3, 3.0)
EXACT = Spread(1.0, 1.0)
CALIBRATED_NS = (4.0, 6.0)  # clocks of the UltraScale reports

# (how a matrix is built, figure) -> measured factors; the number of reports is in brackets
MEASURED: dict[tuple[str, str], Spread] = {
    # [61] modules whose outputs are partly unread are left out: the tool removed parts of them
    ("latency UltraScale", "lut"): Spread(0.74, 1.11),
    ("latency UltraScale", "ff"): Spread(0.39, 3.86),
    ("latency UltraScale", "dsp"): Spread(0.78, 1.01),
    ("latency UltraScale", "bram18"): EXACT,
    ("latency UltraScale", "latency_cycles"): Spread(1.0, 1.001),
    ("latency UltraScale", "ii_cycles"): Spread(1.0, 2.0),
    # [30]
    ("latency 7-series", "lut"): Spread(0.48, 1.15),
    ("latency 7-series", "ff"): Spread(0.43, 1.12),
    ("latency 7-series", "dsp"): Spread(0.5, 1.5),  # judged: no two reports agree on it
    ("latency 7-series", "bram18"): EXACT,
    ("latency 7-series", "latency_cycles"): Spread(0.69, 5.42),
    ("latency 7-series", "ii_cycles"): Spread(1.0, 2.0),
    # [678]
    ("resource rf gt n_in", "lut"): Spread(0.89, 1.25),
    ("resource rf gt n_in", "ff"): Spread(0.97, 1.07),
    ("resource rf gt n_in", "dsp"): Spread(0.94, 1.00),
    ("resource rf gt n_in", "bram18"): Spread(0.78, 1.00),
    ("resource rf gt n_in", "latency_cycles"): Spread(1.0, 1.005),
    ("resource rf gt n_in", "ii_cycles"): EXACT,
    # [4] quantiles widened by hand: few reports
    ("resource rf le n_in", "lut"): Spread(0.7, 1.5),
    ("resource rf le n_in", "ff"): Spread(0.7, 1.6),
    ("resource rf le n_in", "dsp"): EXACT,
    ("resource rf le n_in", "bram18"): Spread(0.9, 1.1),
    ("resource rf le n_in", "latency_cycles"): Spread(0.95, 1.05),
    ("resource rf le n_in", "ii_cycles"): EXACT,
}


def spread_of(kind: str, figure: str, tool: str, part: str = "") -> Spread:
    """Return the measured factors, or the wide ones with a note naming the tool.

    `part` names what surrounds a measured kind and is itself not measured.
    """
    if kind == "wiring":
        return EXACT
    if found := MEASURED.get((kind, figure)):
        return replace(found, note=f"uncalibrated for {tool}: {part}") if part else found
    return Spread(UNCALIBRATED.low, UNCALIBRATED.high, f"uncalibrated for {tool}: {kind}")


def make_figure(value: float, unit: str, spread: Spread, margin: float = 0) -> Figure:
    """Return an estimate in whole units with its interval, widened by `margin` where inexact."""
    margin = 0 if spread.low == spread.high else margin
    return Figure(
        value=float(round(value)),
        unit=unit,
        source=Source.ESTIMATE,
        low=float(max(math.floor(value * spread.low - margin), 0)),
        high=float(math.ceil(value * spread.high + margin)),
        note=spread.note if value else "",
    )
