"""QKeras's convolutions that fold a batch normalization into their weights before quantizing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.bias import fold_bias
from qapflow.frontend.layers.linear import convolve, depthwise_weight
from qapflow.frontend.layers.norm import inverse_deviation, last_axis
from qapflow.frontend.layers.work import Work
from qapflow.ir.ops import Const

F32 = NDArray[np.float32]
NEAR = 2.0**-22  # how far TensorFlow's reciprocal square root may lie from the nearest float32
FOLDS = ("ema_stats_folding", "batch_stats_folding")  # the same at inference


@dataclass(frozen=True)
class Folded:
    """Kernel and bias, quantized."""

    kernel: Const
    bias: Const


def conv_batchnorm(work: Work) -> str:
    """Translate QConv2DBatchnorm: the folded kernel is what is quantized.

    inv = gamma / sqrt(moving_variance + epsilon); kernel = q(inv * kernel);
    bias = q(inv * (bias - moving_mean) + beta), all in float32 (QKeras 0.9, qconv2d_batchnorm.py).
    """
    made = _fold(work, "kernel", "kernel_quantizer", "kernel", lambda inv, _: inv)
    groups = int(work.config.get("groups") or 1)
    return work.finish(convolve(work, work.input, made.kernel, made.bias, groups))


def depthwise_conv_batchnorm(work: Work) -> str:
    """Translate QDepthwiseConv2DBatchnorm; the folded kernel has one factor an output channel."""
    name = "depthwise_kernel"
    made = _fold(
        work, name, "depthwise_quantizer", "depthwise", lambda i, w: i.reshape(w.shape[-2:])
    )
    weight, channels = depthwise_weight(made.kernel), made.kernel.codes.shape[-2]
    return work.finish(convolve(work, work.input, weight, made.bias, channels))


def _fold(work: Work, name: str, key: str, role: str, scale: Callable[[F32, F32], F32]) -> Folded:
    """Quantize the folded weights, and say so where the last bit of a square root decides."""
    work.setting("folding_mode", FOLDS[0], *FOLDS)
    last_axis(work)
    single = np.float32
    inv = inverse_deviation(work.array("moving_variance"), work.config.get("epsilon", 1e-3))
    if work.config.get("scale", True):
        inv = inv * work.array("gamma").astype(single)
    kernel = work.array(name).astype(single)
    zero = np.zeros(inv.shape, single)
    shift = work.array("bias").astype(single) if work.config.get("use_bias", True) else zero
    shift = shift - work.array("moving_mean").astype(single)
    beta = work.array("beta").astype(single) if work.config.get("center", True) else zero

    def quantized(near: F32) -> Folded:
        folded = work.fold_kernel(scale(near, kernel) * kernel, key, role)
        return Folded(folded, fold_bias(work, near * shift + beta, folded, work.input))

    made = quantized(inv)
    reasons, known = list(work.reasons), list(work.kernels)
    others = [quantized(inv * single(1 + sign * NEAR)) for sign in (-1, 1)]
    work.reasons[:], work.kernels[:] = reasons, known
    if not reasons and any(other != made for other in others):
        work.reasons.append("a folded weight lies within float32 rounding of a step")
    return made
