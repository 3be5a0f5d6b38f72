"""Compares read models with what tf-keras loads; reads lines of MODEL[,WEIGHTS]."""

import os
import sys
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3", TF_USE_LEGACY_KERAS="1")
import tf_keras

sys.modules["keras"] = tf_keras
import numpy as np  # noqa: E402
from qkeras.utils import _add_supported_quantized_objects  # noqa: E402
from tensorflow_model_optimization.python.core.sparsity.keras import (  # noqa: E402
    pruning_wrapper,
)

from qapflow.frontend.archive import read_model  # noqa: E402


def load(path, weights):
    objects = {"PruneLowMagnitude": pruning_wrapper.PruneLowMagnitude}
    _add_supported_quantized_objects(objects)
    if weights is None:
        return tf_keras.models.load_model(path, custom_objects=objects, compile=False)
    model = tf_keras.models.model_from_json(path.read_text(), custom_objects=objects)
    model.load_weights(weights)
    return model


def leaves(model, path=()):
    for layer in model.layers:
        if hasattr(layer, "layers") and not hasattr(layer, "forward_layer"):
            yield from leaves(layer, (*path, layer.name))
        else:
            pruned = type(layer).__name__ == "PruneLowMagnitude"
            yield "/".join((*path, layer.layer.name if pruned else layer.name)), layer, pruned


def stored(layer, pruned):
    """The bytes of a layer's own weights, whatever their names."""
    items = [(x.name.split("/")[-1].split(":")[0], np.array(x)) for x in layer.weights]
    aside = ("mask", "threshold", "pruning_step") if pruned else ()
    return sorted(array.tobytes() for name, array in items if name not in aside)


for line in sys.stdin.read().split():
    names = [Path(name) for name in line.split(",")]
    weights = names[1] if len(names) > 1 else None
    spec = read_model(names[0], weights)
    model = load(names[0], weights)
    found = {x.name: x for x in spec.layers}
    for name, layer, pruned in leaves(model):
        if name not in found:
            assert not layer.weights, name
            continue
        # masks are applied already in the files of the collection
        arrays = [np.asarray(array) for array in found[name].weights.values()]
        assert sorted(array.tobytes() for array in arrays) == stored(layer, pruned), (line, name)
    count = len([x for x in spec.layers if x.weights])
    print("same", names[0].name, count)
