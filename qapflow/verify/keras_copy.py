"""A copy of a Keras model from its configuration and weights, in either precision.

Runs inside the Keras process; Keras comes as an argument.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolFailed
from qapflow.verify.keras_double import pin_weights, quantized_weights, round_constants

Array = NDArray[Any]


class KerasModel(Protocol):
    """What is used of a Keras model, of either generation."""

    inputs: Any
    layers: Any
    output_names: Any
    built: bool
    build: Any
    predict: Any
    save: Any
    to_json: Any
    load_weights: Any
    get_weights: Any
    set_weights: Any
    use_legacy_config: bool
    _flatten_layers: Any

    def __call__(self, inputs: object, *, training: bool) -> object:
        """Compute eagerly."""


def export_model(keras: ModuleType, model: KerasModel, folder: Path) -> None:
    """Write configuration, weights and what weight quantizers give, without pruning wrappers."""
    if any(type(layer).__name__ == "PruneLowMagnitude" for layer in model.layers):
        from tensorflow_model_optimization.python.core.sparsity.keras.prune import strip_pruning

        model = strip_pruning(model)
    if keras.__version__.startswith("2"):
        model.use_legacy_config = True  # the form of .h5 files, the one QKeras layers can read
    (folder / "model.json").write_text(model.to_json(), encoding="utf-8")
    np.savez(folder / "weights.npz", *model.get_weights())
    quantized: dict[str, Any] = {**quantized_weights(model)}
    np.savez(folder / "quantized.npz", **quantized)
    shapes = [[*tensor.shape[1:]] for tensor in model.inputs or ()]
    (folder / "shapes.json").write_text(json.dumps(shapes), encoding="utf-8")


def rebuild_model(
    keras: ModuleType, folder: Path, custom: Mapping[str, Any], kind: str
) -> KerasModel:
    """Build the exported model with every `float32` of its configuration replaced by `kind`.

    Raises:
        ToolFailed: Keras cannot.
    """
    text = (folder / "model.json").read_text(encoding="utf-8").replace('"float32"', f'"{kind}"')
    if kind == "float64":
        text = json.dumps(round_constants(json.loads(text)))
    try:
        model: KerasModel = keras.models.model_from_json(text, custom_objects=dict(custom))
        if not model.built:
            shapes = json.loads((folder / "shapes.json").read_text(encoding="utf-8"))
            model.build((None, *shapes[0]))
        with np.load(folder / "weights.npz", allow_pickle=False) as archive:
            model.set_weights(list(archive.values()))
        if kind == "float64":
            with np.load(folder / "quantized.npz", allow_pickle=False) as archive:
                pin_weights(model, dict(archive), _double_constant)
    except Exception as error:  # as in `load`
        raise ToolFailed(f"the model cannot be copied: {first_words(error)}") from error
    return model


def first_words(error: Exception) -> str:
    """Return the beginning of an error's text, on one line."""
    return " ".join(str(error).split())[:400]


def _double_constant(array: Array) -> object:
    import tensorflow

    return tensorflow.constant(array, tensorflow.float64)
