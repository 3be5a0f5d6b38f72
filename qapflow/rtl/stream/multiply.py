"""Whether a layer with weights is unrolled or shares multipliers, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from qapflow.ir import ops
from qapflow.ir.net import Net, Node
from qapflow.rtl.stream.predict import predict_kernel

UNROLLED_LUT = 20_000
"""Predicted LUT of one layer at one position, above which its multipliers are shared."""
MULTIPLIERS = 512
"""Multipliers of one layer, unless a reuse factor says otherwise."""


@dataclass(frozen=True)
class Sharing:
    """What the choice depends on: reuse factors by node, and limits of one layer.

    `interval_cycles` is the time of one sample that no layer need fall below.
    """

    interval_cycles: int
    reuse: Mapping[str, int] = field(default_factory=dict)
    unrolled_lut: float = UNROLLED_LUT
    multipliers: int = MULTIPLIERS


def shares(name: str, op: ops.Dense | ops.Conv, width: int, beats: int, sharing: Sharing) -> bool:
    """Tell whether a layer on `beats` beats a result gets a ROM and multipliers.

    `width` is that of an input value.
    """
    if not can_share(op):
        return False
    return sharing.reuse.get(name, 1) > 1 or beats > 1 or is_large(op, width, sharing)


def can_share(op: ops.Dense | ops.Conv) -> bool:
    """Tell whether a layer has that form: all sums of all values, constants that int64 holds."""
    if isinstance(op, ops.Conv) and op.groups > 1:
        return False
    return op.weight.type.width <= 32 and (op.bias is None or op.bias.type.width <= 48)


def is_large(op: ops.Dense | ops.Conv, width: int, sharing: Sharing) -> bool:
    """Tell whether a layer is too large to be unrolled at one position."""
    return predict_kernel(op, width) > sharing.unrolled_lut


def must_share(node: Node, net: Net, sharing: Sharing) -> bool:
    """Tell whether a node of a network of single beats is a layer too large to be unrolled."""
    op = node.op
    if not isinstance(op, ops.Dense | ops.Conv) or not can_share(op):
        return False
    return is_large(op, net.edge(node.inputs[0]).type.width, sharing)


def divide_work(
    name: str, weight: NDArray[np.int64], beats: int, results: int, sharing: Sharing
) -> tuple[int, int]:
    """Return parts of the values and turns of the sums: their product is clocks a beat.

    `beats` make one result, `results` are wanted a sample. A reuse factor counts the clocks of a
    result, as everywhere in qapflow; without one, as much is shared as costs no time.
    """
    values, sums = len(weight) // beats, weight.shape[1]
    if (reuse := sharing.reuse.get(name, 1)) > 1:
        clocks = max(1, reuse // beats)
    else:
        free = sharing.interval_cycles // (beats * results)
        clocks = max(1, free, ceil(values * sums / sharing.multipliers))
    parts = min(clocks, values)
    parts = ceil(values / ceil(values / parts))
    turns = min(max(1, clocks // parts), sums)
    turns = ceil(sums / ceil(sums / turns))
    return parts, turns
