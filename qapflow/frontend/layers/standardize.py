"""Normalization by constants that the layer has adapted to the data, or was given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.norm import scale_and_shift
from qapflow.frontend.layers.work import Work

SMALLEST = np.float32(1e-7)  # deviations below count as this, Keras's epsilon


def normalization(work: Work) -> str:
    """Translate Normalization: (x - mean) / deviation, or x * deviation + mean inverted."""
    mean, variance = _constant(work, "mean"), _constant(work, "variance")
    if (variance < 0).any():
        raise work.refuse("its variance is negative", "adapt it again")
    deviation = np.maximum(np.sqrt(variance), SMALLEST)
    if work.config.get("invert"):
        return work.finish(scale_and_shift(work, deviation, mean.astype(np.float64), "scaling"))
    scale = np.asarray(1 / deviation, np.float32)
    offset = -mean.astype(np.float64) * scale.astype(np.float64)
    return work.finish(scale_and_shift(work, scale, offset, "normalization"))


def _constant(work: Work, name: str) -> NDArray[np.float32]:
    """Return a constant that broadcasts against the input."""
    given: Any = work.config.get(name)
    values = np.asarray(work.array(name) if given is None else given, np.float32)
    shape = work.shape()
    axes = work.config.get("axis", -1)
    axes = [axes] if isinstance(axes, int) else list(axes or ())
    kept = sorted(axis + len(shape) if axis < 0 else axis - 1 for axis in axes)
    if any(not 0 <= axis < len(shape) for axis in kept):
        raise work.refuse(f"axis={axes} is the batch, or no axis of {shape}", "normalise the last")
    wanted = tuple(shape[axis] for axis in kept)
    try:
        values = np.broadcast_to(values if values.size > 1 else values.reshape(()), wanted)
    except ValueError:
        raise work.misfit(f"its {name} of shape {values.shape} does not fit {shape}") from None
    return values.reshape([n if axis in kept else 1 for axis, n in enumerate(shape)])
