"""What open synthesis found, as data that a report keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ModuleStatus = Literal["ok", "failed", "timed out", "out of memory"]


@dataclass(frozen=True)
class ModuleArea:
    """One module, without the counted modules inside it; `count` is how often the design has it.

    `figures` are numbers of cells by name (lut, lut_packed, lut1 ... lut6, ff, carry, dsp,
    bram18 ...), `least_lut` the lower end of packing. `cost_lut` is the tracer's estimate,
    `seconds` is processor time.
    """

    name: str
    layers: tuple[str, ...]
    count: int
    status: ModuleStatus
    detail: str = ""
    figures: Mapping[str, int] = field(default_factory=dict)
    least_lut: int = 0
    cost_lut: float | None = None
    seconds: float = 0.0
    peak_mb: float = 0.0
    cached: bool = False


@dataclass(frozen=True)
class Timing:
    """A path delay in ns or a frequency in MHz that a tool gave, and what it leaves out."""

    name: str
    value: float
    unit: str
    note: str


@dataclass(frozen=True)
class Strategy:
    """The cells of the same network built another way."""

    name: str
    detail: str
    figures: Mapping[str, int]
    least_lut: int
    seconds: float


@dataclass(frozen=True)
class OpenSynthesis:
    """Cells of a design by Yosys. `status` is "partial" where a module has no result.

    `tool` is the tag of every figure, such as "yosys 0.70, not Vivado". `totals` sum the modules
    that have a result; `least_lut` is the lower end of the packing estimate.
    """

    status: Literal["ok", "partial"]
    tool: str
    family: str
    effort: str
    top: str
    sources_digest: str
    modules: tuple[ModuleArea, ...]
    totals: Mapping[str, int]
    least_lut: int
    cost_lut: float | None
    predicted_s: float | None
    seconds: float
    timing: tuple[Timing, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    notes: tuple[str, ...] = ()
