"""Callbacks for a training loop of one's own: pruning with quantization, and cost as it falls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from qapflow.errors import UsageError
from qapflow.train.libraries import load_keras
from qapflow.train.pruning.magnitude import prune_layer, prune_to
from qapflow.train.pruning.masks import (
    Masks,
    attach_masks,
    read_masks,
    set_masks,
    sparsity,
)
from qapflow.train.quantization.switching import switch

AHEAD = 1024  # steps for which a schedule is asked at once


class QuantizationAwarePruning(load_keras().keras.callbacks.Callback):  # type: ignore[misc]
    """Prunes a QKeras model by a schedule while it trains, and switches its quantizers on.

    `schedule` is one of `tensorflow_model_optimization.sparsity.keras` (PolynomialDecay,
    ConstantSparsity; steps count from this callback's first batch), None to prune nothing. `scope`
    "global" compares weights over all `layers` (default: all with kernels), "layer" prunes each
    alone; `block` and `m_by_n` are patterns of single layers (see `magnitude.prune_layer`).
    Before `weights_from_epoch` and `activations_from_epoch` the respective quantizers pass floats.

    With `steps_per_execution` above 1 masks change between executions, at most once in each.
    `logs["sparsity"]` is the share of zeros among the quantized weights, at the end of each epoch.

    Raises:
        UsageError: from `fit`, when a layer cannot be pruned or the model is not built yet.
    """

    _supports_tf_logs = True

    def __init__(
        self,
        schedule: Any = None,
        *,
        layers: Sequence[str] = (),
        scope: Literal["global", "layer"] = "global",
        block: tuple[int, int] | None = None,
        m_by_n: tuple[int, int] | None = None,
        weights_from_epoch: int = 0,
        activations_from_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.schedule, self.scope = schedule, scope
        self.block, self.m_by_n = block, m_by_n
        self.layers = tuple(layers)
        self.weights_from_epoch = weights_from_epoch
        self.activations_from_epoch = activations_from_epoch
        self.masks: Masks = ()
        self.steps = -1  # the last step that masks were updated for
        self._quantized: tuple[bool, bool] = (True, True)
        self._iterations = 0
        self._levels: tuple[int, Any, Any] = (0, np.zeros(0, bool), np.zeros(0))

    def set_model(self, model: Any) -> None:
        """Attach masks of ones, unless the layers have masks already."""
        super().set_model(model)
        if not model.built:
            raise UsageError(
                "the model has no weights yet",
                at="QuantizationAwarePruning",
                hint="call model.build(input_shape) or give the first layer an input shape",
            )
        if self.schedule is not None and not self.masks:
            self.masks = attach_masks(model, self.layers)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Apply what the schedule says of the first step."""
        self._iterations = int(self.model.optimizer.iterations)
        if self.steps < 0:
            self._update(0)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Switch quantizers on or off."""
        if self.switch_for(epoch):
            self.model.train_function = self.model.make_train_function(force=True)

    def switch_for(self, epoch: int) -> bool:
        """Let the model quantize what it does in an epoch; tell whether that is a change."""
        wanted = (epoch >= self.weights_from_epoch, epoch >= self.activations_from_epoch)
        changed, self._quantized = wanted != self._quantized, wanted
        if changed:
            switch(self.model, weights=wanted[0], activations=wanted[1])
        return changed

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Update the masks where the schedule has reached a next step."""
        now = int(self.model.optimizer.iterations)
        passed, self._iterations = now - self._iterations, now
        self._update(self.steps + max(passed, 0))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the sparsity."""
        if logs is not None and self.masks:
            logs["sparsity"] = sparsity(self.masks)[""]

    def _update(self, step: int) -> None:
        """Apply the last update that is due after the last step and up to `step`."""
        first, self.steps = self.steps + 1, step
        if self.schedule is None:
            return
        for number in range(step, first - 1, -1):
            due, level = self._level(number)
            if due:
                set_masks(self.masks, self._prune(level), self.model.optimizer)
                return

    def _level(self, step: int) -> tuple[bool, float]:
        start, due, levels = self._levels
        if not start <= step < start + due.size:
            start = max(step - AHEAD // 2, 0)
            steps = load_keras().tf.range(start, start + AHEAD)
            due, levels = (np.asarray(value) for value in self.schedule(steps))
            levels = np.broadcast_to(levels, due.shape)
            self._levels = (start, due, levels)
        return bool(due[step - start]), float(levels[step - start])

    def _prune(self, level: float) -> list[Any]:
        weights = [np.array(item.variable) for item in self.masks]
        masks = read_masks(self.masks)
        if self.scope == "global" and self.block is None and self.m_by_n is None:
            return prune_to(weights, masks, level)
        return [
            prune_layer(weight, mask, level, self.block, self.m_by_n)
            for weight, mask in zip(weights, masks, strict=True)
        ]
