"""Whether a layer with weights is unrolled or shares multipliers, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from qapflow.ir import ops

UNROLLED_WEIGHTS = 4096
"""Nonzero weights of one kernel: more take the tracer minutes and some 50,000 LUT."""
MULTIPLIERS = 512
"""Multipliers of one layer, unless a reuse factor says otherwise."""


@dataclass(frozen=True)
class Sharing:
    """What the choice depends on: reuse factors by node, and limits of one layer.

    `interval_cycles` is the time of one sample that no layer need fall below.
    """

    interval_cycles: int
    reuse: Mapping[str, int] = field(default_factory=dict)
    unrolled_weights: int = UNROLLED_WEIGHTS
    multipliers: int = MULTIPLIERS


def shares(name: str, op: ops.Dense | ops.Conv, beats: int, sharing: Sharing) -> bool:
    """Tell whether a layer on `beats` beats a result gets a ROM and multipliers."""
    if isinstance(op, ops.Conv) and op.groups > 1:
        return False
    if op.weight.type.width > 32:
        return False
    return (
        sharing.reuse.get(name, 1) > 1
        or int(np.count_nonzero(op.weight.codes)) > sharing.unrolled_weights
        or beats > 1
    )


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
