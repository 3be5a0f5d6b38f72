"""Layers that join several inputs."""

from __future__ import annotations

from typing import Literal

import numpy as np

from qapflow.frontend.layers.mean import divide
from qapflow.frontend.layers.work import Handler, Work
from qapflow.ir.ops import Concat, Merge, Reshape

Kind = Literal["add", "sub", "mul", "max", "min"]


def concatenate(work: Work) -> str:
    """Translate Concatenate."""
    axis = int(work.config.get("axis", -1))
    rank = len(work.shape(work.inputs[0]))
    axis = axis - 1 if axis > 0 else axis + rank
    if not 0 <= axis < rank:
        raise work.misfit(f"axis={work.config.get('axis')} does not join {rank} axes")
    if len(work.inputs) == 1:
        return work.inputs[0]
    return work.add(Concat(axis), *work.inputs)


def merge(kind: Kind) -> Handler:
    """Return the handler of Add, Subtract, Multiply, Maximum or Minimum."""

    def handler(work: Work) -> str:
        return _chain(work, kind)

    return handler


def _chain(work: Work, kind: Kind) -> str:
    edges = _same_rank(work)
    if kind == "sub" and len(edges) != 2:
        raise work.misfit(f"it subtracts {len(edges)} inputs, two are expected")
    result = edges[0]
    for edge in edges[1:]:
        result = work.add(Merge(kind), result, edge)
    return result


def _same_rank(work: Work) -> list[str]:
    """Give every input the same rank; Keras puts new axes after the batch."""
    rank = max(len(work.shape(edge)) for edge in work.inputs)
    edges = []
    for edge in work.inputs:
        shape = work.shape(edge)
        if len(shape) < rank:
            grown = (1,) * (rank - len(shape)) + shape
            edges.append(work.add(Reshape(grown), edge, suffix="grown"))
        else:
            edges.append(edge)
    return edges


def average(work: Work) -> str:
    """Translate Average: the sum divided by the number of inputs."""
    return divide(work, _chain(work, "add"), np.asarray(len(work.inputs)))
