"""Batch normalization inside layers: when its statistics stop moving."""

from __future__ import annotations

from typing import Any

from qapflow.train.leaves import named_leaves


def freeze_statistics(model: Any, *, frozen: bool = True) -> list[str]:
    """Let folded layers train with their running statistics, or with the batches' again.

    From then on a training step computes exactly what inference does, with the quantized bias of
    the running statistics; gamma, beta and kernels go on learning. Nothing is traced anew: the
    layers hold this as a weight, so it is kept with their weights.

    Returns:
        The names of the folded layers; none if the model has none.
    """
    folded = [layer for layer in named_leaves(model).values() if hasattr(layer, "frozen")]
    for layer in folded:
        layer.frozen.assign(1.0 if frozen else 0.0)
    return [layer.name for layer in folded]
