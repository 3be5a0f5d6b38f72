"""Training: pruning during quantization-aware training. Needs the [train] extra.

What a training loop of one's own takes from here comes when it is asked for, and Keras with it.
"""

from __future__ import annotations

import importlib
from typing import Any

PUBLIC = {
    "HardwareCost": "qapflow.train.hardware_cost",
    "QuantizationAwarePruning": "qapflow.train.callbacks",
    "finalize": "qapflow.train.saving.finalizing",
    "quantize": "qapflow.train.quantization.quantizing",
    "read_recipe": "qapflow.train.recipes.file",
    "train": "qapflow.train.run",
}


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(PUBLIC[name]), name)
