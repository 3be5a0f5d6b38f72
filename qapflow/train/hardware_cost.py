"""A callback that counts, at the end of epochs, what the model would cost in hardware."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qapflow.boards import load_target
from qapflow.cost.model import ModelCost, cost_of_model
from qapflow.steps.settings import BuildSettings
from qapflow.train.libraries import load_keras


class HardwareCost(load_keras().keras.callbacks.Callback):  # type: ignore[misc]
    """Puts costs and the estimate on a board into the logs, and can stop when the model fits.

    At the end of every `every`-th epoch the model as it is goes through export and front end:
    `logs` get `cost_` figures (see `qapflow.cost.figures.Cost`) and `estimate_` ones (lut, dsp,
    latency_cycles ...; estimates, no measurement). `settings` are choices of the plan, such as
    `reuse_factor=4`. With `stop_when_fits` training ends after the first epoch whose estimate fits
    the board. `found` is the last cost, whole.

    Raises:
        UsageError: there is no such board.
        ModelUnsupported: from `fit`, when the front end cannot read the model.
    """

    def __init__(
        self,
        board: str = "xcvu9p",
        stop_when_fits: bool = False,
        *,
        every: int = 1,
        **settings: Any,
    ) -> None:
        super().__init__()
        load_target(board)
        self.board, self.stop_when_fits, self.every = board, stop_when_fits, every
        self.settings = settings
        self.found: ModelCost | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Count, tell, stop."""
        if (epoch + 1) % self.every:
            return
        self.found = self._count()
        if logs is not None:
            logs.update(figures(self.found))
        if self.stop_when_fits and self.found.board is not None and self.found.board.fits:
            self.model.stop_training = True

    def _count(self) -> ModelCost:
        from qapflow.train.saving.export import export_model

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.h5"
            export_model(self.model).save(path, include_optimizer=False)
            settings = BuildSettings(path, board=self.board, **self.settings)
            return cost_of_model(settings, with_board=True)


def figures(found: ModelCost) -> Mapping[str, float]:
    """Return a cost as flat numbers: cost_NAME counted, estimate_NAME estimated."""
    counted = {f"cost_{name}": float(value) for name, value in asdict(found.cost.total).items()}
    if found.board is None:
        return counted
    totals = found.board.totals.items()
    return {**counted, **{f"estimate_{name}": figure.value for name, figure in totals}}
