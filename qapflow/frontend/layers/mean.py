"""Division of sums: exact where it matters, by a chosen rounding elsewhere.

Keras divides a float32 sum. A quantizer that follows tells two quotients apart only by its steps:
if those lie on the grid 2**-m, and sums on 2**-f, then S / n is either on max(f, m) or at least
2**-max(f, m) / n away from it, so rounding down to 2**-(max(f, m) + ceil(log2 n)) keeps its side.
"""

from __future__ import annotations

from math import lcm

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.chosen import mean_type
from qapflow.frontend.layers.decide import FLOAT32_BITS, decisions
from qapflow.frontend.layers.work import Work
from qapflow.frontend.quantizers import Quantizer, quantize_weights
from qapflow.ir import kernels
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Affine, Const, Quantize

ENUMERATED = 1 << 20

Counts = NDArray[np.int64]


def divide(work: Work, total: str, counts: Counts) -> str:
    """Divide a sum by how many elements it has: one number, or one a position [..., 1]."""
    counts = np.asarray(counts, np.int64)
    if not (counts & (counts - 1)).any():
        return total if counts.max() == 1 else work.add(Affine(Const.exact(1.0 / counts)), total)
    common = lcm(*counts.ravel().tolist())
    largest = int(counts.max())
    sums = work.builder.edges[total].type.frac
    if counts.size > 1:
        factor = Const(common // counts, Fixed.holding(0, int((common // counts).max()), 0))
        total = work.add(Affine(factor), total, suffix="weighted")
    steps = decisions(work.deciders())
    if steps is None:
        kind = mean_type(work.builder, total, common, work.options.float_bits)
        work.reasons.append(f"division by {_words(counts)} rounded to {kind}")
        return work.add(Quantize(kind, Rounding.RND, Overflow.SAT, common), total)
    grid = max(sums, steps.frac)
    if steps.noise * largest * 2.0**grid >= 1:
        work.notes.append(
            f"{work.spec.name}: divided by {_words(counts)}, a sum can come so close to a step of "
            "the next quantizer that Keras's float32 rounds across it"
        )
    frac = grid + (largest - 1).bit_length()
    low, high = work.builder.intervals[total].hull
    shift = frac - work.builder.edges[total].type.frac
    kind = Fixed.holding((low << shift) // common, (high << shift) // common, frac)
    work.inner = work.inner or work.own_quantizer() is None
    return work.add(Quantize(kind, Rounding.TRN, Overflow.SAT, common), total)


def _words(counts: Counts) -> str:
    return " or ".join(str(count) for count in sorted(set(counts.ravel().tolist())))


def multiply_mean(work: Work, total: str, counts: Counts, area: int, quantizer: Quantizer) -> str:
    """Divide by the count, multiply by the area, then by its quantized inverse, as QKeras does."""
    factor = quantize_weights(quantizer, np.asarray(1.0 / area, np.float32), "average")
    if not factor.exact:
        work.reasons.append(factor.reason)
    if counts.size > 1 or (area & (area - 1) and not _survives(work, total, area)):
        work.reasons.append(f"QKeras divides by {area} in float32 and multiplies again")
    if counts.size > 1:  # area / count is whole only where nothing is padded
        total = divide(work, total, counts)
        total = work.add(Affine(Const.exact(float(area))), total, suffix="area")
    return work.add(Affine(factor.const), total)


def _survives(work: Work, total: str, area: int) -> bool:
    """Tell whether float32 gives every possible sum back after dividing and multiplying."""
    low, high = work.builder.intervals[total].hull
    if high - low >= ENUMERATED or kernels.peak(np.array([low, high], object)) >> FLOAT32_BITS:
        return False
    sums = np.arange(low, high + 1).astype(np.float32)
    return bool(np.array_equal(sums / np.float32(area) * np.float32(area), sums))
