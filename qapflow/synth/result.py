"""What the vendor's tools found out, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from qapflow.report.figures import Figure, Source, ToolRun

# Names of resources in the tools' reports -> names of figures. BRAM_18K counts 18 Kbit blocks.
RESOURCES: Mapping[str, str] = {
    "BRAM_18K": "bram18",
    "BRAM": "bram18",
    "DSP48E": "dsp",
    "DSP": "dsp",
    "FF": "ff",
    "LUT": "lut",
    "URAM": "uram",
}


@dataclass(frozen=True)
class ToolReport:
    """One report file: figures of the top (or of all that it covers) and of its modules.

    `timing` has `target_clock_ns`, `estimated_clock_ns`, `wns_ns`, `fmax_mhz` where the report
    does. `facts` are texts: `version`, `part`, `top`, `status`.
    """

    path: Path
    figures: Mapping[str, Figure] = field(default_factory=dict)
    modules: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)
    timing: Mapping[str, Figure] = field(default_factory=dict)
    available: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SynthResult:
    """The outcome of `run_flow`. `totals` may hold one figure name from several sources.

    `modules` are the HLS functions by the tool's name for them, C synthesis figures.
    """

    status: Literal["ok", "not run"]
    detail: str
    totals: tuple[tuple[str, Figure], ...] = ()
    modules: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)
    timing: tuple[tuple[str, Figure], ...] = ()
    tools: tuple[ToolRun, ...] = ()
    logs: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def count(text: str | None) -> float | None:
    """Read a cell such as `12`, `2.5`, `4 (~0%)`, `~0`; None for `-`, `NA`, `?`, `undef`, ``."""
    if text is None:
        return None
    words = text.replace("|", " ").replace("~", "").split()
    if not words:
        return None
    try:
        number = float(words[0].rstrip("%").replace(",", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def spread(low: str | None, high: str | None, unit: str, source: Source) -> Figure | None:
    """Return the larger of minimum and maximum as figure, both kept where they differ."""
    ends = [value for value in (count(low), count(high)) if value is not None]
    if not ends:
        return None
    if min(ends) == max(ends):
        return Figure(max(ends), unit, source)
    return Figure(max(ends), unit, source, min(ends), max(ends), "minimum to maximum")
