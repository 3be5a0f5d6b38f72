"""What a layer costs, roughly: enough to choose a reuse factor by, not a figure of any report.

The formulas are fits to public C synthesis reports of hls4ml layers; the estimates in reports come
from `qapflow.estimate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qapflow.ir.digits import count_digits
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Conv, Dense
from qapflow.plan import Choice
from qapflow.plan.reuse import parallel_multiplications

_DSP_INPUT_BITS = 10  # constant products of narrower inputs go to LUTs
_DSP_WEIGHT_BITS = 8  # variable products of narrower weights go to LUTs


@dataclass(frozen=True)
class RoughCost:
    """LUT, DSP and BRAM18 of one layer, or of all."""

    lut: float = 0.0
    dsp: float = 0.0
    bram18: float = 0.0

    def __add__(self, other: RoughCost) -> RoughCost:
        return RoughCost(self.lut + other.lut, self.dsp + other.dsp, self.bram18 + other.bram18)


def rough_cost(net: Net, node: Node, choice: Choice) -> RoughCost:
    """Return the rough cost of a Dense or Conv under a choice."""
    op = node.op
    if not isinstance(op, Dense | Conv):
        return RoughCost()
    source = net.edge(node.inputs[0]).type.width
    if choice.strategy == "resource" and choice.reuse_factor > 1:
        return _shared(node, choice, source, op.weight.type.width)
    products = int(np.count_nonzero(op.weight.codes))
    lut = 1.07 * products * node.out.type.width
    if choice.strategy == "distributed_arithmetic" or source < _DSP_INPUT_BITS:
        return RoughCost(lut=lut)
    return RoughCost(lut=lut, dsp=_hard_constants(op))


def _shared(node: Node, choice: Choice, source: int, weight: int) -> RoughCost:
    """Multipliers that read their weights from block RAM, `reuse_factor` times a sample."""
    lanes = parallel_multiplications(node, choice)
    words = math.ceil(lanes * weight / 36) * math.ceil(choice.reuse_factor / 512)
    adders = lanes * node.out.type.width
    if weight >= _DSP_WEIGHT_BITS:
        return RoughCost(lut=adders, dsp=lanes, bram18=words)
    return RoughCost(lut=adders + lanes * source * weight / 2, bram18=words)


def _hard_constants(op: Dense | Conv) -> float:
    """Count distinct constants an input that have three signed digits or more: one DSP each."""
    rows = op.weight.codes.reshape(-1, op.weight.codes.shape[-1])
    values, which = np.unique(rows, return_inverse=True)
    hard = count_digits(values) >= 3
    which = np.sort(which.reshape(rows.shape), axis=1)
    first = np.ones(rows.shape, bool)
    first[:, 1:] = which[:, 1:] != which[:, :-1]
    return float(np.count_nonzero(first & hard[which]))
