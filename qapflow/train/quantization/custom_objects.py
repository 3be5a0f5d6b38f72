"""Every class that a model file of training may name."""

from __future__ import annotations

import importlib
from typing import Any

from qapflow.train.libraries import load_keras

WRAPPER = "tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper"


def custom_objects() -> dict[str, Any]:
    """Return name -> class of everything a saved model of this package may contain."""
    from qapflow.train.quantization.keras_classes import OBJECTS

    found: dict[str, Any] = {}
    load_keras().qkeras.utils._add_supported_quantized_objects(found)
    found["PruneLowMagnitude"] = importlib.import_module(WRAPPER).PruneLowMagnitude
    return found | OBJECTS
