"""Models of Keras 3 become tf-keras models of the same layers, weights and outputs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qapflow.errors import ModelUnsupported, UsageError
from qapflow.train.quantization.quantizing import quantize
from qapflow.train.rebuilding import as_tf_keras, read_model_file
from qapflow.train.saving.finalizing import finalize

pytestmark = [pytest.mark.needs_keras, pytest.mark.filterwarnings("ignore")]
HERE = Path(__file__).parent
IN_MEMORY = """
import os
os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import keras, sys
from tests.train.keras3_models import sequences
from qapflow.train import quantize
assert keras.__version__.startswith("3")
print(*(type(layer).__name__ for layer in quantize(sequences(), 8).layers))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with files of Keras 3."""
    folder = tmp_path_factory.mktemp("keras3")
    subprocess.run([sys.executable, HERE / "keras3_models.py", folder], check=True)
    return folder


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("name", ["images", "sequences"])
def test_a_file_of_keras_3(files, name, suffix):
    with np.load(files / f"{name}.npz") as arrays:
        values, outputs = arrays["values"], arrays["outputs"]
    made = read_model_file(files / f"{name}.{suffix}")
    assert type(made).__module__.startswith("tf_keras")
    assert np.allclose(made(values), outputs, rtol=1e-5)  # Keras 3 sums float32 in another order
    shared = [layer.name for layer in made.layers if len(layer.inbound_nodes) > 1]
    assert shared == (["again"] if name == "sequences" else [])
    if name == "images":
        assert made.layers[1].kernel_regularizer is not None


def test_it_is_quantized_and_proved(files, tmp_path):
    with np.load(files / "sequences.npz") as arrays:
        values = arrays["values"]
    made = quantize(read_model_file(files / "sequences.keras"), 8, samples=values)
    done = finalize(made, tmp_path / "m.h5", values)
    assert done.exact
    assert done.values == 60
    assert as_tf_keras(made) is made


def test_a_model_of_keras_3_in_memory_is_quantized():
    place = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, "-W", "ignore", "-c", IN_MEMORY]
    ended = subprocess.run(
        command, env=place, cwd=HERE.parents[1], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "QActivation Bidirectional QActivation TimeDistributed QLSTM" in ended.stdout


def test_layers_that_keras_2_has_not_are_listed(files):
    text = r"(?s)3 things.*bent.*another function in Keras 2.*mean.*Keras 2 has no such.*a constant"
    with pytest.raises(ModelUnsupported, match=text):
        read_model_file(files / "refused.keras")


def test_files_that_are_no_models_are_named(tmp_path):
    with pytest.raises(UsageError, match="the model file is not there"):
        read_model_file(tmp_path / "none.keras")
    (tmp_path / "text.h5").write_text("no model")
    with pytest.raises(UsageError, match="Keras cannot read the model"):
        read_model_file(tmp_path / "text.h5")


def test_normalization_behind_an_activation_is_quantized(libraries, randomise, tmp_path):
    """It folds into nothing, so its result is rounded, which integers can follow."""
    layers = libraries.keras.layers
    hidden = [layers.Dense(8, activation="relu"), layers.BatchNormalization()]
    end = layers.Dense(3, "softmax", name="out")
    model = randomise(libraries.keras.Sequential([libraries.keras.Input((5,)), *hidden, end]))
    values = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    made = quantize(model, 8, samples=values)
    kinds = [type(layer).__name__ for layer in made.layers]
    assert kinds[-3:] == ["BatchNormalization", "QActivation", "QDense"]
    assert finalize(made, tmp_path / "m.h5", values).exact
