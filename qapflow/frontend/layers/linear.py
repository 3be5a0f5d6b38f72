"""Layers that are sums of products: dense and convolution, with their quantized forms."""

from __future__ import annotations

from typing import Any

import numpy as np

from qapflow.frontend.layers.work import Work, pair
from qapflow.ir.ops import Const, Conv, Dense

Padding = tuple[tuple[int, int], ...]


def dense(work: Work) -> str:
    """Translate Dense and QDense."""
    edge = work.add(Dense(work.kernel("kernel", "kernel_quantizer"), work.bias()))
    return work.finish(edge)


def padding_of(
    kind: str, shape: tuple[int, ...], span: tuple[int, ...], strides: tuple[int, ...]
) -> Padding:
    """Zeros before and after each spatial axis for Keras's "valid", "same" and "causal"."""
    if kind == "valid":
        return tuple((0, 0) for _ in span)
    if kind == "causal":
        return tuple((k - 1, 0) for k in span)
    amounts = []
    for size, k, step in zip(shape, span, strides, strict=True):
        total = max((-(-size // step) - 1) * step + k - size, 0)
        amounts.append((total // 2, total - total // 2))
    return tuple(amounts)


def convolve(work: Work, edge: str, weight: Const, bias: Const | None, groups: int = 1) -> str:
    """Add a convolution with the strides, padding and dilation of the layer."""
    work.channels_last()
    rank = weight.codes.ndim - 2
    shape = work.shape(edge)
    if len(shape) != rank + 1:
        raise work.refuse(f"it gets an input of shape {shape}")
    strides = pair(work.config.get("strides", 1), rank)
    dilation = pair(work.config.get("dilation_rate", 1), rank)
    kind = work.setting("padding", "valid", "valid", "same", "causal")
    span = tuple((k - 1) * d + 1 for k, d in zip(weight.codes.shape[:rank], dilation, strict=True))
    padding = padding_of(kind, shape[:-1], span, strides)
    return work.add(Conv(weight, bias, strides, padding, dilation, groups), edge)


def conv(work: Work) -> str:
    """Translate Conv1D, Conv2D and their quantized forms."""
    groups = int(work.config.get("groups") or 1)
    weight = work.kernel("kernel", "kernel_quantizer")
    return work.finish(convolve(work, work.input, weight, work.bias(), groups))


def depthwise_weight(weight: Const) -> Const:
    """[*kernel, channels, multiplier] as groups of one channel."""
    *size, channels, multiplier = weight.codes.shape
    return Const(weight.codes.reshape(*size, 1, channels * multiplier), weight.type)


def depthwise_conv(work: Work) -> str:
    """Translate DepthwiseConv1D, DepthwiseConv2D and QDepthwiseConv2D."""
    name = "depthwise_kernel" if "depthwise_kernel" in work.spec.weights else "kernel"
    weight = work.kernel(name, "depthwise_quantizer", "depthwise")
    channels = weight.codes.shape[-2]
    edge = convolve(work, work.input, depthwise_weight(weight), work.bias(), channels)
    return work.finish(edge)


def separable_conv(work: Work) -> str:
    """Translate SeparableConv1D, SeparableConv2D and their quantized forms."""
    depthwise = work.kernel("depthwise_kernel", "depthwise_quantizer", "depthwise")
    pointwise = work.kernel("pointwise_kernel", "pointwise_quantizer", "pointwise")
    channels = depthwise.codes.shape[-2]
    edge = convolve(work, work.input, depthwise_weight(depthwise), None, channels)
    edge = work.activate(edge, work.config.get("depthwise_activation"), "depthwise_act")
    rank = pointwise.codes.ndim - 2
    ones, zeros = (1,) * rank, ((0, 0),) * rank
    op = Conv(pointwise, work.bias(), ones, zeros, ones)
    return work.finish(work.add(op, edge, suffix="pointwise"))


def conv_batchnorm(work: Work) -> str:
    """Translate QConv2DBatchnorm: the folded kernel is what is quantized.

    inv = gamma / sqrt(moving_variance + epsilon); kernel = q(inv * kernel);
    bias = q(inv * (bias - moving_mean) + beta), all in float32 (QKeras 0.9, qconv2d_batchnorm.py).
    """
    inv, bias = fold(work)
    kernel = _fold_kernel(work, work.array("kernel"), inv, "kernel_quantizer", "kernel")
    groups = int(work.config.get("groups") or 1)
    return work.finish(convolve(work, work.input, kernel, bias, groups))


def depthwise_conv_batchnorm(work: Work) -> str:
    """Translate QDepthwiseConv2DBatchnorm; the folded kernel has one factor an output channel."""
    inv, bias = fold(work)
    values = work.array("depthwise_kernel")
    scale = inv.reshape(values.shape[-2:])
    kernel = _fold_kernel(work, values, scale, "depthwise_quantizer", "depthwise")
    channels = values.shape[-2]
    return work.finish(convolve(work, work.input, depthwise_weight(kernel), bias, channels))


def fold(work: Work) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], Const]:
    """Return gamma / sqrt(variance + epsilon) and the folded, quantized bias."""
    single = np.float32
    variance = work.array("moving_variance").astype(single)
    inv = single(1) / np.sqrt(variance + single(work.config.get("epsilon", 1e-3)))
    if work.config.get("scale", True):
        inv = inv * work.array("gamma").astype(single)
    bias = work.array("bias").astype(single) if work.config.get("use_bias", True) else single(0)
    beta = work.array("beta").astype(single) if work.config.get("center", True) else single(0)
    folded = inv * (bias - work.array("moving_mean").astype(single)) + beta
    return inv, work.fold_bias(np.asarray(folded, single))


def _fold_kernel(
    work: Work,
    values: np.ndarray[tuple[int, ...], np.dtype[np.floating[Any]]],
    inv: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    quantizer_key: str,
    role: str,
) -> Const:
    """Quantize inv * kernel, and say so where the last bit of the square root would decide."""
    kernel = work.fold_kernel(inv * values.astype(np.float32), quantizer_key, role)
    known = len(work.kernels)
    reasons = list(work.reasons)
    for ulp in (-1, 1):
        near = inv * np.float32(1 + ulp * 2.0**-22)
        if work.fold_kernel(near * values.astype(np.float32), quantizer_key, role) != kernel:
            reasons.append("a folded weight lies within float32 rounding of a tie")
            break
    work.reasons[:] = reasons
    del work.kernels[known:]
    return kernel
