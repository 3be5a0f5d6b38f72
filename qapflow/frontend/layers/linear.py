"""Layers that are sums of products: dense and convolution, with their quantized forms."""

from __future__ import annotations

from qapflow.frontend.layers.bias import layer_bias
from qapflow.frontend.layers.scaled import add_scaled
from qapflow.frontend.layers.work import Work, pair
from qapflow.ir.ops import Const, Conv, Dense

Padding = tuple[tuple[int, int], ...]


def dense(work: Work) -> str:
    """Translate Dense and QDense."""

    def products(weight: Const, bias: Const | None = None) -> str:
        return work.add(Dense(weight, bias))

    scaled = add_scaled(work, "kernel", "kernel_quantizer", "kernel", tuple, products)
    if scaled is not None:
        return work.finish(scaled)
    weight = work.kernel("kernel", "kernel_quantizer")
    return work.finish(products(weight, layer_bias(work, weight, work.input)))


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


def padding_kind(work: Work, *allowed: str) -> str:
    """Return how a layer pads, in small letters."""
    kind = str(work.config.get("padding", "valid")).lower()
    if kind not in allowed:
        raise work.refuse(f"padding={kind!r} is not supported", f"use {' or '.join(allowed)}")
    return kind


def convolve(work: Work, edge: str, weight: Const, bias: Const | None, groups: int = 1) -> str:
    """Add a convolution with the strides, padding and dilation of the layer."""
    work.channels_last()
    rank = weight.codes.ndim - 2
    shape = work.shape(edge)
    if len(shape) != rank + 1:
        raise work.misfit(f"it gets an input of shape {shape}")
    strides = pair(work.config.get("strides", 1), rank)
    dilation = pair(work.config.get("dilation_rate", 1), rank)
    kind = padding_kind(work, "valid", "same", "causal")
    span = tuple((k - 1) * d + 1 for k, d in zip(weight.codes.shape[:rank], dilation, strict=True))
    padding = padding_of(kind, shape[:-1], span, strides)
    return work.add(Conv(weight, bias, strides, padding, dilation, groups), edge)


def conv(work: Work) -> str:
    """Translate Conv1D, Conv2D and their quantized forms."""
    groups = int(work.config.get("groups") or 1)

    def products(weight: Const, bias: Const | None = None) -> str:
        return convolve(work, work.input, weight, bias, groups)

    scaled = add_scaled(work, "kernel", "kernel_quantizer", "kernel", tuple, products)
    if scaled is not None:
        return work.finish(scaled)
    weight = work.kernel("kernel", "kernel_quantizer")
    return work.finish(products(weight, layer_bias(work, weight, work.input)))


def depthwise_weight(weight: Const) -> Const:
    """[*kernel, channels, multiplier] as groups of one channel."""
    return Const(weight.codes.reshape(depthwise_shape(weight.codes.shape)), weight.type)


def depthwise_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a depthwise kernel as groups of one channel."""
    *size, channels, multiplier = shape
    return (*size, 1, channels * multiplier)


def depthwise_conv(work: Work) -> str:
    """Translate DepthwiseConv1D, DepthwiseConv2D and QDepthwiseConv2D."""
    name = "depthwise_kernel" if "depthwise_kernel" in work.spec.weights else "kernel"
    channels = work.array(name).shape[-2]

    def products(weight: Const, bias: Const | None = None) -> str:
        return convolve(work, work.input, weight, bias, channels)

    key, role = "depthwise_quantizer", "depthwise"
    scaled = add_scaled(work, name, key, role, depthwise_shape, products)
    if scaled is not None:
        return work.finish(scaled)
    weight = work.kernel(name, key, role)
    return work.finish(products(depthwise_weight(weight), layer_bias(work, weight, work.input)))


def separable_conv(work: Work) -> str:
    """Translate SeparableConv1D, SeparableConv2D and their quantized forms."""
    depthwise = work.kernel("depthwise_kernel", "depthwise_quantizer", "depthwise")
    pointwise = work.kernel("pointwise_kernel", "pointwise_quantizer", "pointwise")
    channels = depthwise.codes.shape[-2]
    edge = convolve(work, work.input, depthwise_weight(depthwise), None, channels)
    edge = work.activate(edge, work.config.get("depthwise_activation"), "depthwise_act")
    rank = pointwise.codes.ndim - 2
    ones, zeros = (1,) * rank, ((0, 0),) * rank
    op = Conv(pointwise, layer_bias(work, pointwise, edge), ones, zeros, ones)
    return work.finish(work.add(op, edge, suffix="pointwise"))
