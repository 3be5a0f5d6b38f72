"""A Keras model in memory, read through its own get_config() and weights; Keras is not imported."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from qapflow.errors import UsageError
from qapflow.frontend.archive import assemble
from qapflow.frontend.assign import assign_listed
from qapflow.frontend.fields import parse_json
from qapflow.frontend.graph import parse_model
from qapflow.frontend.model import ModelSpec
from qapflow.frontend.stored import Array

AT = "the model in memory"
BUILD_FIRST = "call model.build(...) or the model on data once, and pass a Keras model"


def read_live(model: Any) -> ModelSpec:
    """Return a tf-keras, QKeras or Keras 3 model in memory the way a file of it would be read.

    Raises UsageError when it is no built Sequential or Functional model.
    """
    try:
        text = model.to_json()
        layers = list(model.layers)
        listed = {str(layer.name): _weights(layer) for layer in layers}
    except (AttributeError, NotImplementedError, ValueError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"this is no built Keras model: {first}", AT, BUILD_FIRST) from None
    if not isinstance(text, str):
        raise UsageError("this is no built Keras model: to_json() gave no text", AT, BUILD_FIRST)
    entry = parse_json(text.encode(), AT)
    parsed = parse_model(entry, AT)
    found, notes = assign_listed(parsed, listed)
    version = str(entry.get("keras_version", "unknown"))
    return assemble(parsed, found, notes, version, "memory", _digest(entry, listed))


def _weights(layer: Any) -> list[tuple[str, Array]]:
    """Return the weights in the order of HDF5 files: all trainable ones, then the others."""
    variables = [*layer.trainable_weights, *layer.non_trainable_weights]
    return [(str(getattr(item, "path", item.name)), np.array(item)) for item in variables]


def _digest(entry: dict[str, Any], listed: dict[str, list[tuple[str, Array]]]) -> str:
    total = hashlib.sha256(json.dumps(entry, sort_keys=True).encode())
    for name, weights in listed.items():
        for weight, array in weights:
            total.update(f"{name}\0{weight}\0{array.dtype}\0{array.shape}\0".encode())
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
