"""Model files that Keras 2 wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qapflow.errors import UsageError
from qapflow.train.libraries import load_keras
from qapflow.train.quantization.custom_objects import custom_objects


def read_keras_model(path: Path) -> Any:
    """Read a Keras 2 model file, with QKeras layers, pruning wrappers and those of training.

    Raises UsageError when the file is missing or Keras cannot read it.
    """
    keras = load_keras().keras
    if not path.is_file():
        raise UsageError("the model file is not there", at=f"model.file: {path}")
    try:
        return keras.models.load_model(path, custom_objects=custom_objects(), compile=False)
    except (ValueError, TypeError, OSError, KeyError, AttributeError) as error:
        words = " ".join(str(error).split())[:300]
        raise UsageError(
            f"Keras cannot read the model: {words}",
            at=f"model.file: {path}",
            hint="save it as .h5 with tf-keras",
        ) from error
