"""The FPGA a model is built for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """Totals of a part. One BRAM36 is two BRAM18."""

    lut: int
    ff: int
    dsp: int
    bram18: int
    uram: int


@dataclass(frozen=True)
class Target:
    """One board or part, as read from `boards/NAME.toml`.

    `source` says where the totals come from; `verified` is true only if a tool report gave them.
    """

    name: str
    part: str
    aliases: tuple[str, ...]
    family: str  # "virtex-ultrascale+", "zynq-7000" ...
    description: str
    clock_ns: float
    resources: Resources
    slrs: int
    source: str
    verified: bool
