"""Pooling layers."""

from __future__ import annotations

from math import prod
from typing import Literal

import numpy as np

from qapflow.frontend.layers.linear import padding_kind, padding_of
from qapflow.frontend.layers.mean import Counts, divide, multiply_mean
from qapflow.frontend.layers.work import Work, pair
from qapflow.ir.ops import Pool, Reduce

Kind = Literal["max", "sum"]


def max_pool(work: Work) -> str:
    """Translate MaxPooling1D and MaxPooling2D."""
    return work.add(_window(work, "max"))


def average_pool(work: Work) -> str:
    """Translate AveragePooling1D/2D and QAveragePooling2D; padding is not averaged over."""
    window = _window(work, "sum")
    counts = window_counts(window, work.shape())
    total = work.add(window, suffix="sum")
    return _average(work, total, counts, prod(window.size))


def _window(work: Work, kind: Kind) -> Pool:
    work.channels_last()
    shape, rank = work.shape(), work.image_rank()
    size = pair(work.config.get("pool_size", 2), rank)
    strides = pair(work.config.get("strides") or size, rank)
    padding = padding_kind(work, "valid", "same")
    return Pool(kind, size, strides, padding_of(padding, shape[:-1], size, strides))


def window_counts(window: Pool, shape: tuple[int, ...]) -> Counts:
    """How many elements each window averages over: one number, or [*positions, 1]."""
    counts = np.ones((), np.int64)
    for k, step, (before, after), size in zip(
        window.size, window.strides, window.padding, shape[:-1], strict=True
    ):
        starts = np.arange(-before, size + after - k + 1, step)
        inside = np.minimum(starts + k, size) - np.maximum(starts, 0)
        counts = counts[..., None] * inside
    if (counts == counts.flat[0]).all():
        return np.asarray(counts.flat[0], np.int64)
    return np.asarray(counts[..., None], np.int64)


def global_max_pool(work: Work) -> str:
    """Translate GlobalMaxPooling1D and GlobalMaxPooling2D."""
    return work.add(_reduce(work, "max"))


def global_average_pool(work: Work) -> str:
    """Translate GlobalAveragePooling1D/2D and QGlobalAveragePooling2D."""
    op = _reduce(work, "sum")
    area = prod(work.shape()[axis] for axis in op.axes)
    return _average(work, work.add(op, suffix="sum"), np.asarray(area), area)


def _reduce(work: Work, kind: Kind) -> Reduce:
    work.channels_last()
    axes = tuple(range(work.image_rank()))
    return Reduce(kind, axes, bool(work.config.get("keepdims", False)))


def _average(work: Work, total: str, counts: Counts, area: int) -> str:
    quantizer = work.quantizer("average_quantizer")
    if quantizer is None:
        edge = divide(work, total, counts)
    else:
        edge = multiply_mean(work, total, counts, area, quantizer)
    return work.activate(edge, work.config.get("activation"))
