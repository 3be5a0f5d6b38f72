"""Kernels scaled by floats: their few levels are the weights, the floats multiply the sums behind.

sum_i x_i (s w_i) = s sum_i x_i w_i, one s an output channel: the sum of products is exact with
weights of few bits. Keras multiplies first and adds rounded products in float32; how far that may
be off is bounded (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.chosen import round_const, round_to
from qapflow.frontend.layers.norm import F32, Variant, add_line
from qapflow.frontend.layers.work import Work
from qapflow.frontend.quantizers import quantize_weights
from qapflow.frontend.quantizers.float32 import Scaled, single
from qapflow.frontend.quantizers.weights import scales_by_floats
from qapflow.ir.ops import Affine, Const

HALF_ULP = 2.0**-24
MARGIN = 1 + 2.0**-10  # for products of errors
FLOAT32_BITS, READ_BITS = 24, 36  # of the largest factor, the latter where readers round
WIDEST_SUM, WIDEST = 36, 60  # bits of the sum of products, and of it times a factor

Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScaledKernel:
    """Levels as weights [*kernel, inputs, channels], and for each channel its factor.

    `reach` bounds the sum of |x w s|, `error` how far Keras's float32 may be off the exact sum.
    """

    levels: Const
    factor: Reals
    reach: Reals
    error: Reals


def add_scaled(
    work: Work,
    name: str,
    key: str,
    role: str,
    shape: Callable[[tuple[int, ...]], tuple[int, ...]],
    products: Callable[[Const], str],
) -> str | None:
    """Add a layer whose kernel is scaled by floats; None if the kernel is another or must stay.

    `shape` tells the shape [*kernel, inputs, channels] of the stored kernel, `products` adds the
    sum of products without bias.
    """
    made = _split(work, name, key, role, shape)
    if made is None:
        return None
    values, scaled = made
    work.kernels.append((values, scaled.levels))
    edge = products(scaled.levels)
    return _scale(work, edge, scaled)


def _split(
    work: Work,
    name: str,
    key: str,
    role: str,
    shape: Callable[[tuple[int, ...]], tuple[int, ...]],
) -> tuple[F32, ScaledKernel] | None:
    quantizer = work.quantizer(key)
    if quantizer is None or not scales_by_floats(quantizer):
        return None
    values = single(work.array(name))
    made = quantize_weights(quantizer, values, role)
    if made.scaled is None:
        return None
    target = (-1, shape(values.shape)[-1])
    factors = np.broadcast_to(made.scaled.factor, values.shape).reshape(target)
    if (factors != factors[0]).any():
        return None
    live = made.scaled.factor != 0  # a channel of zeros has levels all the same
    levels = Const.exact((made.scaled.levels * live).reshape(shape(values.shape)))
    kernel = _bound(work, made.scaled, levels, factors[0].astype(np.float64))
    if kernel is None:
        return None
    unsure = int(np.count_nonzero(made.scaled.doubt))
    if unsure:
        work.reasons.append(
            f"{unsure} weights of {quantizer} hang on the last bit of float32; "
            "QKeras's own result depends on the machine"
        )
    return values, kernel


def _bound(work: Work, scaled: Scaled, levels: Const, factor: Reals) -> ScaledKernel | None:
    """Bound the float32 of Keras: rounded weights, rounded products, sums in any order."""
    kind, interval = work.builder.edges[work.input].type, work.builder.intervals[work.input]
    peak = max(-interval.low, interval.high, 1)
    codes = levels.codes.reshape(-1, levels.codes.shape[-1])
    if (peak * int(np.abs(codes).sum(axis=0).max())).bit_length() >= WIDEST_SUM:
        return None
    largest = float(np.ldexp(float(peak), -kind.frac))
    weights = np.abs(np.ldexp(codes.astype(np.float64), -levels.type.frac) * factor)
    start = np.abs(scaled.start.reshape(codes.shape).astype(np.float64))
    reach = largest * weights.sum(axis=0)
    # scale * level is rounded, and in start + (-start + result) both sums are
    stored = HALF_ULP * largest * (3 * weights + start).sum(axis=0)
    terms = np.count_nonzero(codes, axis=0) + 1
    summed = terms * HALF_ULP / (1 - terms * HALF_ULP)
    error = MARGIN * (stored + (scaled.relative + summed) * reach)
    return ScaledKernel(levels, factor, reach, error)


def _scale(work: Work, edge: str, kernel: ScaledKernel) -> str:
    """Multiply the sums and add the bias, as exactly as what reads the result can tell."""
    offset = np.zeros(kernel.factor.shape)
    if work.config.get("use_bias", True):
        bias = quantize_weights(work.quantizer("bias_quantizer"), work.array("bias"), "bias")
        offset = np.ldexp(bias.const.codes.astype(np.float64), -bias.const.type.frac)
        if not bias.exact and bias.quantizer is not None:
            work.reasons.append(f"bias: {bias.reason}")
    error = kernel.error + 2 * HALF_ULP * (kernel.reach + np.abs(offset))
    line = add_line(work, edge, kernel.factor, offset, _variants(kernel.factor, offset, error))
    if line is not None:
        return line
    kind = work.builder.edges[edge].type
    bits = FLOAT32_BITS
    if work.quantizes_next:
        bits = max(min(READ_BITS, WIDEST - kind.width), FLOAT32_BITS)
    factor = round_const(Const.exact(kernel.factor), bits)
    shift = Const.exact(offset)
    shift = round_to(shift, min(shift.type.frac, kind.frac + factor.type.frac))
    off = np.abs(_values(factor) - kernel.factor) / np.where(kernel.factor == 0, 1, kernel.factor)
    rounded = np.abs(off) * kernel.reach + np.abs(_values(shift) - offset)
    work.reasons.append(
        f"the scales of the weights are floats of {bits} bits: results are off the exact ones by"
        f" {rounded.max():.2g} at most, Keras's float32 by {error.max():.2g} at most"
    )
    return work.add(Affine(factor, shift), edge)


def _values(const: Const) -> Reals:
    return np.ldexp(const.codes.astype(np.float64), -const.type.frac)


def _variants(factor: Reals, offset: Reals, error: Reals) -> tuple[Variant, ...]:
    """Return the lowest and the highest result that float32 may give."""

    def moved(sign: int) -> Variant:
        return lambda c, x: single(x.astype(np.float64) * factor[c] + offset[c] + sign * error[c])

    return tuple(moved(sign) for sign in (-1, 1))
