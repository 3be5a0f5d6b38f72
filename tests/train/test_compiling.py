"""What a model gives out decides loss and metrics, whoever made the model."""

import json

import numpy as np
import pytest

from qapflow.cli.main import main
from qapflow.train.compiling import output_kind
from qapflow.train.quantization.custom_objects import custom_objects

pytestmark = [pytest.mark.needs_keras, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (lambda layers: [layers.Dense(3)], "logits"),
        (lambda layers: [layers.Dense(3, "softmax")], "softmax"),
        (lambda layers: [layers.Dense(1, "sigmoid")], "sigmoid"),
        (lambda layers: [layers.Dense(3), layers.Softmax()], "softmax"),
        (lambda layers: [layers.Dense(1), layers.Activation("sigmoid")], "sigmoid"),
        (lambda layers: [layers.Dense(3, "relu")], "logits"),
        (lambda layers: [layers.Reshape((2, 2)), layers.LSTM(3, "sigmoid")], "logits"),
    ],
)
def test_what_a_model_gives_out(libraries, end, kind):
    keras = libraries.keras
    inner = keras.Sequential([keras.Input((4,)), *end(keras.layers)])
    assert output_kind(inner) == kind
    samples = keras.Input((4,))
    assert output_kind(keras.Model(samples, inner(samples))) == kind


def test_training_from_a_file_that_ends_in_a_sigmoid(libraries, tmp_path, capsys):
    """A recurrent one, too, whose file says more of its cells than QKeras takes."""
    keras = libraries.keras
    samples = keras.Input((4, 3))
    x = keras.layers.GRU(4)(samples)
    model = keras.Model(samples, keras.layers.Dense(1, activation="sigmoid", name="out")(x))
    model.save(tmp_path / "float.h5")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(600, 4, 3)).astype(np.float32)
    labels = (values[:, :, 0].sum(axis=1) > 1.0).astype(np.int64)  # rare: 0.3 of all
    np.savez(tmp_path / "data.npz", x=values, y=labels)
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "data: {source: data.npz, standardize: none}\n"
        "model: {file: float.h5}\n"
        "quantization: {weights: 6, activations: 6}\n"
        "pruning: {method: none}\n"
        "training: {learning_rate: 2.0e-2, batch_size: 32, epochs: 6}\n"
    )
    assert main(["train", str(recipe), "-o", str(tmp_path / "made.h5"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["exact"]
    assert row["mismatches"] == 0
    # Of logits' threshold, 0, every sample would be one of the rarer class.
    assert row["accuracy"] > 0.6
    assert row["val_accuracy"] > 0.6
    made = libraries.keras.models.load_model
    with libraries.keras.utils.custom_object_scope(custom_objects()):
        layers = made(tmp_path / "made.h5", compile=False).layers
    assert layers[-1].name == "out_sigmoid"
