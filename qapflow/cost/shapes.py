"""The shapes of a network's weighted layers, read off the integer network."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from qapflow.cost.bops import LayerShape
from qapflow.cost.widths import constant_bits, edge_bits
from qapflow.ir.net import Net, Node, count_turns, with_bodies
from qapflow.ir.ops import Conv, Dense, Input, Scan

NONE_DECLARED: Mapping[str, int] = {}


def read_shapes(net: Net, declared: Mapping[str, int] = NONE_DECLARED) -> dict[str, LayerShape]:
    """Return the shape of each dense layer and convolution by node name, loops unrolled.

    `declared` are the bits of weights by Keras layer (`declared_bits`); where there are none the
    width of the narrowest type of all codes counts, 1 for +c and -c. `kept` is the share of codes
    that are not zero.
    """
    flat, turns, first = with_bodies(net), count_turns(net), first_layers(net)
    return {
        node.name: _shape(flat, node, turns[node.name], node.name in first, declared)
        for node in flat.nodes
        if isinstance(node.op, Dense | Conv)
    }


def _shape(
    net: Net, node: Node, turns: int, first: bool, declared: Mapping[str, int]
) -> LayerShape:
    assert isinstance(node.op, Dense | Conv)
    weight = node.op.weight
    outputs = weight.codes.shape[-1]
    return LayerShape(
        inputs=weight.codes.size // outputs,
        outputs=outputs,
        positions=math.prod(node.out.shape[:-1]) * turns,
        weight_bits=declared.get(node.origin) or constant_bits(weight.codes, weight.type.width),
        activation_bits=edge_bits(net, node.inputs[0]),
        kept=int(np.count_nonzero(weight.codes)) / weight.codes.size,
        reads_input=first,
    )


def first_layers(net: Net, fed: Collection[str] = ()) -> set[str]:
    """Return the weighted nodes of `with_bodies(net)` that have no weighted node before them.

    `fed` names inputs that carry something else than the network's input.
    """
    fresh: dict[str, bool] = {}
    first = set()
    for node in net.nodes:
        new = all(fresh[name] for name in node.inputs)
        if isinstance(node.op, Input):
            new = node.name not in fed
        if isinstance(node.op, Scan):
            first |= _first_in_body(node, node.op, fresh)
        if isinstance(node.op, Dense | Conv) and new:
            first.add(node.name)
        fresh[node.name] = new and not isinstance(node.op, Dense | Conv | Scan)
    return first


def _first_in_body(node: Node, op: Scan, fresh: Mapping[str, bool]) -> set[str]:
    inputs = [part.name for part in op.body.inputs]
    states, slices = inputs[: len(op.initial)], inputs[len(op.initial) :]
    fed = [name for name, source in zip(slices, node.inputs, strict=True) if not fresh[source]]
    return {f"{node.name}/{name}" for name in first_layers(op.body, {*states, *fed})}
