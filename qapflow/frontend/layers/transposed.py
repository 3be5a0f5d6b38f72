"""Transposed convolution without multiplying by the zeros that its strides put between inputs.

With stride s, output o + p = s q + r sums x[q - m] w[r + s m] over m, where p is the padding that
the forward convolution would have: each phase r is a small convolution of its own. All phases
together are one convolution with s times as many channels, whose result is then interleaved
("sub-pixel convolution", Shi et al., arXiv 1609.05158) and cropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qapflow.frontend.layers.bias import layer_bias
from qapflow.frontend.layers.linear import padding_kind
from qapflow.frontend.layers.work import Work, pair
from qapflow.ir.fixed import Codes
from qapflow.ir.ops import Const, Conv, Pad, Reshape, Transpose


@dataclass(frozen=True)
class Axis:
    """One spatial axis: phases, taps of each, zeros around the input, what to crop behind."""

    stride: int
    taps: int
    dilation: int
    padding: tuple[int, int]
    count: int  # positions of each phase
    crop: tuple[int, int]


def conv_transpose(work: Work) -> str:
    """Translate Conv1DTranspose, Conv2DTranspose and QConv2DTranspose.

    Kernels are [*size, filters, channels]. QKeras 0.9 cannot run its layer (it asks TensorFlow for
    a name that is gone), but says all it computes.
    """
    work.channels_last()
    if int(work.config.get("groups") or 1) != 1:
        raise work.refuse("groups in a transposed convolution are not supported", "use groups=1")
    weight = work.kernel("kernel", "kernel_quantizer")
    rank = weight.codes.ndim - 2
    shape = work.shape()
    if len(shape) != rank + 1 or weight.codes.shape[-1] != shape[-1]:
        raise work.misfit(f"it gets an input of shape {shape}")
    axes = _axes(work, shape[:-1], weight.codes.shape[:rank])
    bias = layer_bias(work, weight, work.input)
    phases = int(np.prod([axis.stride for axis in axes]))
    if bias is not None:
        bias = Const(np.tile(bias.codes, phases), bias.type)
    op = Conv(
        Const(phase_kernels(weight.codes, axes), weight.type),
        bias,
        (1,) * rank,
        tuple(axis.padding for axis in axes),
        tuple(axis.dilation for axis in axes),
    )
    edge = work.add(op)
    strides = tuple(axis.stride for axis in axes)
    edge = interleave(work, edge, strides, channels_first=False)
    if any(axis.crop != (0, 0) for axis in axes):
        edge = work.add(Pad((*((-a, -b) for a, b in (x.crop for x in axes)), (0, 0))), edge)
    return work.finish(edge)


def _axes(work: Work, sizes: tuple[int, ...], kernel: tuple[int, ...]) -> list[Axis]:
    rank = len(sizes)
    strides = pair(work.config.get("strides", 1), rank)
    dilation = pair(work.config.get("dilation_rate", 1), rank)
    same = padding_kind(work, "valid", "same") == "same"
    given = work.config.get("output_padding")
    extra = (None,) * rank if given is None else pair(given, rank, least=0)
    if max(strides) > 1 and max(dilation) > 1:
        raise work.refuse(
            "strides together with dilation_rate are not supported: TensorFlow has no such layer",
            "use one of them",
        )
    if any(more is not None and more >= step for more, step in zip(extra, strides, strict=True)):
        raise work.misfit(f"output_padding={given} is not smaller than strides={strides}")
    sides = zip(sizes, kernel, strides, dilation, extra, strict=True)
    return [_axis(work, *side, same) for side in sides]


def _axis(
    work: Work, size: int, taps: int, step: int, dilation: int, extra: int | None, same: bool
) -> Axis:
    span = (taps - 1) * dilation + 1
    if extra is not None:
        length = (size - 1) * step + span + extra - (2 * (span // 2) if same else 0)
    else:
        length = size * step if same else size * step + max(span - step, 0)
    forward = -(-(length if same else length - span + 1) // step)
    if forward != size:
        raise work.misfit(f"output_padding={extra} gives an output that TensorFlow cannot compute")
    before = max((-(-length // step) - 1) * step + span - length, 0) // 2 if same else 0
    each = -(-taps // step)
    reach = (each - 1) * dilation
    first, last = before // step, (before + length - 1) // step
    count = last - first + 1
    crop = before - first * step
    return Axis(
        step,
        each,
        dilation,
        (reach - first, last + 1 - size),
        count,
        (crop, count * step - crop - length),
    )


def phase_kernels(codes: Codes, axes: list[Axis]) -> Codes:
    """[*size, filters, channels] -> [*taps, channels, *phases filters], each phase reversed."""
    rank = len(axes)
    *size, filters, channels = codes.shape
    grow = [(0, axis.taps * axis.stride - n) for axis, n in zip(axes, size, strict=True)]
    padded = np.pad(codes, [*grow, (0, 0), (0, 0)])
    split = [n for axis in axes for n in (axis.taps, axis.stride)]
    padded = padded.reshape(*split, filters, channels)
    padded = np.flip(padded, tuple(range(0, 2 * rank, 2)))
    order = [*range(0, 2 * rank, 2), 2 * rank + 1, *range(1, 2 * rank, 2), 2 * rank]
    return padded.transpose(order).reshape(*(axis.taps for axis in axes), channels, -1)


def interleave(work: Work, edge: str, steps: tuple[int, ...], channels_first: bool) -> str:
    """[*n, *steps channels] -> [*(n steps), channels]; `channels_first`: [*n, channels *steps]."""
    if max(steps) == 1:
        return edge
    *sizes, depth = work.shape(edge)
    rank, channels = len(steps), depth // int(np.prod(steps))
    inner = (channels, *steps) if channels_first else (*steps, channels)
    edge = work.add(Reshape((*sizes, *inner)), edge, suffix="phases")
    first = rank + channels_first
    order = [axis for k in range(rank) for axis in (k, first + k)]
    order.append(rank if channels_first else 2 * rank)
    edge = work.add(Transpose(tuple(order)), edge, suffix="phases")
    whole = tuple(n * step for n, step in zip(sizes, steps, strict=True))
    return work.add(Reshape((*whole, channels)), edge, suffix="phases")
