"""Train the shipped digits classifier: 6-bit weights, 75 % pruned while it learns quantized.

Needs the extra: pip install 'qapflow[train]' scikit-learn. Writes digits.h5, the held-out images
digits_inputs.npy [360, 64] and digits_labels.npy [360] beside this file.

    python examples/digits/train.py
"""

import os
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from qkeras import QActivation, QDense
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
SPARSITY = 0.75
EPOCHS, PRUNE_FROM, PRUNE_TO, BATCH = 120, 20, 80, 32


def dense(units: int, name: str) -> QDense:
    """Return a dense layer with 6-bit weights and biases in [-1, 1)."""
    return QDense(
        units,
        name=name,
        kernel_quantizer="quantized_bits(6, 0, alpha=1)",
        bias_quantizer="quantized_bits(6, 0, alpha=1)",
    )


def build_model(steps_per_epoch: int) -> keras.Model:
    """Return 64-32-32-10 with pruning wrappers; pixels k/16 lie on the input quantizer's grid."""
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, SPARSITY, PRUNE_FROM * steps_per_epoch, PRUNE_TO * steps_per_epoch, frequency=10
    )
    pixels = keras.layers.Input((64,), name="pixels")
    x = QActivation("quantized_bits(6, 1, alpha=1)", name="grid")(pixels)
    for number in (1, 2):
        layer = dense(32, f"dense_{number}")
        x = tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)(x)
        x = QActivation("quantized_relu(6, 2)", name=f"relu_{number}")(x)
    logits = tfmot.sparsity.keras.prune_low_magnitude(
        dense(10, "logits"), pruning_schedule=schedule
    )(x)
    return keras.Model(pixels, logits, name="digits")


def main() -> None:
    """Train, strip the wrappers, save model and held-out data."""
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        (images / 16).astype(np.float32), labels, test_size=360, random_state=0, stratify=labels
    )
    model = build_model(-(-len(train_x) // BATCH))
    model.compile(
        keras.optimizers.Adam(2e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        train_x,
        train_y,
        batch_size=BATCH,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[
            tfmot.sparsity.keras.UpdatePruningStep(),
            keras.callbacks.LearningRateScheduler(lambda epoch: 2e-3 if epoch < 90 else 5e-4),
        ],
    )
    model = tfmot.sparsity.keras.strip_pruning(model)
    for layer in model.layers:
        if isinstance(layer, QDense):
            print(f"{layer.name}: {np.mean(layer.get_weights()[0] == 0):.1%} of weights are zero")
    accuracy = np.mean(model.predict(test_x, verbose=0).argmax(1) == test_y)
    print(f"accuracy on {len(test_x)} held-out digits: {accuracy:.2%}")
    model.save(HERE / "digits.h5", include_optimizer=False)
    np.save(HERE / "digits_inputs.npy", test_x)
    np.save(HERE / "digits_labels.npy", test_y.astype(np.int64))


if __name__ == "__main__":
    main()
