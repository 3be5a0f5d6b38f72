"""Writes models of operations between layers, and what they compute; a process of its own.

Usage: keras_operations.py {tf_keras|keras} FOLDER
"""

import os
import sys
from pathlib import Path

FLAVOUR, FOLDER = sys.argv[1], Path(sys.argv[2])
os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
if FLAVOUR == "tf_keras":
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    import tf_keras as keras
else:
    import keras
    from keras import ops

import numpy as np  # noqa: E402

RNG = np.random.default_rng(7)
ROW = np.array([1.0, -2.0, 0.5, 3.0, 0.0, 4.0], "f4")


def arithmetic(x, y):
    return [x + y, x - y, x * y, x * 2.0, x + 0.75, 1.0 - x, x - 0.5, -x, x / 4.0, x * ROW, x + ROW]


def slices(x, y):
    return [x[:, 1:3, ::2], x[:, 0], x[:, :, -1], x[:, ::-1], x[:, 1:, 1::3], x[:, None, 2:4]]


def tensorflow_functions(x, y):
    turned = tf.transpose(x, (0, 2, 1))
    grown = tf.expand_dims(x, -1)
    return [
        tf.maximum(x, y), tf.minimum(x, 0.25), tf.nn.relu(x), tf.nn.relu6(x * 4.0),
        tf.nn.leaky_relu(x, 0.25), tf.abs(x), tf.square(x), x**2, tf.clip_by_value(x, -1, 1.5),
        tf.reduce_sum(x, axis=1), tf.reduce_sum(x, axis=[1, 2]), tf.reduce_mean(x, axis=1),
        tf.reduce_max(x, axis=-1, keepdims=True), tf.reduce_min(x, axis=1),
        tf.reshape(x, (-1, 24)), grown, tf.squeeze(grown, -1), turned, tf.matmul(x, turned),
        tf.matmul(x, y, transpose_b=True), x @ turned, tf.concat([x, y], axis=-1),
        tf.concat([x, y], axis=1), tf.stack([x, y], axis=1), tf.stack([x, y], axis=-1),
        tf.pad(x, [[0, 0], [1, 2], [0, 1]]), tf.reverse(x, [1]), tf.cast(x, "float32"),
        tf.identity(x),
    ]  # fmt: skip


def keras_functions(x, y):
    turned = ops.transpose(x, (0, 2, 1))
    grown = ops.expand_dims(x, 1)
    return [
        ops.maximum(x, y), ops.minimum(x, 0.25), ops.relu(x), ops.relu6(x * 4.0),
        ops.leaky_relu(x, 0.25), ops.absolute(x), ops.square(x), ops.power(x, 2),
        ops.clip(x, -1, 1.5), ops.sum(x, axis=1), ops.sum(x, axis=(1, 2)), ops.mean(x, axis=1),
        ops.max(x, axis=-1, keepdims=True), ops.min(x, axis=1), ops.reshape(x, (-1, 24)), grown,
        ops.squeeze(grown, 1), turned, ops.matmul(x, turned), x @ turned,
        ops.concatenate([x, y], axis=-1), ops.concatenate([x, y], axis=1),
        ops.stack([x, y], axis=1), ops.pad(x, [[0, 0], [1, 2], [0, 1]]), ops.flip(x, 1),
        ops.copy(x),
    ]  # fmt: skip


def smooth(x, y):
    if FLAVOUR == "keras":
        return [ops.sigmoid(x), ops.softmax(x), ops.tanh(x), ops.silu(x)]
    return [tf.sigmoid(x), tf.nn.softmax(x), tf.tanh(x), tf.nn.silu(x)]


def attention(x, y):
    heads = [keras.layers.MultiHeadAttention(*size) for size in ((2, 3), (1, 4), (2, 2, 5))]
    scaled = keras.layers.Attention(use_scale=True)([x, y])
    return [heads[0](x, y), heads[1](x, x, use_causal_mask=True), heads[2](x, y, key=x), scaled,
            keras.layers.Attention()([x, y, x], use_causal_mask=True)]  # fmt: skip


functions = tensorflow_functions if FLAVOUR == "tf_keras" else keras_functions
for name, build in {
    "arithmetic": arithmetic, "slices": slices, "functions": functions, "smooth": smooth,
    "attention": attention,
}.items():  # fmt: skip
    x, y = keras.Input((4, 6), name="x"), keras.Input((4, 6), name="y")
    model = keras.Model([x, y], build(x, y))
    model.save(FOLDER / f"{name}.keras")
    model.save(FOLDER / f"{name}.h5")
    given = [np.round(RNG.uniform(-8, 8, (20, 4, 6)) * 16) / 16 for _ in "xy"]
    given = [np.clip(array, -8, 7.9375).astype("f4") for array in given]
    made = model.predict(given, verbose=0)
    arrays = {f"{k:03d}": array for k, array in enumerate(made)}
    np.savez(FOLDER / f"{name}.npz", x=given[0], y=given[1], **arrays)
