"""Which weights to prune: by magnitude over all layers, or by tensorflow-model-optimization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.train.libraries import load_keras

Array = NDArray[Any]


def keep_largest(weights: Sequence[Array], masks: Sequence[Array], keep: int) -> list[Array]:
    """Return masks of the `keep` largest magnitudes over all arrays; of equals the first.

    What `masks` prune already stays pruned. Shapes are those of `weights`.
    """
    alive = np.concatenate([np.ravel(mask) for mask in masks]) != 0
    flat = np.abs(np.concatenate([np.ravel(weight) for weight in weights]).astype(np.float64))
    order = np.argsort(-np.where(alive, flat, -np.inf), kind="stable")
    kept = np.zeros(flat.size, np.float32)
    kept[order[: min(keep, int(alive.sum()))]] = 1.0
    ends = np.cumsum([weight.size for weight in weights])[:-1]
    parts = zip(np.split(kept, ends), weights, strict=True)
    return [part.reshape(weight.shape) for part, weight in parts]


def prune_share(weights: Sequence[Array], masks: Sequence[Array], share: float) -> list[Array]:
    """Prune `share` of the weights that are left, smallest first over all layers.

    Source: global unstructured magnitude pruning of Hawks et al., Front. AI 4:676564 (2021).
    """
    alive = sum(int(np.count_nonzero(mask)) for mask in masks)
    return keep_largest(weights, masks, max(alive - round(share * alive), 1))


def prune_to(weights: Sequence[Array], masks: Sequence[Array], level: float) -> list[Array]:
    """Prune until the share `level` of all weights is zero, smallest first over all layers."""
    total = sum(weight.size for weight in weights)
    return keep_largest(weights, masks, max(total - round(level * total), 1))


def prune_layer(
    weights: Array,
    mask: Array,
    level: float,
    block: tuple[int, int] | None = None,
    m_by_n: tuple[int, int] | None = None,
) -> Array:
    """Return the mask of one kernel as tensorflow-model-optimization computes it.

    `block` prunes tiles (height, width) of a matrix by their mean magnitude, `m_by_n` makes m of n
    consecutive weights of one output zero; `level` is then without effect. What `mask` prunes
    already stays pruned.

    Raises:
        UsageError: blocks of a kernel that is no matrix.
    """
    tf = load_keras().tf
    values = tf.constant(weights * mask)
    if block is not None and np.ndim(np.squeeze(weights)) != 2:
        raise UsageError(
            f"a kernel of shape {weights.shape} has no blocks",
            at="pruning.block",
            hint="blocks are for dense layers: name them in pruning.layers",
        )
    if m_by_n is not None and values.shape.rank == 3:  # rows of conv1d: images of one line
        values = values[tf.newaxis]
    pruning = _pruning(level, block or (1, 1), m_by_n)
    _, made = pruning._maybe_update_block_mask(values)
    result: Array = np.reshape(np.asarray(made), weights.shape) * mask
    return result.astype(np.float32)


def _pruning(level: float, block: tuple[int, int], m_by_n: tuple[int, int] | None) -> Any:
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl

    tf = load_keras().tf

    def schedule(step: Any) -> Any:
        return tf.constant(True), tf.constant(level, tf.float32)

    return pruning_impl.Pruning(lambda: tf.constant(0), [], schedule, block, "AVG", m_by_n)
