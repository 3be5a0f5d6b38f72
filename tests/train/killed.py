"""Trains a small model in a process of its own, which kills itself where it is told to.

python -m tests.train.killed RECIPE STATE STAGE EPOCH
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np

from qapflow.train.compiling import compile_model
from qapflow.train.libraries import load_keras, seed_everything
from qapflow.train.loop import Job, Samples, run_job
from qapflow.train.recipes.recipe import PruningRecipe, QuantizationRecipe, Recipe, TrainingRecipe

DELAYED = Recipe(
    seed=5,
    quantization=QuantizationRecipe(weights_from_epoch=1, activations_from_epoch=2),
    pruning=PruningRecipe(
        method="polynomial", sparsity=0.5, from_epoch=1, until_epoch=3, every_steps=3,
        neurons=0.25, activations=0.5, activations_from_epoch=2,
    ),
    training=TrainingRecipe(epochs=5, batch_size=16, learning_rate=0.01, optimizer="sgd"),
)  # fmt: skip
ITERATIVE = Recipe(
    seed=3,
    pruning=PruningRecipe(method="iterative", fractions=(0.5, 0.5), rewind=1),
    training=TrainingRecipe(epochs=3, batch_size=16, early_stopping=2, learning_rate=0.01),
)
RECIPES = {"iterative": ITERATIVE, "delayed": DELAYED}


def make_job(recipe, state):
    seed_everything(recipe.seed)
    libraries = load_keras()
    keras, qkeras = libraries.keras, libraries.qkeras
    inputs = keras.Input((8,))
    x = qkeras.QDense(12, kernel_quantizer="quantized_bits(4,0,alpha=1)", name="first")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = qkeras.QActivation("quantized_relu(4,2)", name="relu")(x)
    x = keras.layers.Dropout(0.2)(x)
    x = qkeras.QDense(3, kernel_quantizer="quantized_bits(4,0,alpha=1)", name="last")(x)
    model = keras.Model(inputs, x)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 8)).astype(np.float32)
    y = np.argmax(x[:, :3], axis=1)
    job = Job(recipe, model, Samples(x[:120], y[:120]), Samples(x[120:], y[120:]), Path(state))
    compile_model(recipe, model, job.steps)
    return job


def main(recipe, state, stage, epoch):
    def listen(event, facts):
        if event == "epoch" and (facts["stage"], facts["epoch"]) == (stage, epoch):
            os.kill(os.getpid(), signal.SIGKILL)

    for _ in run_job(make_job(RECIPES[recipe], state), listen):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]))
