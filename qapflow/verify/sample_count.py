"""How many verification samples a network gets when nobody asks for a number."""

from __future__ import annotations

from math import prod

import numpy as np

from qapflow.ir.net import Net, count_turns, with_bodies
from qapflow.ir.ops import Conv, Dense, MatMul

MOST, ENOUGH, FEWEST = 1000, 100, 2
MULTIPLICATIONS = 10**9
PATIENCE = 10**10


def default_samples(net: Net) -> int:
    """Return 1000; fewer above a million multiplications a sample, below 100 only above 10**8.

    The C simulation of 10**9 multiplications takes about a minute on two cores. From a million on
    it is kept to that, by 100 samples at least; from 10**8 on to ten times as much, by at least 2.
    """
    each = max(1, count_multiplications(net))
    few = np.clip(PATIENCE // each, FEWEST, ENOUGH)
    return int(np.clip(MULTIPLICATIONS // each, few, MOST))


def count_multiplications(net: Net) -> int:
    """Return the multiplications by weights and of edges in one sample, every turn of a loop."""
    total, turns = 0, count_turns(net)
    view = with_bodies(net)
    for node in view.nodes:
        if isinstance(node.op, Dense | Conv):
            weight = node.op.weight.codes
            total += turns[node.name] * prod(node.out.shape) * (weight.size // weight.shape[-1])
        elif isinstance(node.op, MatMul):
            inner = view.edge(node.inputs[0]).shape[-1]
            total += turns[node.name] * prod(node.out.shape) * inner
    return total
