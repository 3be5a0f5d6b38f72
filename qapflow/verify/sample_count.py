"""How many verification samples a network gets when nobody asks for a number."""

from __future__ import annotations

from math import prod

import numpy as np

from qapflow.ir.net import Net, count_turns, with_bodies
from qapflow.ir.ops import Conv, Dense, MatMul

MOST, LEAST = 1000, 100
# In the C simulation of all samples: about a minute on two cores.
MULTIPLICATIONS = 10**9


def default_samples(net: Net) -> int:
    """Return 1000, fewer (at least 100) for networks of more than a million multiplications."""
    return int(np.clip(MULTIPLICATIONS // max(1, count_multiplications(net)), LEAST, MOST))


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
