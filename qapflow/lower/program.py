"""The steps of a top function: wires between kernels, hls4ml's and our own.

Between the network and C++ lies this flat list. Here streams with several readers get a clone,
padded convolutions get a padding step, and every output gets a port of its own; nothing here
changes what is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from qapflow.ir.fixed import Codes, Fixed


@dataclass(frozen=True)
class Wire:
    """An array or a stream in the top function. `name` is the C identifier.

    A stream carries the last axis in one packet; `packet` says so when a reshaped wire still
    carries the packets of its source.
    """

    name: str
    shape: tuple[int, ...]
    type: Fixed
    packet: int = 0

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def lanes(self) -> int:
        """Elements of one packet when the wire is a stream."""
        return self.packet or (self.shape[-1] if self.shape else 1)

    @property
    def packets(self) -> int:
        """Packets of one sample when the wire is a stream."""
        return self.size // self.lanes


@dataclass(frozen=True, eq=False)
class Rom:
    """A constant table; `name` gets the number of its step as prefix. Codes are row-major."""

    name: str
    codes: Codes
    type: Fixed


@dataclass(frozen=True, eq=False)
class Kernel:
    """One of our own kernels: a C++ function and the macro that prints its configuration."""

    function: str
    macro: str
    params: Mapping[str, Any] = field(default_factory=dict)
    roms: tuple[Rom, ...] = ()


@dataclass(frozen=True, eq=False)
class Layer:
    """One of hls4ml's layers: its class, attributes, types and build choices."""

    class_name: str
    attributes: Mapping[str, Any]
    weight: Fixed
    bias: Fixed | None
    accumulator: Fixed
    strategy: str
    reuse_factor: int


@dataclass(frozen=True, eq=False)
class Loop:
    """A program on arrays that runs `turns` times: its first ports are the states it carries.

    Its inputs are the states, then one slice of each sequence; its outputs are the next states,
    then the result, of which `emit` keeps "all" or the "last". `initial` holds the first states.
    """

    body: Program
    initial: tuple[Rom, ...]
    turns: int
    emit: str


@dataclass(frozen=True, eq=False)
class Step:
    """One statement of the top function. `node` is the node of the network it belongs to."""

    node: str
    work: Kernel | Layer | Loop
    inputs: tuple[Wire, ...]
    outputs: tuple[Wire, ...]


@dataclass(frozen=True)
class Program:
    """All steps in order. `traced` names the wire of every edge that can be observed."""

    steps: tuple[Step, ...]
    inputs: tuple[Wire, ...]
    outputs: tuple[Wire, ...]
    traced: Mapping[str, Wire]
    stream: bool
