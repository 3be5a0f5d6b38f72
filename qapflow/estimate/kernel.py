"""What a constant matrix costs depends on its digits: the statistics every estimate starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.digits import count_digits
from qapflow.ir.fixed import Codes, Fixed
from qapflow.ir.ops import Conv, Dense

DSP_DIGITS = 3  # constants with fewer signed digits are built from at most one adder
HARD_ADDERS = 2.2  # such a constant costs like so many adders where it is no DSP
DSP_SUM_BITS = 21  # factors with fewer bits together are multiplied in LUTs
TREE_GROWTH = 1.7  # bits by which the adders of a tree are wider than its leaves, on average

FEW_CODES = 4096  # a table over all codes is faster than sorting them

Mask = NDArray[np.bool_] | None


@dataclass(frozen=True)
class Kernel:
    """A matrix of constants [n_in, n_out] and the widths around it.

    Distinct signed constants are counted input by input: `dsp_constants` those that become a DSP
    (3 or more canonical signed digits, wide enough: `is_dsp`), `lut_adders` the CSD adders of all
    others, `negated_powers` the negative powers of two. `digits` is the non-zero digits of all
    weights, `max_terms` the most non-zero weights one output sums, `sum_width` the mean width of
    the adders: what is left of the products in the accumulator, and the growth of the sum.
    `top_lane_bits`: see `lane_bits`.
    """

    n_in: int
    n_out: int
    weight_width: int
    in_width: int
    accumulator_width: int
    nonzeros: int
    dsp_constants: float
    lut_adders: float
    negated_powers: float
    digits: int
    max_terms: int
    sum_width: float
    top_lane_bits: int = 0


def describe(
    op: Dense | Conv, source: Fixed, accumulator: Fixed, reuse_factor: int = 1, unread: Mask = None
) -> Kernel:
    """Return the statistics of a layer's weights; a convolution is one matrix a position.

    `unread` marks outputs [n_out] that nothing reads, which the tools leave out.
    """
    weight = op.weight.codes
    matrix = weight.reshape(-1, weight.shape[-1])
    if unread is not None and matrix.dtype != object:
        matrix = np.where(unread, 0, matrix)
    groups = op.groups if isinstance(op, Conv) else 1
    values, counts = _histogram(matrix)
    distinct = np.zeros(3, np.float64)
    for block in _blocks(matrix, groups):
        distinct += _count_distinct(block, source.width)
    nonzero = matrix != 0
    lost = max(source.frac + op.weight.type.frac - accumulator.frac, 0)
    return Kernel(
        n_in=matrix.shape[0],
        n_out=matrix.shape[1],
        weight_width=op.weight.type.width,
        in_width=source.width,
        accumulator_width=accumulator.width,
        nonzeros=int(nonzero.sum()),
        dsp_constants=float(distinct[0]),
        lut_adders=float(distinct[1]),
        negated_powers=float(distinct[2]),
        digits=int((count_digits(values) * counts).sum()),
        max_terms=int(nonzero.sum(axis=0).max(initial=0)),
        sum_width=sum_width(source.width, mean_bits(values, counts), lost, accumulator.width),
        top_lane_bits=lane_bits(matrix, reuse_factor),
    )


def is_dsp(in_width: int, constant_bits: Any) -> Any:
    """Tell products that the HLS tools give to a DSP: the factors have `DSP_SUM_BITS` together.

    Found on reports: 16-bit inputs from 5-bit factors on (of variables, and of constants, where a
    positive one needs no sign: 11 and 13 stay in LUTs), 13-bit from 8, 12-bit from 9 bits on.
    """
    return in_width + constant_bits >= DSP_SUM_BITS


def mean_bits(values: Codes, counts: NDArray[np.int64]) -> float:
    """Return the mean bits of the magnitudes of non-zero weights, from their histogram."""
    counts = counts * (values != 0)
    bits = np.frexp(np.abs(values).astype(np.float64))[1]
    return float((bits * counts).sum() / counts.sum()) if counts.any() else 0.0


def _histogram(matrix: Codes) -> tuple[Codes, NDArray[np.int64]]:
    """Return the distinct codes of a matrix, ascending, and how often each occurs."""
    if not matrix.size:
        return matrix.ravel(), np.zeros(0, np.int64)
    low, high = int(matrix.min()), int(matrix.max())
    if matrix.dtype == object or high - low > matrix.size + FEW_CODES:
        values, counts = np.unique(matrix, return_counts=True)
        return values, counts.astype(np.int64)
    counts = np.bincount((matrix - low).ravel())
    return np.arange(low, high + 1), counts.astype(np.int64)


def sum_width(in_width: float, bits: float, lost: float, accumulator_width: float) -> float:
    """Return the mean width of the adders of a tree over products of the mean width."""
    return min(accumulator_width, in_width + bits - lost + TREE_GROWTH)


def lane_bits(matrix: Codes, reuse_factor: int) -> int:
    """Return the signed width of the weights in the last lane of a memory word.

    hls4ml packs weight `reuse_factor * lane + row` of the transposed matrix into one word a row;
    the tools leave out the sign bits that the last lane does not need.
    """
    flat = matrix.T.ravel()
    last = flat[reuse_factor * (ceil_div(flat.size, reuse_factor) - 1) :] if flat.size else flat
    if not last.size:
        return 0
    low, high = int(last.min()), int(last.max())
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1


def _blocks(matrix: Codes, groups: int) -> list[Codes]:
    width = matrix.shape[1] // groups
    return [matrix[:, g * width : (g + 1) * width] for g in range(groups)]


def _count_distinct(block: Codes, in_width: int) -> NDArray[np.float64]:
    """Count distinct constants a row: DSPs, CSD adders of the others, negated powers of two."""
    if not block.size:
        return np.zeros(3, np.float64)
    codes, rows = _distinct(block)
    counts = count_digits(codes)
    below = codes < 0
    real = np.abs(codes.astype(np.float64)) - below  # as wide as the magnitude, less one
    bits = np.frexp(real)[1] + below
    hard = (counts >= DSP_DIGITS) & is_dsp(in_width, bits)
    each = np.where(counts >= DSP_DIGITS, HARD_ADDERS, np.maximum(counts - 1, 0))
    found = (hard, each * ~hard, below & (counts == 1))
    return np.array([(amount * rows).sum() for amount in found], np.float64)


def _distinct(block: Codes) -> tuple[Codes, NDArray[np.int64]]:
    """Return codes, and in how many rows each stands at least once (a code may come twice)."""
    low, high = int(block.min()), int(block.max())
    if block.dtype != object and high - low < FEW_CODES:
        present = np.zeros((len(block), high - low + 1), bool)
        present[np.arange(len(block))[:, None], block - low] = True
        return np.arange(low, high + 1), present.sum(axis=0)
    ordered = np.sort(block, axis=1)
    first = np.ones(ordered.shape, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    codes = ordered[first]
    return codes, np.ones(len(codes), np.int64)


def ceil_div(value: int, by: int) -> int:
    """Divide positive integers, rounding up."""
    return -(-value // by)


def levels(terms: int) -> int:
    """Return the depth of a binary adder tree."""
    return math.ceil(math.log2(terms)) if terms > 1 else 0
