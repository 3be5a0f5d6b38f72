"""Pooling layers."""

from __future__ import annotations

import numpy as np

from qapflow.frontend.layers.linear import padding_of
from qapflow.frontend.layers.work import Work, pair
from qapflow.frontend.quantizers import parse_quantizer, quantize_weights
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Affine, Const, Pool, Quantize, Reduce

EXTRA_BITS = 10  # finer than the input: quantizers with fewer new bits decide as on real numbers
FLOAT32_BITS = 24


def max_pool(work: Work) -> str:
    """Translate MaxPooling1D and MaxPooling2D."""
    return work.add(_window(work, "max"))


def _window(work: Work, kind: str) -> Pool:
    work.channels_last()
    shape = work.shape()
    rank = len(shape) - 1
    size = pair(work.config.get("pool_size", 2), rank)
    strides = pair(work.config.get("strides") or size, rank)
    padding = work.setting("padding", "valid", "valid", "same")
    amounts = padding_of(padding, shape[:-1], size, strides)
    return Pool("max" if kind == "max" else "sum", size, strides, amounts)


def average_pool(work: Work) -> str:
    """Translate AveragePooling1D/2D and QAveragePooling2D; padding is not averaged over."""
    window = _window(work, "sum")
    area = int(np.prod(window.size))
    if any(before or after for before, after in window.padding):
        raise work.refuse(
            "average pooling with padding='same' divides by another count at the border",
            "use padding='valid', or a ZeroPadding layer before it",
        )
    return _average(work, work.add(window, suffix="sum"), area)


def global_max_pool(work: Work) -> str:
    """Translate GlobalMaxPooling1D and GlobalMaxPooling2D."""
    return work.add(_reduce(work, "max"))


def global_average_pool(work: Work) -> str:
    """Translate GlobalAveragePooling1D/2D and QGlobalAveragePooling2D."""
    op = _reduce(work, "sum")
    area = int(np.prod([work.shape()[axis] for axis in op.axes]))
    return _average(work, work.add(op, suffix="sum"), area)


def _reduce(work: Work, kind: str) -> Reduce:
    work.channels_last()
    axes = tuple(range(len(work.shape()) - 1))
    return Reduce("max" if kind == "max" else "sum", axes, bool(work.config.get("keepdims", False)))


def _average(work: Work, total: str, area: int) -> str:
    """Divide a sum, or multiply it by QKeras's quantized 1 / area."""
    quantizer = parse_quantizer(work.config.get("average_quantizer"))
    if quantizer is not None:
        factor = quantize_weights(quantizer, np.asarray(1.0 / area, np.float32), "average")
        if not factor.exact:
            work.reasons.append(factor.reason)
        edge = work.add(Affine(factor.const), total)
        if area & (area - 1):
            work.reasons.append(f"QKeras divides by {area} in float32 and multiplies again")
    elif area & (area - 1) == 0:
        edge = work.add(Affine(Const.exact(1.0 / area)), total)
    else:
        edge = _divide(work, total, area)
    return work.activate(edge, work.config.get("activation"))


def _divide(work: Work, total: str, area: int) -> str:
    """Divide exactly enough: on a grid so fine that no following rounding can tell.

    A sum S on the grid 2**-f divided by n differs from a decision point on the grid 2**-m (m >= f)
    by a multiple of 2**-m / n. Rounded down to 2**-(m + ceil(log2 n)) it stays on its side.
    """
    interval, edge = work.builder.intervals[total], work.builder.edges[total]
    frac = edge.type.frac + EXTRA_BITS + (area - 1).bit_length()
    shift = frac - edge.type.frac
    low, high = (interval.low << shift) // area, (interval.high << shift) // area
    kind = Fixed.holding(low, high, frac)
    peak = max(abs(interval.low), abs(interval.high)).bit_length()
    if not work.quantizes_next:
        work.reasons.append(f"division by {area} rounded to {kind}")
    elif peak + EXTRA_BITS + area.bit_length() > FLOAT32_BITS + EXTRA_BITS:
        work.reasons.append(f"sums of {peak} bits divided by {area} need more bits than float32")
    op = Quantize(kind, Rounding.TRN, Overflow.SAT, area)
    return work.add(op, total)
