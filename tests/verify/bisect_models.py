"""Writes small QKeras models, one a cause; run in a process of its own: bisect_models.py FOLDER."""

import os
import sys
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3", TF_USE_LEGACY_KERAS="1")
import numpy as np
import tf_keras

sys.modules["keras"] = tf_keras
from qkeras import QActivation, QConv2D, QDense, quantized_bits, quantized_relu  # noqa: E402

FOLDER = Path(sys.argv[1])
RNG = np.random.default_rng(0)
L = tf_keras.layers


def quantized(bits, alpha=1.0):
    return {
        "kernel_quantizer": quantized_bits(bits, 0, alpha=alpha),
        "bias_quantizer": quantized_bits(bits, 0, alpha=1),
    }


def exact():
    """Everything on grids, sums far below 24 bits."""
    x = i = L.Input((6, 6, 1), name="image")
    x = QActivation(quantized_bits(6, 2, alpha=1), name="start")(x)
    x = QConv2D(2, 3, strides=2, padding="same", name="conv", **quantized(4))(x)
    x = QActivation(quantized_relu(5, 2), name="relu")(x)
    x = L.Flatten(name="flat")(x)
    x = QDense(4, name="fc", **quantized(4))(x)
    x = QActivation(quantized_bits(5, 1, alpha=1), name="act")(x)
    return tf_keras.Model(i, QDense(3, name="out", **quantized(4))(x))


def wide():
    """Sums of 34 bits, which float32 cannot hold."""
    x = i = L.Input((64,), name="x")
    x = QDense(6, name="fc", **quantized(16))(x)
    x = QActivation(quantized_relu(8, 3), name="act")(x)
    return tf_keras.Model(i, QDense(2, name="out", **quantized(4))(x))


def floats():
    """Scales that are no powers of two, float weights, and a smooth function."""
    x = i = L.Input((8,), name="x")
    x = QActivation(quantized_bits(6, 2, alpha=1), name="start")(x)
    x = QDense(6, name="auto", **quantized(4, "auto"))(x)
    x = QActivation(quantized_bits(6, 2, alpha=1), name="act")(x)
    x = L.Dense(5, name="plain")(x)
    x = L.Activation("tanh", name="tanh")(x)
    x = QActivation(quantized_bits(6, 0, alpha=1), name="end")(x)
    return tf_keras.Model(i, QDense(2, name="out", **quantized(4))(x))


for make in (exact, wide, floats):
    model = make()
    model.set_weights([RNG.normal(0, 0.5, array.shape) for array in model.get_weights()])
    model.save(str(FOLDER / f"{make.__name__}.h5"), include_optimizer=False)
