"""How many bits a value takes where it is multiplied: constants by their digits, edges by type."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import Codes
from qapflow.ir.net import Net
from qapflow.ir.ops import Flip, Pool, Reshape, Table, Threshold, Transpose, Upsample

MOVES = (Reshape, Transpose, Flip, Upsample)  # the same values in other places


def enclosed_bits(codes: Codes) -> NDArray[np.int64]:
    """Count the bits from the most to the least significant one bit of each absolute value.

    0 has none, 1, -2 and 64 have 1, 5 and 20 have 3; signs do not count (HGQ's width of a
    constant, Sun et al., arXiv:2405.00645; `kernel_bw_exact` of its code).
    """
    values, places = np.unique(np.abs(codes), return_inverse=True)
    counts = np.array([_enclosed(int(value)) for value in values], np.int64)
    return counts[places].reshape(np.shape(codes))


def _enclosed(value: int) -> int:
    return (value // (value & -value)).bit_length() if value else 0


def edge_bits(net: Net, name: str) -> int:
    """Return the bits of an edge, the sign included; 1 where it takes two values only (+1, -1)."""
    node = net.by_name[name]
    while isinstance(node.op, MOVES) or (isinstance(node.op, Pool) and node.op.kind == "max"):
        node = net.by_name[node.inputs[0]]
    if isinstance(node.op, Threshold | Table) and np.unique(node.op.values.codes).size <= 2:
        return 1
    return net.edge(name).type.width


def constant_bits(codes: Codes, width: int) -> int:
    """Return the bits of constants of a type of `width` bits; 1 for +c and -c without zero."""
    return 1 if np.unique(codes).size <= 2 and np.all(codes != 0) else width
