"""How far the announced rounding of a float layer can move a value at most.

Constants are rounded to a grid (one step each at most: the largest may saturate), results to
another. So a sum of products moves by at most the sum of the input's magnitudes times a step of
the weights, plus a step of the bias; each rounding after it by its own step; limits by nothing.
A table's error is the one stated when it was made, where nothing comes behind the table: no bound
is derived for loops, in which errors add up, nor for what multiplies the values of tables.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.ops import Clip, Const, Conv, Dense, Quantize
from qapflow.verify.evidence import Evidence
from qapflow.verify.float_proof import MOVES, sum_of_magnitudes
from qapflow.verify.parts import between

STATED = re.compile(r"(?:error at most|off by less than) (\d[\d.e+-]*\d)")
ACTIVATIONS = ("Activation", "QActivation", "Softmax", "ELU", "ReLU", "LeakyReLU", "PReLU")
ROUNDED = 1.05  # a stated error has two digits


def rule_bound(evidence: Evidence) -> NDArray[np.float64] | None:
    """Return the largest distance [n, *shape] that the rule allows, None where none is derived."""
    record = evidence.part.record
    stated = STATED.findall(record.reason)
    if stated and record.class_name in ACTIVATIONS:
        return np.full(evidence.ours.shape, sum(map(float, stated)) * ROUNDED)
    nodes = [node for node in evidence.part.net.nodes if not isinstance(node.op, MOVES)]
    if not nodes or not isinstance(op := nodes[0].op, Dense | Conv):
        return None
    after = nodes[1:]
    if not all(isinstance(node.op, Quantize | Clip) for node in after):
        return None
    start = between(evidence.part.net, set(evidence.inputs), nodes[0].name)
    steps = replace(op, weight=_one_step(op.weight), bias=op.bias and _one_step(op.bias))
    moved = sum_of_magnitudes(start, nodes[0], steps, evidence.inputs)
    moved = moved.reshape(evidence.ours.shape)
    return moved + sum(float(n.out.type.lsb) for n in after if isinstance(n.op, Quantize))


def _one_step(const: Const) -> Const:
    ones: NDArray[Any] = np.ones(const.codes.shape, np.int64)
    return Const(ones, replace(const.type, signed=False))
