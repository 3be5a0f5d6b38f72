"""A network as blocks joined by channels: one beat is one pixel with all its channels, or a vector.

Every block takes and gives whole samples, each as a fixed number of beats in a fixed order, so
the graph is a synchronous dataflow graph: it computes the same under any delay.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Net


@dataclass(frozen=True)
class Stream:
    """Values of one edge in row-major order: `beats` transfers of `values` values a sample."""

    edge: str
    type: Fixed
    values: int
    beats: int

    @property
    def bits(self) -> int:
        """Bits of one beat."""
        return self.values * self.type.width


@dataclass(frozen=True)
class Kernel:
    """Logic on one beat of every input, traced and cut into pipeline stages."""

    net: Net


@dataclass(frozen=True)
class Window:
    """A line buffer: pixels in, windows out; negative padding crops."""

    size: tuple[int, int]  # of the image
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    fill: int  # code of a value outside the image

    @property
    def grown(self) -> tuple[int, int]:
        """Rows and columns stepped over: one clock each."""
        rows, cols = (
            n + max(a, 0) + max(b, 0) for n, (a, b) in zip(self.size, self.padding, strict=True)
        )
        return rows, cols

    @property
    def emitting(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """First and last step at which a window is complete: of the rows, of the columns."""
        found = []
        for axis in (0, 1):
            before, after = self.padding[axis]
            span = (self.kernel[axis] - 1) * self.dilation[axis] + 1
            first = max(-before, 0) + span - 1
            places = (self.size[axis] + before + after - span) // self.strides[axis]
            found.append((first, first + places * self.strides[axis]))
        return found[0], found[1]


@dataclass(frozen=True)
class Fork:
    """The same beats to several readers: stands behind inputs of the network."""


@dataclass(frozen=True)
class Gather:
    """`count` beats become one."""

    count: int


@dataclass(frozen=True)
class Scatter:
    """One beat becomes `count`."""

    count: int


@dataclass(frozen=True)
class Repeat:
    """Nearest-neighbour upsampling of rows of `width` pixels."""

    width: int
    factors: tuple[int, int]


@dataclass(frozen=True)
class Fold:
    """Sum or maximum over `count` beats."""

    maximum: bool
    count: int


@dataclass(frozen=True)
class Braid:
    """`first` beats of one input, then `second` of the other, and so on."""

    first: int
    second: int


@dataclass(frozen=True, eq=False)
class Mac:
    """A dense layer on `beats` beats with weights in a ROM, `parts * turns` clocks a beat.

    `weight` [beats * values, m] and `bias` [m] are codes on the grid of the output.
    """

    weight: NDArray[np.int64]
    bias: NDArray[np.int64]
    beats: int
    parts: int
    turns: int

    @property
    def clocks(self) -> int:
        """Clocks that one beat takes."""
        return self.parts * self.turns

    @property
    def lanes(self) -> tuple[int, int]:
        """Values and sums of one clock: their product is the number of multipliers."""
        values, sums = len(self.weight) // self.beats, self.weight.shape[1]
        return -(-values // self.parts), -(-sums // self.turns)

    @property
    def multipliers(self) -> int:
        """Multipliers side by side."""
        return prod(self.lanes)


@dataclass(frozen=True)
class Loop:
    """A recurrent layer: one turn a beat, the next when the states of the last are there."""

    body: Net
    initial: tuple[tuple[int, ...], ...]  # codes of each first state
    steps: int
    every: bool  # a result each turn, or the last one only


Work = Fork | Kernel | Window | Gather | Scatter | Repeat | Fold | Braid | Mac | Loop


@dataclass(frozen=True)
class Block:
    """One unit of hardware; `layers` are the origins of its nodes."""

    name: str
    work: Work
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """Blocks in topological order and the streams between them, by name."""

    blocks: tuple[Block, ...]
    streams: dict[str, Stream]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
