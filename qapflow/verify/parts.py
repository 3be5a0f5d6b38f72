"""Cut a network into the parts that its Keras layers became.

The output edge of every layer that Keras shows is a cut. A part leads from the cuts before a layer
to its own, so that it can be run by itself on any values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qapflow.frontend.model import LayerRecord
from qapflow.ir.net import Net
from qapflow.ir.ops import Input


@dataclass(frozen=True, eq=False)
class Part:
    """A layer's piece: its record, the name Keras calls it, and a network of its own.

    Inputs of `net` are named like the edges they stand for; its only output is the layer's edge.
    """

    record: LayerRecord
    keras_name: str
    net: Net

    @property
    def edge(self) -> str:
        """Name of the layer's output edge."""
        return self.record.edge


def split(net: Net, records: Sequence[LayerRecord], names: Mapping[str, int]) -> tuple[Part, ...]:
    """Return the parts in order; `names` are Keras's layers with the number of values a sample.

    Layers whose edge may differ from theirs (`LayerRecord.inner`), and layers that Keras does not
    show under one clear name, belong to the part of the next layer.
    """
    cuts = {node.name for node in net.inputs}
    last = Counter(record.name.split("/")[-1] for record in records)
    parts = []
    for record in records:
        name = _find(record, names, last)
        if record.inner or name is None or record.edge not in net.by_name:
            continue
        if record.class_name == "InputLayer" or record.edge in {n.name for n in net.inputs}:
            continue
        shape = net.edge(record.edge).shape
        size = 1
        for length in shape:
            size *= length
        if size != names[name]:
            continue
        parts.append(Part(record, name, between(net, cuts - {record.edge}, record.edge)))
        cuts.add(record.edge)
    return tuple(parts)


def _find(record: LayerRecord, names: Mapping[str, int], last: Mapping[str, int]) -> str | None:
    if record.name in names:
        return record.name
    short = record.name.split("/")[-1]
    return short if short in names and last[short] == 1 else None


def between(net: Net, cuts: set[str], edge: str) -> Net:
    """Return the nodes from the edges `cuts` to `edge` as a network; cuts become its inputs."""
    needed, starts, pending = set(), set(), [edge]
    while pending:
        name = pending.pop()
        if name in needed or name in starts:
            continue
        if name in cuts or isinstance(net.by_name[name].op, Input):
            starts.add(name)
        else:
            needed.add(name)
            pending += net.by_name[name].inputs
    nodes = tuple(
        replace(node, op=Input(), inputs=()) if node.name in starts else node
        for node in net.nodes
        if node.name in needed or node.name in starts
    )
    return Net(nodes, (edge,))
