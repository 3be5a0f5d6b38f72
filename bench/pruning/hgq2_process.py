"""Train one network with HGQ2; run by a Python that has HGQ2 and nothing of this project.

    python hgq2_process.py SAMPLES.npz ROWS.json WIDTHS EPOCHS BATCH LEARNING_RATE BETA

Widths like 64,32,32. Bits of every weight and activation are learned against a price `BETA` for
each EBOP, which rises from a hundredth of it on, so that one training passes all trade-offs (as in
HGQ2's own examples). A row an epoch that no other beats in validation accuracy and EBOPs.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QDense
from hgq.utils import trace_minmax
from hgq.utils.sugar import BetaScheduler, FreeEBOPs, PieceWiseSchedule


def main() -> None:
    """Train and write the rows."""
    samples, rows, widths, epochs, batch, rate, beta = sys.argv[1:]
    with np.load(samples, allow_pickle=False) as archive:
        data = {name: archive[name] for name in archive}
    keras.utils.set_random_seed(int(data["seed"]))
    units = [int(width) for width in widths.split(",")]
    model = build(data["x_train"].shape[1:], units, int(data["classes"]), float(beta))
    front = Front(data)
    steps = int(epochs)
    price = PieceWiseSchedule([(0, float(beta) / 100, "log"), (steps, float(beta), "constant")])
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(
                float(rate), steps * -(-len(data["x_train"]) // int(batch))
            )
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        data["x_train"], data["y_train"], epochs=steps, batch_size=int(batch), verbose=0,
        validation_data=(data["x_validation"], data["y_validation"]),
        callbacks=[BetaScheduler(price), FreeEBOPs(), front],
    )  # fmt: skip
    found = front.measure(model)
    text = json.dumps({"keras": keras.__version__, "rows": found})
    Path(rows).write_text(text, encoding="utf-8")


def build(shape, units, classes, beta):
    """Return the network, quantized as HGQ2's README proposes."""
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, beta0=beta / 100),
    ):
        layers = [keras.layers.Input(shape)]
        if len(shape) > 1:
            layers.append(keras.layers.Flatten())
        layers += [QDense(width, activation="relu") for width in units]
        return keras.Sequential([*layers, QDense(classes)])


class Front(keras.callbacks.Callback):
    """Keeps the weights of the epochs that no other beats in accuracy and EBOPs."""

    def __init__(self, data) -> None:
        super().__init__()
        self.data, self.kept = data, []

    def on_epoch_end(self, epoch, logs=None):
        """Keep this epoch unless one before is as good in both."""
        new = (logs["val_accuracy"], -logs["ebops"])
        if any(beats(old, new) for old, _, _ in self.kept):
            return
        self.kept = [item for item in self.kept if not beats(new, item[0])]
        self.kept.append((new, epoch, self.model.get_weights()))

    def measure(self, model):
        """Return a row an epoch kept, with EBOPs of ranges seen on the training samples."""
        rows = []
        for _, epoch, weights in self.kept:
            model.set_weights(weights)
            ebops = trace_minmax(model, self.data["x_train"], batch_size=8192, verbose=False)
            row = {"epoch": epoch, "ebops": float(ebops)}
            for part in ("validation", "test"):
                made = model.predict(self.data[f"x_{part}"], batch_size=8192, verbose=0)
                right = made.argmax(axis=1) == self.data[f"y_{part}"]
                row |= {f"{part}_accuracy": float(right.mean()), f"{part}_samples": len(right)}
            rows.append(row)
        return rows


def beats(one, other):
    """Tell whether one pair of figures is at least as good as another in both."""
    return all(a >= b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main()
