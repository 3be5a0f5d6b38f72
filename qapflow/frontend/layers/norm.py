"""Batch normalization."""

from __future__ import annotations

import numpy as np

from qapflow.frontend.layers.work import BIAS_FRAC, Work
from qapflow.frontend.quantizers import parse_quantizer, quantize_weights
from qapflow.ir.ops import Affine, Const

FLOAT32_BITS = 24
F32 = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def batch_norm(work: Work) -> str:
    """Translate BatchNormalization and QBatchNormalization at inference.

    y = (x - mean) * gamma / sqrt(variance + epsilon) + beta (Ioffe and Szegedy, arXiv 1502.03167).
    The factor is a float32; products with it are exact in the network. The offset is rounded to
    the grid of the product, or 2**-32.
    """
    _check_axis(work)
    single = np.float32
    mean = _statistic(work, "moving_mean", "mean_quantizer", "mean")
    variance = _statistic(work, "moving_variance", "variance_quantizer", "variance")
    scale = single(1) / np.sqrt(variance + single(work.config.get("epsilon", 1e-3)))
    if work.config.get("scale", True):
        scale = scale * _statistic(work, "gamma", "gamma_quantizer", "gamma")
    offset = -mean.astype(np.float64) * scale.astype(np.float64)
    if work.config.get("center", True):
        offset = offset + _statistic(work, "beta", "beta_quantizer", "beta").astype(np.float64)
    factor = Const.exact(scale)
    edge = work.builder.edges[work.input]
    grid = max(edge.type.frac + factor.type.frac, 0)
    kept = min(grid, max(BIAS_FRAC, edge.type.frac))
    shift = Const.exact(np.ldexp(np.rint(np.ldexp(offset, kept)), -kept))
    made = work.add(Affine(factor, shift))
    _judge(work, made, factor, offset, shift)
    return work.finish(made)


def _judge(work: Work, edge: str, factor: Const, offset: F32, shift: Const) -> None:
    """Call the layer exact only if float32 holds every step of it."""
    exact = np.array_equal(np.ldexp(shift.codes.astype(float), -shift.type.frac), offset)
    narrow = work.builder.edges[edge].type.width <= FLOAT32_BITS
    powers = all(int(c) & (int(c) - 1) == 0 for c in np.abs(factor.codes).ravel().tolist())
    if not (exact and narrow and powers):
        work.reasons.append("batch normalization scales by floats")


def _check_axis(work: Work) -> None:
    axis = work.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list | tuple) and len(axis) == 1 else axis
    rank = len(work.shape())
    if axis not in (-1, rank):
        raise work.refuse(
            f"batch normalization over axis {axis} of {rank + 1}", "normalise the last axis"
        )


def _statistic(work: Work, name: str, key: str, role: str) -> F32:
    values = work.array(name).astype(np.float32)
    quantizer = parse_quantizer(work.config.get(key))
    if quantizer is None:
        return values
    made = quantize_weights(quantizer, values, role)
    if not made.exact:
        work.reasons.append(f"{role}: {made.reason}")
    codes = made.const.codes.astype(np.float64)
    return np.ldexp(codes, -made.const.type.frac).astype(np.float32)
