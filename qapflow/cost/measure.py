"""Count what a network costs, node by node, from its integer codes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

import numpy as np

from qapflow.cost.bops import FLOAT_INPUT_BITS, LayerShape, layer_bops
from qapflow.cost.ebops import accumulation_ebops, ebops
from qapflow.cost.figures import Cost, LayerCost, NetCost
from qapflow.cost.shapes import NONE_DECLARED, read_shapes
from qapflow.cost.widths import constant_bits, edge_bits, enclosed_bits
from qapflow.ir.digits import count_digits
from qapflow.ir.net import Net, Node, count_turns, with_bodies
from qapflow.ir.ops import Affine, Const, Conv, Dense, MatMul, Merge, Reduce, Reshape
from qapflow.report.words import plural

FEW_DIGITS = 2  # a shift, or one addition of two shifts: no tool makes a multiplier for it


def measure(net: Net, declared: Mapping[str, int] = NONE_DECLARED) -> NetCost:
    """Return the cost of a network for one sample.

    `declared` are the bits of weights by Keras layer, for BOPs and memory (see `read_shapes`).
    BOPs count dense layers and convolutions only, as published figures do; a note names what else
    multiplies.
    """
    flat, turns, shapes = with_bodies(net), count_turns(net), read_shapes(net, declared)
    layers = []
    for node in flat.nodes:
        if isinstance(node.op, Dense | Conv):
            made = _weighted(flat, node, node.op, shapes[node.name], turns[node.name])
        elif isinstance(node.op, Affine):
            made = _scale(flat, node, node.op, turns[node.name])
        elif isinstance(node.op, Merge | MatMul | Reduce):
            made = _edges(flat, node, turns[node.name])
        else:
            continue
        if any(getattr(made.cost, field.name) for field in fields(Cost)):
            layers.append(made)
    total = replace(add_up(layer.cost for layer in layers), activation_memory_bits=_passed(flat))
    return NetCost(tuple(layers), total, _notes(layers))


def add_up(costs: Iterable[Cost]) -> Cost:
    """Return the sum of every figure."""
    listed = list(costs)
    return Cost(
        **{field.name: sum(getattr(cost, field.name) for cost in listed) for field in fields(Cost)}
    )


def _weighted(net: Net, node: Node, op: Dense | Conv, shape: LayerShape, turns: int) -> LayerCost:
    codes, digits = op.weight.codes, count_digits(op.weight.codes)
    nonzeros = int(np.count_nonzero(codes))
    few = int(np.count_nonzero((digits > 0) & (digits <= FEW_DIGITS)))
    as_float = replace(shape, activation_bits=FLOAT_INPUT_BITS) if shape.reads_input else shape
    cost = Cost(
        multiplications=codes.size * shape.positions,
        nonzero_multiplications=nonzeros * shape.positions,
        without_multiplier=few * shape.positions,
        bops_input_32=layer_bops(as_float),
        bops_input_own=layer_bops(shape),
        ebops=ebops(net, node) * turns,
        ebops_accumulation=accumulation_ebops(net, node) * turns,
        csd_digits=int(digits.sum()),
        weights=codes.size,
        nonzeros=nonzeros,
        weight_memory_bits=codes.size * shape.weight_bits,
        nonzero_memory_bits=nonzeros * shape.weight_bits,
        bias_memory_bits=_memory(op.bias),
        activation_memory_bits=_tensor(net, node.inputs[0]),
    )
    bits = (shape.weight_bits, shape.activation_bits)
    return LayerCost(node.name, node.origin, "weights", *bits, cost)


def _scale(net: Net, node: Node, op: Affine, turns: int) -> LayerCost:
    """Count a multiplication a value by a constant; powers of two are shifts, not counted."""
    codes, digits = op.scale.codes, count_digits(op.scale.codes)
    repeats = turns * (math.prod(node.out.shape) // codes.size)
    real = enclosed_bits(codes) > 1
    cost = Cost(
        multiplications=int(np.count_nonzero(real)) * repeats,
        nonzero_multiplications=int(np.count_nonzero(real)) * repeats,
        without_multiplier=int(np.count_nonzero(real & (digits <= FEW_DIGITS))) * repeats,
        ebops=ebops(net, node) * turns,
        ebops_accumulation=accumulation_ebops(net, node) * turns,
        csd_digits=int(digits[real].sum()),
        bias_memory_bits=_memory(op.offset) + (_memory(op.scale) if real.any() else 0),
    )
    bits = constant_bits(codes, op.scale.type.width)
    return LayerCost(node.name, node.origin, "scale", bits, edge_bits(net, node.inputs[0]), cost)


def _edges(net: Net, node: Node, turns: int) -> LayerCost:
    """Count what is multiplied or added where both operands are edges."""
    bits = [edge_bits(net, name) for name in node.inputs]
    number = 0
    if isinstance(node.op, MatMul):
        number = math.prod(node.out.shape) * net.edge(node.inputs[0]).shape[-1] * turns
    elif isinstance(node.op, Merge) and node.op.kind == "mul":
        number = math.prod(node.out.shape) * turns
    cost = Cost(
        multiplications=number,
        nonzero_multiplications=number,
        ebops=ebops(net, node) * turns,
        ebops_accumulation=accumulation_ebops(net, node) * turns,
    )
    second = bits[1] if len(bits) > 1 else 0
    return LayerCost(node.name, node.origin, "product" if number else "sum", second, bits[0], cost)


def _memory(const: Const | None) -> int:
    return const.codes.size * const.type.width if const is not None else 0


def _tensor(net: Net, name: str) -> int:
    return math.prod(net.edge(name).shape) * edge_bits(net, name)


def _passed(net: Net) -> int:
    """Return the bits of all tensors that weighted layers read, each once, and of the outputs."""
    read = [node.inputs[0] for node in net.nodes if isinstance(node.op, Dense | Conv)]
    tensors = dict.fromkeys(_feeder(net, name) for name in (*read, *net.outputs))
    return sum(_tensor(net, name) for name in tensors)


def _feeder(net: Net, name: str) -> str:
    """Return the node behind an edge, reshapes passed over: the same values."""
    while isinstance(net.by_name[name].op, Reshape):
        (name,) = net.by_name[name].inputs
    return name


def _notes(layers: list[LayerCost]) -> tuple[str, ...]:
    other = [x for x in layers if x.kind != "weights" and x.cost.multiplications]
    if not other:
        return ()
    number = sum(x.cost.multiplications for x in other)
    names = list(dict.fromkeys(x.layer or x.name for x in other))
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    products = plural(number, "multiplication")
    return (
        "BOPs count weights of dense layers and convolutions only: "
        f"{products} a sample besides ({shown}), counted in EBOPs alone",
    )
