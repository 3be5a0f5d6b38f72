"""Which reuse factors a layer can have, and how many multiplications run at once.

The rule is hls4ml's (`FPGABackend._validate_reuse_factor`): with the resource strategy its kernels
are correct only for these factors, and it would quietly take another one.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import lru_cache

from qapflow.errors import UsageError
from qapflow.ir.net import Node
from qapflow.ir.ops import Conv, Dense
from qapflow.plan import Choice


def has_weights(node: Node) -> bool:
    """Tell whether a plan needs a choice for this node."""
    return isinstance(node.op, Dense | Conv)


def is_depthwise(op: Dense | Conv) -> bool:
    """Tell whether every input channel is convolved on its own."""
    return isinstance(op, Conv) and op.groups > 1 and op.weight.codes.shape[-2] == 1


def multiplier_shape(node: Node) -> tuple[int, int]:
    """Return (inputs, outputs) of the matrix that one reuse of the multipliers goes through.

    That is `n_in`, `n_out` of a Dense and kernel size * channels, filters of a Conv; of a depthwise
    Conv as hls4ml counts it (all channels), of any other grouped Conv of one group.
    """
    op = node.op
    if isinstance(op, Dense):
        n_in, n_out = op.weight.codes.shape
        return int(n_in), int(n_out)
    if not isinstance(op, Conv):
        raise UsageError(f"{node.name} has no weights", node.origin or node.name)
    *kernel, channels, filters = op.weight.codes.shape
    if is_depthwise(op):
        return math.prod(kernel) * op.groups, int(filters)
    return math.prod(kernel) * channels, int(filters) // op.groups


def multiplications(node: Node) -> int:
    """Return how many multiplications one pass of the kernel makes (a pixel, for a Conv)."""
    op = node.op
    return int(op.weight.codes.size) if isinstance(op, Dense | Conv) else 0


def valid_reuse_factors(node: Node) -> tuple[int, ...]:
    """Return the reuse factors of the resource strategy, ascending, always starting at 1."""
    n_in, n_out = multiplier_shape(node)
    factors = _valid(n_in, n_out)
    if isinstance(node.op, Conv) and is_depthwise(node.op):
        factors = tuple(f for f in factors if f <= n_in and n_in % f == 0)
    return factors


@lru_cache(maxsize=1024)
def _valid(n_in: int, n_out: int) -> tuple[int, ...]:
    total = n_in * n_out
    small = [d for d in range(1, math.isqrt(total) + 1) if total % d == 0]
    divisors = sorted({*small, *(total // d for d in small)})
    return tuple(f for f in divisors if _is_valid(n_in, n_out, f))


def _is_valid(n_in: int, n_out: int, factor: int) -> bool:
    limit = -(-n_in * n_out // min(n_in, factor))
    whole_outputs = limit % n_out == 0 or factor >= n_in
    whole_inputs = factor % n_in == 0 or factor < n_in
    return whole_outputs and whole_inputs and (n_in * n_out) % factor == 0


def parallel_multiplications(node: Node, choice: Choice) -> int:
    """Return how many multiplications are unrolled side by side.

    The latency strategy unrolls all of them, whatever its reuse factor.
    """
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
