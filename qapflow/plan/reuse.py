"""Which reuse factors a layer can have, and how many multiplications run at once.

The rule is `qapflow.lower.limits.valid_reuse_factors`: hls4ml's own, less those with which its
kernels go wrong. hls4ml would quietly take another factor.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from qapflow.errors import UsageError
from qapflow.ir.net import Node
from qapflow.ir.ops import Conv, Dense
from qapflow.lower import layers, limits
from qapflow.plan import Choice


def has_weights(node: Node) -> bool:
    """Tell whether a plan needs a choice for this node."""
    return isinstance(node.op, Dense | Conv)


def multiplier_shape(node: Node) -> tuple[int, int]:
    """Return (inputs, outputs) of the matrix that one reuse of the multipliers goes through.

    That is `n_in`, `n_out` of a Dense and kernel size * channels, filters of a Conv, both as the
    project builds it: groups and dilation filled up with zeros, a depthwise Conv with all channels.
    """
    op = node.op
    if not isinstance(op, Dense | Conv):
        raise UsageError(f"{node.name} has no weights", node.origin or node.name)
    n_in, n_out = layers.multiplier_shape(op)
    return int(n_in), int(n_out)


def multiplications(node: Node) -> int:
    """Return how many multiplications one pass of the kernel makes (a pixel, for a Conv)."""
    n_in, n_out = multiplier_shape(node)
    return n_in if is_depthwise(node) else n_in * n_out


def nonzero_products(node: Node) -> int:
    """Return how many of these have a weight that is not zero."""
    return int(np.count_nonzero(node.op.weight.codes)) if isinstance(node.op, Dense | Conv) else 0


def can_be_written_out(node: Node) -> bool:
    """Tell whether a layer can have each product in a line of its own: dense, on one row."""
    return isinstance(node.op, Dense) and len(node.out.shape) == 1


def is_depthwise(node: Node) -> bool:
    """Tell whether every input channel is convolved on its own."""
    return isinstance(node.op, Conv) and layers.is_depthwise(node.op)


def valid_reuse_factors(node: Node) -> tuple[int, ...]:
    """Return the reuse factors of the resource strategy, ascending, always starting at 1."""
    op = node.op
    return limits.valid_reuse_factors(op) if isinstance(op, Dense | Conv) else (1,)


def parallel_multiplications(node: Node, choice: Choice) -> int:
    """Return how many multiplications are unrolled side by side.

    The latency strategy unrolls all of them, whatever its reuse factor; written out, those with a
    weight that is not zero.
    """
    if choice.written_out:
        return nonzero_products(node)
    total = multiplications(node)
    return -(-total // choice.reuse_factor) if choice.strategy == "resource" else total


def nearest(values: tuple[int, ...], wanted: int) -> tuple[int, ...]:
    """Return the one or two values around `wanted` (values ascending)."""
    position = bisect_left(values, wanted)
    return values[max(position - 1, 0) : position + 1]


def check_choice(node: Node, choice: Choice) -> None:
    """Refuse a choice that the kernels cannot have.

    Raises:
        UsageError: the reuse factor is impossible with that strategy; names the nearest valid ones.
    """
    at = f"layer {node.origin or node.name}"
    factor = choice.reuse_factor
    if choice.strategy == "distributed_arithmetic":
        if factor != 1:
            what = f"distributed arithmetic has reuse factor 1 only, not {factor}"
            raise UsageError(what, at, "reuse_factor: 1, or strategy: resource")
        return
    if choice.strategy == "latency":
        n_in, n_out = multiplier_shape(node)
        if not 1 <= factor <= n_in * n_out:
            what = f"reuse factor {factor} is not possible: there are {n_in * n_out} products"
            raise UsageError(what, at, f"give a whole number from 1 to {n_in * n_out}")
        return
    valid = valid_reuse_factors(node)
    if factor not in valid:
        close = " or ".join(map(str, nearest(valid, factor)))
        what = f"reuse factor {factor} is not valid here; the nearest valid is {close}"
        raise UsageError(what, at, f"one of {_listed(valid)}")


def _listed(values: tuple[int, ...]) -> str:
    if len(values) <= 24:
        return ", ".join(map(str, values))
    return ", ".join(map(str, values[:20])) + f", ... {values[-1]}"
