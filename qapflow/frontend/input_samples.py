"""The samples on which the types of float layers are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.frontend.model import ModelSpec
from qapflow.ir.fixed import Codes, Fixed

SAMPLES = 512
VALUES = 1 << 18  # of the largest input


def choose_samples(
    spec: ModelSpec,
    name: str,
    kind: Fixed,
    shape: tuple[int, ...],
    calibration: Mapping[str, NDArray[np.floating[Any]]],
) -> Codes:
    """Return codes [n, *shape] of an input: those given, or else random ones and the extremes.

    `calibration` holds real values [n, *shape] by input name ("" stands for any). All inputs get
    equally many samples. Raises UsageError when their shape is another.
    """
    values = calibration.get(name, calibration.get(""))
    if values is None:
        return _draw(kind, shape, max(2, min(SAMPLES, VALUES // _largest_input(spec))))
    if values.shape[1:] != shape:
        raise UsageError(
            f"calibration samples of {name!r} have shape {values.shape[1:]}, not {shape}"
        )
    return kind.encode(values[:SAMPLES])[0]


def _largest_input(spec: ModelSpec) -> int:
    shapes = (
        layer.config.get("batch_input_shape") or ()
        for layer in spec.layers
        if layer.class_name == "InputLayer"
    )
    return max(int(np.prod([n for n in shape[1:] if isinstance(n, int)])) for shape in shapes)


def _draw(kind: Fixed, shape: tuple[int, ...], count: int) -> Codes:
    rng = np.random.default_rng(0)
    low, high = max(kind.lo, -(2**62)), min(kind.hi, 2**62)
    samples = rng.integers(low, high, (count, *shape), endpoint=True)
    # No saturation where everything is at an end, as verification will have it.
    even = np.arange(int(np.prod(shape))).reshape(shape) % 2 == 0
    corners = (low, high, np.where(even, low, high), np.where(even, high, low))
    for row, corner in enumerate(corners[: count // 2]):
        samples[row] = corner
    return samples
