"""Recipes as Keras models; the only module here that needs Keras in its own process."""

import os
import random
import sys

import numpy as np

from qapflow.verify.keras_process import restore_qkeras
from tests.fuzz.choices import draw_weights
from tests.fuzz.recipe import grow

MORE_FROM = 10_000  # from this seed on recurrent, nested and wrapped layers too


def start_keras():
    """Import tf-keras, with QKeras on top of it, once a process."""
    os.environ.update(TF_USE_LEGACY_KERAS="1", CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow as tf
    import tf_keras

    sys.modules.setdefault("keras", tf_keras)
    if not tf.executing_eagerly():
        raise RuntimeError("TensorFlow does not run eagerly")
    tf.get_logger().setLevel("ERROR")
    restore_qkeras()
    return tf_keras


def argument(value):
    """Return a setting of a recipe as Keras wants it."""
    import qkeras

    if isinstance(value, dict) and "quantizer" in value:
        settings = {k: v for k, v in value.items() if k != "quantizer"}
        return getattr(qkeras, value["quantizer"])(**settings)
    if isinstance(value, dict) and "class" in value:
        return make(value["class"], value["arguments"])
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [argument(v) for v in value]
    if isinstance(value, list):
        return tuple(argument(v) for v in value)
    return value


def make(kind, arguments, **named):
    """Return a layer, or a model as one, with settings of a recipe."""
    import qkeras

    keras = start_keras()
    settings = {key: argument(value) for key, value in arguments.items()}
    if kind == "Sequential":
        return keras.Sequential(settings["layers"], **named)
    return getattr(qkeras if kind[:1] == "Q" else keras.layers, kind)(**named, **settings)


class Factory:
    """Makes layers and keeps them by name: one called again is shared."""

    def __init__(self):
        self.keras = start_keras()
        self.keras.backend.clear_session()
        self.layers = {}

    def make_input(self, name, shape):
        return self.keras.Input(tuple(shape), name=name)

    def make_layer(self, step, tensors):
        name = step["layer"]
        if name not in self.layers:
            layer = make(step["class"], step["arguments"], name=name)
            made = layer(tensors if len(tensors) > 1 else tensors[0])
            self.layers[name] = layer
            return made
        return self.layers[name](tensors if len(tensors) > 1 else tensors[0])


def random_recipe(seed):
    """Return the recipe of a seed."""
    factory = Factory()
    chance = random.Random(seed)
    more = seed >= MORE_FROM
    return {"seed": seed, **grow(chance, factory.make_layer, factory.make_input, more=more)}


def build(recipe):
    """Return the Keras model of a recipe, with its weights, and the tensor of each step."""
    factory = Factory()
    tensors = {name: factory.make_input(name, shape) for name, shape, _ in recipe["inputs"]}
    for step in recipe["steps"]:
        sources = [tensors[name] for name in step["from"]]
        tensors[step["name"]] = factory.make_layer(step, sources)
    inputs = [tensors[name] for name, _, _ in recipe["inputs"]]
    outputs = [tensors[name] for name in recipe["outputs"]]
    model = factory.keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])
    styles = {step["layer"]: step["style"] for step in reversed(recipe["steps"])}
    for layer in model.layers:
        fill(layer, styles.get(layer.name, "normal"), recipe["seed"])
    return model, tensors


def fill(layer, style, seed):
    """Give a layer weights that follow from its name, the style and the seed alone."""
    rng = np.random.default_rng([seed, *layer.name.encode()])
    new = []
    for weight in layer.weights:
        name = weight.name.rsplit("/", 1)[-1]
        old = weight.numpy()
        if old.dtype.kind != "f":
            new.append(old)
        elif "variance" in name:
            new.append(np.abs(draw_weights(rng, "normal", old.shape)) + 0.25)
        elif "gamma" in name:
            new.append(rng.uniform(0.25, 2, old.shape) * rng.choice([-1, 1, 1], old.shape))
        else:
            new.append(draw_weights(rng, style, old.shape))
    layer.set_weights(
        [np.asarray(a, w.dtype.name) for a, w in zip(new, layer.weights, strict=True)]
    )


def predict_steps(model, tensors, names, values):
    """Return the float64 values [n, *shape] of some steps by name."""
    if not names:
        return {}
    probe = type(model)(model.inputs, [tensors[name] for name in names])
    return dict(zip(names, predict(probe, values), strict=True))


def call_layer(layer, arrays):
    """Run one layer on values [n, *shape] and return float64."""
    arrays = [array.astype(np.float32) for array in arrays]
    made = layer(arrays if len(arrays) > 1 else arrays[0], training=False)
    return np.asarray(made, np.float64)


def predict(model, values):
    """Return float64 outputs [n, *shape] as Keras computes them in single precision."""
    arrays = [values[name].astype(np.float32) for name in model.input_names]
    made = model.predict(arrays if len(arrays) > 1 else arrays[0], batch_size=1024, verbose=0)
    return [np.asarray(a, np.float64) for a in (made if isinstance(made, list) else [made])]
