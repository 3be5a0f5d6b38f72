"""Models of Keras 3 with their outputs: a process of its own, as tf-keras takes Keras 3's name.

    python keras3_models.py FOLDER

Writes each model as .keras and .h5, with samples and outputs in an .npz of its name; `refused` is
one with layers that Keras 2 has not.
"""

import os
import sys
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
os.environ.pop("TF_USE_LEGACY_KERAS", None)

import keras
import numpy as np
from keras import layers


def images():
    samples = keras.Input((9, 9, 2))
    x = layers.Conv2D(4, 3, padding="same", kernel_regularizer="l2")(samples)
    x = layers.ReLU(max_value=6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, activation="relu")(x)
    x = layers.LeakyReLU(0.25)(layers.SeparableConv2D(3, 2)(x))
    x = layers.Conv2DTranspose(2, 2)(layers.MaxPooling2D()(layers.Dropout(0.1)(x)))
    return keras.Model(samples, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))


def sequences():
    samples = keras.Input((6, 5))
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True))(samples)
    x = layers.TimeDistributed(layers.Dense(4, activation="relu"))(x)
    x = layers.SimpleRNN(4)(layers.LSTM(5, return_sequences=True)(x))
    again = layers.Dense(4, activation="relu", name="again")
    x = again(again(x))
    x = x + again(x)
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(6), layers.BatchNormalization()])
    return keras.Model(samples, layers.Dense(2)(inner(x)))


def refused():
    samples = keras.Input((4,))
    x = layers.Dense(3, activation="hard_sigmoid", name="bent")(samples)
    x = layers.RMSNormalization(name="mean")(x)
    return keras.Model(samples, layers.Dense(2)(x + 1.5))


def main(folder):
    rng = np.random.default_rng(0)
    for make in (images, sequences, refused):
        model = make()
        for weight in model.weights:  # statistics and biases, too, of a trained model
            drawn = rng.uniform(0.2, 0.9, weight.shape)
            weight.assign(drawn - 0.5 if "kernel" in weight.path else drawn)
        values = rng.normal(size=(30, *model.input_shape[1:])).astype(np.float32)
        stem = folder / make.__name__
        np.savez(stem.with_suffix(".npz"), values=values, outputs=np.asarray(model(values)))
        model.save(stem.with_suffix(".keras"))
        model.save(stem.with_suffix(".h5"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
