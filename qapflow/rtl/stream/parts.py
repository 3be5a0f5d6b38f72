"""What the inside of a block is made of: its ends, its text and files, the core it may hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qapflow.ir.net import Net
from qapflow.rtl.design import Port
from qapflow.rtl.stream.blocks import Stream
from qapflow.templates import environment


@dataclass(frozen=True)
class Wire:
    """A bundle of data, valid and ready."""

    name: str
    stream: Stream

    @property
    def bits(self) -> int:
        """Bits of its data."""
        return self.stream.bits


@dataclass(frozen=True)
class Body:
    """Verilog inside a block, the files it needs by path, and its delay in clocks.

    `library` are modules of the templates; `cost_lut` is None where the tracer says nothing.
    """

    text: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    library: tuple[str, ...] = ()
    delay: int = 1
    cost_lut: float | None = 0.0


@dataclass(frozen=True)
class Core:
    """A module with the ports of a network: what a kernel and a turn of a loop are made of."""

    module: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    files: Mapping[str, bytes]
    delay: int
    cost_lut: float | None


@dataclass(frozen=True)
class Setting:
    """Name and ends of a block, and `build`, which makes a core of a network."""

    name: str
    inputs: tuple[Wire, ...]
    results: tuple[Wire, ...]
    build: Callable[[Net, str], Core]


def macros() -> Any:
    """Return the macros that write the inside of blocks."""
    made: Any = environment("rtl").get_template("stream/bodies.v.j2")
    return made.module


def pack(codes: Sequence[int], width: int) -> str:
    """Return codes as one hexadecimal number, the first lowest."""
    mask, total = (1 << width) - 1, 0
    for place, code in enumerate(codes):
        total |= (int(code) & mask) << (place * width)
    return f"{total:x}"
