"""What a hardware description consists of: its ports, its modules and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qapflow.ir.fixed import Fixed

Language = Literal["verilog", "vhdl"]
Form = Literal["unrolled", "streaming"]


@dataclass(frozen=True)
class Port:
    """One edge of the network at the border of the core, with its valid/ready handshake.

    `name` is an identifier of the language: the signals are name_data, name_valid, name_ready.
    `type` is of one value and `shape` the values in one transfer, row-major: value i lies in bits
    [i * width, (i + 1) * width) of name_data, least significant first. `beats` is the number of
    transfers of one sample: 1 unrolled, the number of pixels when streaming.
    """

    name: str
    edge: str
    type: Fixed
    shape: tuple[int, ...]
    beats: int = 1

    @property
    def values(self) -> int:
        """Values in one transfer."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bits(self) -> int:
        """Bits of name_data."""
        return self.values * self.type.width


@dataclass(frozen=True)
class Module:
    """A part that synthesis counts and keeps by itself.

    `layers` are the origins of its nodes, `files` the paths it needs, its own first, and
    `cost_lut` the estimate of the tracer in LUT, None where it has none.
    """

    name: str
    layers: tuple[str, ...]
    files: tuple[str, ...]
    cost_lut: float | None


@dataclass(frozen=True)
class Design:
    """A network as hardware: `files` maps paths relative to rtl/ to their bytes.

    The module `top` has the ports clk, rst (synchronous, active high) and three signals a port.
    """

    top: str
    language: Language
    form: Form
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    modules: tuple[Module, ...]
    files: Mapping[str, bytes]
    clock_ns: float
    cost_lut: float | None

    @property
    def sources(self) -> tuple[str, ...]:
        """Paths of what the core is made of, sorted: no shell, constraints or scripts."""
        suffix = ".v" if self.language == "verilog" else ".vhd"
        return tuple(
            sorted(p for p in self.files if p.endswith(suffix) and p != f"{self.top}_axis.v")
        )
