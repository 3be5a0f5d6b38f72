"""Cut a network into blocks: movers between pixels, and kernels of fused logic on single beats."""

from __future__ import annotations

from math import prod

from qapflow.errors import ModelUnsupported
from qapflow.ir import ops
from qapflow.ir.fixed import Overflow, Rounding
from qapflow.ir.net import Edge, Net, Node
from qapflow.rtl.stream.beat import beat_shape
from qapflow.rtl.stream.blocks import Block, Graph, Kernel, Stream
from qapflow.rtl.stream.multiply import Sharing
from qapflow.rtl.stream.place import place
from qapflow.rtl.stream.sketch import Piece, Sketch


def interval_cycles(net: Net) -> int:
    """Return the clocks a sample that the largest image takes at one pixel a clock."""
    return max(prod(node.out.shape[:-1]) for node in net.nodes)


def cut(net: Net, sharing: Sharing, whole: bool = False) -> Graph:
    """Return the blocks of a network; if `whole`, inputs and outputs are one beat a sample.

    Raises:
        ModelUnsupported: layers without a streaming form, all of them.
    """
    sketch = Sketch(net, sharing, whole)
    for node in net.nodes:
        place(node, sketch)
    outputs = tuple(_leave(net.by_name[name], sketch) for name in net.outputs)
    if sketch.refused:
        raise ModelUnsupported(sketch.refused, at="--rtl-form streaming")
    inputs = tuple(sketch.native[node.name] for node in net.inputs)
    blocks = [*sketch.movers, *_fuse(sketch, outputs)]
    ordered = _sort(_needed(blocks, outputs), inputs)
    return Graph(ordered, sketch.streams, inputs, outputs)


def _leave(node: Node, sketch: Sketch) -> str:
    """Return the stream of an output; a move that narrowed the type is made up for here."""
    shape = node.out.shape
    values = (prod(shape),) if sketch.whole else beat_shape(shape)
    name = sketch.grouped(node.name, values[0])
    if sketch.streams[name].type == node.out.type:
        return name
    cast = ops.Quantize(node.out.type, Rounding.TRN, Overflow.WRAP)
    return sketch.compute(node, cast, (name,), (values,), values)


def _fuse(sketch: Sketch, outputs: tuple[str, ...]) -> list[Block]:
    """Join pieces that follow each other without a mover between, on any path, into kernels.

    A mover adds one level and pieces keep that of their latest input, so no path leaves a group of
    joined pieces of one level and comes back.
    """
    made = {piece.node.name for piece in sketch.pieces}
    group = {name: name for name in made}

    def find(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for piece in sketch.pieces:
        for source in piece.node.inputs:
            if source in made and sketch.level[source] == sketch.level[piece.node.name]:
                group[find(source)] = find(piece.node.name)
    members: dict[str, list[Piece]] = {}
    for piece in sketch.pieces:
        members.setdefault(find(piece.node.name), []).append(piece)
    read = {name for block in sketch.movers for name in block.inputs} | set(outputs)
    for piece in sketch.pieces:
        home = find(piece.node.name)
        read |= {n for n in piece.node.inputs if n not in made or find(n) != home}
    return [_kernel(pieces, read, sketch.streams) for pieces in members.values()]


def _kernel(pieces: list[Piece], read: set[str], streams: dict[str, Stream]) -> Block:
    own = {piece.node.name: piece.node.out.shape for piece in pieces}
    outside = dict.fromkeys(n for p in pieces for n in p.node.inputs if n not in own)
    nodes = [
        Node(n, ops.Input(), (), Edge((streams[n].values,), streams[n].type), n) for n in outside
    ]
    own |= {node.name: node.out.shape for node in nodes}
    for piece in pieces:
        sources = []
        for source, shape in zip(piece.node.inputs, piece.shapes, strict=True):
            seen = source
            if own[source] != shape:
                seen = f"{source}__as_{'x'.join(map(str, shape))}"
                if seen not in own:
                    edge = Edge(shape, streams[source].type)
                    nodes.append(Node(seen, ops.Reshape(shape), (source,), edge))
                    own[seen] = shape
            sources.append(seen)
        node = piece.node
        nodes.append(Node(node.name, node.op, tuple(sources), node.out, node.origin))
    outputs = tuple(p.node.name for p in pieces if p.node.name in read)
    layers = tuple(dict.fromkeys(p.node.origin or p.node.name for p in pieces))
    name = outputs[-1] if outputs else pieces[-1].node.name
    return Block(name, Kernel(Net(tuple(nodes), outputs)), tuple(outside), outputs, layers)


def _needed(blocks: list[Block], outputs: tuple[str, ...]) -> list[Block]:
    """Drop what no output reads."""
    makers = {name: block for block in blocks for name in block.outputs}
    wanted, found = list(outputs), set[str]()
    while wanted:
        maker = makers.get(wanted.pop())
        if maker is not None and maker.name not in found:
            found.add(maker.name)
            wanted += maker.inputs
    return [block for block in blocks if block.name in found]


def _sort(blocks: list[Block], inputs: tuple[str, ...]) -> tuple[Block, ...]:
    known, ordered, left = set(inputs), list[Block](), blocks
    while left:
        ready = [block for block in left if known.issuperset(block.inputs)]
        known |= {name for block in ready for name in block.outputs}
        ordered += ready
        left = [block for block in left if block not in ready]
    return tuple(ordered)
