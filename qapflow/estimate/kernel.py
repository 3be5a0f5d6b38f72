"""What a constant matrix costs depends on its digits: the statistics every estimate starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.digits import count_digits
from qapflow.ir.fixed import Codes
from qapflow.ir.ops import Conv, Dense

DSP_DIGITS = 3  # constants with fewer signed digits are built from at most one adder


@dataclass(frozen=True)
class Kernel:
    """A matrix of constants [n_in, n_out] and the widths around it.

    `dsp_constants` counts, input by input, the distinct signed constants with 3 or more non-zero
    canonical signed digits (CSD), `one_adder_constants` those with exactly 2; `adders` is the
    CSD adders of all distinct constants, `digits` the non-zero digits of all weights;
    `max_terms` is the most non-zero weights one output sums.
    """

    n_in: int
    n_out: int
    weight_width: int
    in_width: int
    accumulator_width: int
    nonzeros: int
    dsp_constants: int
    one_adder_constants: int
    adders: int
    digits: int
    max_terms: int


def describe(op: Dense | Conv, in_width: int, accumulator_width: int) -> Kernel:
    """Return the statistics of a layer's weights; a convolution is one matrix a position."""
    weight = op.weight.codes
    matrix = weight.reshape(-1, weight.shape[-1])
    groups = op.groups if isinstance(op, Conv) else 1
    digits = count_digits(matrix)
    distinct = np.zeros(3, np.int64)
    for block, block_digits in _blocks(matrix, digits, groups):
        distinct += _count_distinct(block, block_digits)
    nonzero = matrix != 0
    return Kernel(
        n_in=matrix.shape[0],
        n_out=matrix.shape[1],
        weight_width=op.weight.type.width,
        in_width=in_width,
        accumulator_width=accumulator_width,
        nonzeros=int(nonzero.sum()),
        dsp_constants=int(distinct[0]),
        one_adder_constants=int(distinct[1]),
        adders=int(distinct[2]),
        digits=int(digits.sum()),
        max_terms=int(nonzero.sum(axis=0).max(initial=0)),
    )


def _blocks(matrix: Codes, digits: NDArray[np.int64], groups: int) -> list[tuple[Any, Any]]:
    width = matrix.shape[1] // groups
    cuts = [slice(g * width, (g + 1) * width) for g in range(groups)]
    return [(matrix[:, cut], digits[:, cut]) for cut in cuts]


def _count_distinct(block: Codes, digits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count distinct constants a row: with 3 digits or more, with 2, and adders of all."""
    if not block.size:
        return np.zeros(3, np.int64)
    order = np.argsort(block, axis=1, kind="stable")
    codes = np.take_along_axis(block, order, axis=1)
    counts = np.take_along_axis(digits, order, axis=1)
    first = np.ones(codes.shape, bool)
    first[:, 1:] = codes[:, 1:] != codes[:, :-1]
    many = first & (counts >= DSP_DIGITS)
    two = first & (counts == 2)
    return np.array([many.sum(), two.sum(), (first * np.maximum(counts - 1, 0)).sum()], np.int64)


def ceil_div(value: int, by: int) -> int:
    """Divide positive integers, rounding up."""
    return -(-value // by)


def levels(terms: int) -> int:
    """Return the depth of a binary adder tree."""
    return math.ceil(math.log2(terms)) if terms > 1 else 0
