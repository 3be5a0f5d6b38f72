"""Keras, imported once, and models with weights of every sign and size."""

import numpy as np
import pytest

from qapflow.train.libraries import load_keras


@pytest.fixture(scope="session")
def libraries():
    """TensorFlow, Keras 2, QKeras and tfmot."""
    return load_keras()


@pytest.fixture
def randomise():
    """A function that gives a model the weights of a trained one, with a share of zeros."""

    def fill(model, seed=0, zeros=0.0):
        rng = np.random.default_rng(seed)
        for layer in model.layers:
            for weight in layer.weights:
                name = weight.name.rsplit("/", 1)[-1]
                values = rng.normal(0, 0.4, weight.shape)
                if "variance" in name or "gamma" in name:
                    values = rng.uniform(0.3, 2, weight.shape)
                elif "kernel" in name:
                    values *= rng.random(weight.shape) >= zeros
                elif "updates" in name or "frozen" in name:
                    values = np.zeros(weight.shape)
                weight.assign(values.astype(np.float32))
        return model

    return fill
