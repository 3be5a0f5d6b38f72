"""Batch normalization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.chosen import round_const, round_to
from qapflow.frontend.layers.fit_line import Lines, fit_lines
from qapflow.frontend.layers.work import Work
from qapflow.frontend.quantizers import parse_quantizer, quantize_weights
from qapflow.ir.ops import Affine, Const

FLOAT32_BITS = 24
FACTOR_BITS = 36  # float32 factors that differ by up to 2**12 are kept exactly
OFFSET_FRAC = 32  # finest grid on which an offset is kept
NEAR = 2.0**-22  # how far TensorFlow's reciprocal square root may lie from the nearest float32
F32 = NDArray[np.float32]
Variant = Callable[[NDArray[np.int64], F32], F32]

# What QBatchNormalization uses where nothing is said.
QUANTIZERS = {
    "gamma_quantizer": "quantized_relu_po2(6, 2048)",
    "beta_quantizer": "quantized_po2(5)",
    "mean_quantizer": "quantized_po2(5)",
    "variance_quantizer": "quantized_relu_po2(6, quadratic_approximation=True)",
}


def batch_norm(work: Work) -> str:
    """Translate BatchNormalization and QBatchNormalization at inference.

    y = (x - mean) * gamma / sqrt(variance + epsilon) + beta (Ioffe and Szegedy, arXiv 1502.03167).
    Where one quantizer reads the result, factor and offset are the coarsest that take every code to
    its side of every step. Elsewhere, if readers round, the float32 factor multiplies exactly and
    the offset is rounded to 2**-32 or the grid of the product; else both are rounded by the rule
    for float weights.
    """
    behind = axes_behind(work)
    if work.config.get("inverse_quantizer") is not None:
        raise work.refuse("inverse_quantizer is not supported", "leave it unset")
    mean = _statistic(work, "moving_mean", "mean_quantizer", "mean")
    variance = _statistic(work, "moving_variance", "variance_quantizer", "variance")
    scale = inverse_deviation(variance, work.config.get("epsilon", 1e-3))
    if work.config.get("scale", True):
        scale = scale * _statistic(work, "gamma", "gamma_quantizer", "gamma")
    offset = -mean.astype(np.float64) * scale.astype(np.float64)
    beta = np.zeros(scale.shape, np.float32)
    if work.config.get("center", True):
        beta = _statistic(work, "beta", "beta_quantizer", "beta")
        offset = offset + beta.astype(np.float64)
    variants = _variants(scale, mean, beta)
    places = (-1, *(1,) * behind)
    scale, offset = scale.reshape(places), offset.reshape(places)
    return work.finish(scale_and_shift(work, scale, offset, "batch normalization", variants))


def _variants(scale: F32, mean: F32, beta: F32) -> tuple[Variant, ...]:
    """How TensorFlow may compute it in float32: fused or not, its square root near the nearest."""

    def fused(factor: F32) -> Variant:
        return lambda c, x: (x - mean[c]) * factor[c] + beta[c]

    def plain(factor: F32) -> Variant:
        return lambda c, x: x * factor[c] + (beta[c] - mean[c] * factor[c])

    factors = [scale * np.float32(1 + sign * NEAR) for sign in (-1, 0, 1)]
    return tuple(make(factor) for factor in factors for make in (fused, plain))


def rescale(work: Work) -> str:
    """Translate Rescaling: x * scale + offset."""
    scale = np.asarray(work.config.get("scale", 1.0), np.float32)
    offset = np.asarray(work.config.get("offset", 0.0), np.float32)
    rank = len(work.shape())
    if scale.ndim > rank or offset.ndim > rank:
        raise work.misfit(f"scales of shape {scale.shape} do not fit {work.shape()}")
    variants: tuple[Variant, ...] = ()
    if scale.size == 1 and offset.size == 1:
        variants = (lambda _, x: x * scale.reshape(()) + offset.reshape(()),)
    wide = offset.astype(np.float64)
    return work.finish(scale_and_shift(work, scale, wide, "rescaling", variants))


def scale_and_shift(
    work: Work,
    scale: F32,
    offset: NDArray[np.float64],
    what: str,
    variants: tuple[Variant, ...] = (),
) -> str:
    """Add x * scale + offset, with constants as the rule of `batch_norm` says.

    `variants` compute in float32 as TensorFlow may; without them no line is fitted.
    """
    if not (np.isfinite(scale).all() and np.isfinite(offset).all()):
        raise work.refuse(
            f"{what} has a factor or offset that is NaN or infinite", "train it again"
        )
    factor, shift = Const.exact(scale), Const.exact(offset)
    edge = work.builder.edges[work.input].type
    grid = max(edge.frac + factor.type.frac, edge.frac)
    exact = shift.type.frac <= grid and _powers_of_two(factor) and factor.type.width <= FACTOR_BITS
    if not exact and variants and (fitted := add_line(work, work.input, scale, offset, variants)):
        return fitted
    if not exact:
        follows = work.quantizes_next
        factor = round_const(factor, FACTOR_BITS if follows else work.options.float_bits)
        finest = max(edge.frac, OFFSET_FRAC if follows else edge.frac + factor.type.frac)
        shift = round_to(shift, min(shift.type.frac, finest))
    made = work.add(Affine(factor, shift))
    if not exact or work.builder.edges[made].type.width > FLOAT32_BITS:
        work.reasons.append(f"{what} scales by floats")
    return made


def add_line(
    work: Work,
    edge: str,
    scale: NDArray[np.floating[Any]],
    offset: NDArray[np.float64],
    variants: tuple[Variant, ...],
) -> str | None:
    """Add the coarsest line that the only quantizer behind it cannot tell from the real one."""
    deciders = set(work.deciders())
    if len(deciders) != 1:
        return None
    hull, frac = work.builder.intervals[edge].hull, work.builder.edges[edge].type.frac
    lines = Lines(np.ravel(scale).astype(np.float64), np.ravel(offset), variants)
    found = fit_lines(lines, deciders.pop(), hull, frac)
    if found is None:
        return None
    if found.close:
        work.reasons.append(
            "steps of the next quantizer so near a result that Keras's float32 may round across:"
            f" {found.close}; other codes are exact"
        )
    work.decided = True
    work.inner = work.inner or work.own_quantizer() is None
    shape = np.shape(scale)
    constants = [Const(c.codes.reshape(shape), c.type) for c in (found.scale, found.offset)]
    return work.add(Affine(*constants), edge)


def inverse_deviation(variance: NDArray[np.floating[Any]], epsilon: Any) -> F32:
    """1 / sqrt(variance + epsilon), the float32 nearest to it."""
    shifted = variance.astype(np.float32) + np.float32(epsilon)
    with np.errstate(all="ignore"):
        return np.asarray(1 / np.sqrt(shifted.astype(np.float64)), np.float32)


def axes_behind(work: Work) -> int:
    """Return how many axes follow the one that is normalized; the batch counts as axis 0."""
    axis = work.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list | tuple) and len(axis) == 1 else axis
    rank = len(work.shape())
    if not isinstance(axis, int) or axis == 0 or not -rank <= axis <= rank:
        raise work.misfit(
            f"batch normalization over axis {axis} of {rank + 1}", "normalise the last axis"
        )
    return rank - axis if axis > 0 else -1 - axis


def last_axis(work: Work) -> None:
    """Refuse to normalize another axis than the last."""
    if axes_behind(work):
        raise work.misfit(
            f"batch normalization over axis {work.config['axis']}", "normalise the last axis"
        )


def _powers_of_two(const: Const) -> bool:
    return all(int(c) & (int(c) - 1) == 0 for c in np.abs(const.codes).ravel().tolist())


def _statistic(work: Work, name: str, key: str, role: str) -> F32:
    values = work.array(name).astype(np.float32)
    default = QUANTIZERS.get(key) if work.spec.class_name.startswith("Q") else None
    quantizer = parse_quantizer(work.config.get(key, default))
    if quantizer is None:
        return values
    made = quantize_weights(quantizer, values, role)
    if not made.exact:
        work.reasons.append(f"{role}: {made.reason}")
    codes = made.const.codes.astype(np.float64)
    return np.ldexp(codes, -made.const.type.frac).astype(np.float32)
