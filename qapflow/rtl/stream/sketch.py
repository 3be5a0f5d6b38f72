"""The graph while it grows: streams, blocks that move data, pieces of logic, what was refused."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import gcd, prod

from qapflow.errors import Unsupported
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Op
from qapflow.rtl.stream.blocks import Block, Gather, Repeat, Scatter, Stream, Work
from qapflow.rtl.stream.multiply import Sharing

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """Logic on one beat: `node` reads streams, seen in the given shapes."""

    node: Node
    shapes: tuple[Shape, ...]


@dataclass
class Sketch:
    """`native` is the stream that carries each edge; `level` how many movers lie before it."""

    net: Net
    sharing: Sharing
    whole: bool = False  # inputs and outputs of the network are one beat a sample
    streams: dict[str, Stream] = field(default_factory=dict)
    native: dict[str, str] = field(default_factory=dict)
    level: dict[str, int] = field(default_factory=dict)
    movers: list[Block] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    refused: list[Unsupported] = field(default_factory=list)

    def add_stream(self, name: str, stream: Stream, level: int) -> str:
        """Name a stream, uniquely."""
        unique, number = name, 2
        while unique in self.streams:
            unique, number = f"{name}_{number}", number + 1
        self.streams[unique] = stream
        self.level[unique] = level
        return unique

    def move(self, work: Work, inputs: tuple[str, ...], out: Stream, tag: str, layer: str) -> str:
        """Add a block that is no logic and return its stream."""
        level = 1 + max(self.level[name] for name in inputs)
        name = self.add_stream(f"{out.edge}__{tag}", out, level)
        self.movers.append(Block(name, work, inputs, (name,), (layer,)))
        return name

    def compute(self, node: Node, op: Op, inputs: tuple[str, ...], shapes: tuple[Shape, ...],
                shape: Shape) -> str:  # fmt: skip
        """Add logic whose result on one beat has `shape` and return its stream."""
        beats = self.streams[inputs[0]].beats
        level = max(self.level[name] for name in inputs)
        out = Stream(node.name, node.out.type, prod(shape), beats)
        name = self.add_stream(node.name, out, level)
        made = replace(node, name=name, op=op, inputs=inputs, out=Edge(shape, node.out.type))
        self.pieces.append(Piece(made, shapes))
        return name

    def grouped(self, edge: str, values: int) -> str:
        """Return a stream of an edge with `values` values a beat."""
        name = self.native[edge]
        stream = self.streams[name]
        if stream.values == values:
            return name
        common = gcd(stream.values, values)
        for tag, count, wanted in (
            ("parts", stream.values // common, common),
            ("joined", values // common, values),
        ):
            if count == 1:
                continue
            made = f"{name}__{tag}{wanted}"
            if made not in self.streams:
                old = self.streams[name]
                beats = old.values * old.beats // wanted
                work: Work = Scatter(count) if tag == "parts" else Gather(count)
                level = 1 + self.level[name]
                self.add_stream(made, replace(old, values=wanted, beats=beats), level)
                layer = self.net.by_name[edge].origin or edge
                self.movers.append(Block(made, work, (name,), (made,), (layer,)))
            name = made
        return name

    def repeated(self, name: str, count: int, layer: str) -> str:
        """Return a stream of one beat, `count` times."""
        stream = self.streams[name]
        if stream.beats == count:
            return name
        out = replace(stream, beats=count)
        return self.move(Repeat(1, (1, count)), (name,), out, "repeated", layer)

    def refuse(self, node: Node, reason: str, hint: str) -> None:
        """Note what has no streaming form and go on, so that all is told at once."""
        layer = node.origin or node.name
        self.refused.append(Unsupported(layer, type(node.op).__name__, reason, hint))
        shape = node.out.shape
        beats = prod(shape[:-1])
        stream = Stream(node.name, node.out.type, prod(shape[-1:]), beats)
        self.native[node.name] = self.add_stream(node.name, stream, 0)
