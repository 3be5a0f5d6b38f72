import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from qapflow.errors import ToolFailed, ToolMissing
from qapflow.frontend.load import load
from qapflow.frontend.model import LoadOptions
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.verify import keras_run as module
from qapflow.verify.keras_double import pin_weights, round_constants
from qapflow.verify.keras_run import run_keras, run_live

X = {"x": np.zeros((2, 3))}


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Replace Python by a shell script; $3 is the folder of the request."""

    def use(body):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        monkeypatch.setattr(module.sys, "executable", str(path))

    return use


def answer(**data):
    return f"echo '{json.dumps({'versions': {}, **data})}' > $3/result.json"


def test_a_missing_package_names_the_extra(python, tmp_path):
    python(answer(status="missing", reason="tf_keras"))
    with pytest.raises(ToolMissing, match="the Python package tf_keras is not installed") as error:
        run_keras(tmp_path / "m.h5", X)
    assert "pip install 'qapflow[train]'" in error.value.hint
    assert error.value.exit_code == 3


def test_a_model_keras_refuses_is_no_error(python, tmp_path):
    python(answer(status="refused", reason="Keras 2.1 cannot load the file: because"))
    got = run_keras(tmp_path / "m.h5", X)
    assert got.refused == "Keras 2.1 cannot load the file: because"
    assert got.outputs == ()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            "echo Traceback; echo ValueError: boom; exit 1",
            "the Keras process crashed: ValueError: boom",
        ),
        ("exit 7", "the Keras process crashed: exit code 7"),
        ("kill -9 $$", "Keras was killed, most likely because memory ran out"),
        ("sleep 60", r"Keras did not finish in 0.3 s"),
    ],
)
def test_every_way_to_fail_is_named(python, tmp_path, body, text):
    python(body)
    with pytest.raises(ToolFailed, match=text):
        run_keras(tmp_path / "m.h5", X, timeout=0.3)


def test_a_python_that_cannot_start(tmp_path, monkeypatch):
    monkeypatch.setattr(module.sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(ToolFailed, match="Python cannot be started"):
        run_keras(tmp_path / "m.h5", X)


def test_files_that_say_keras_3_go_to_keras_3_first(tmp_path, monkeypatch):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.4.1"}')
    asked = []

    def record(folder, request, timeout):
        asked.append(request["keras"])
        return module.KerasResult(refused=request["keras"]), request["keras"]

    monkeypatch.setattr(module, "_run_child", record)
    assert run_keras(path, X).refused == "3"
    assert run_keras(tmp_path / "m.h5", X).refused == "2"
    assert asked == ["3", "2", "2", "3"]


LEGACY = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tf_keras, numpy as np
sys.modules["keras"] = tf_keras
from qkeras import QDense, QActivation, quantized_bits, quantized_relu
from tensorflow_model_optimization.python.core.sparsity.keras import prune
tf_keras.utils.set_random_seed(0)
L = tf_keras.layers
bits = lambda: quantized_bits(16, 0, alpha=1)
x = i = L.Input((40,), name="x")
x = QDense(8, kernel_quantizer=bits(), bias_quantizer=bits(), name="fc")(x)
x = QActivation(quantized_relu(16, 8), name="act")(x)
inner = tf_keras.Sequential([L.Dense(3, name="deep", input_shape=(8,))], name="inner")
x = inner(x)
model = tf_keras.Model(i, x)
kernel = model.get_layer("fc").get_weights()[0]
model.get_layer("fc").set_weights([kernel * 3, np.linspace(-.9, .9, 8)])
model.save(sys.argv[1] + "/m.h5", include_optimizer=False)
model.use_legacy_config = True  # as QKeras files of this kind are
open(sys.argv[1] + "/m.json", "w").write(model.to_json())
model.save_weights(sys.argv[1] + "/w.h5")
plain = tf_keras.Sequential([L.Dense(2, input_shape=(40,), name="d")])
plain.save(sys.argv[1] + "/plain.keras")
prune.prune_low_magnitude(plain).save(sys.argv[1] + "/pruned.h5", include_optimizer=False)
a, b = L.Input((2,), name="a"), L.Input((3,), name="b")
two = tf_keras.Model([b, a], [L.Concatenate(name="c")([a, b]), a])
two.save(sys.argv[1] + "/two.h5", include_optimizer=False)
from qkeras import QConv2DBatchnorm
scaled = quantized_bits(8, 0, 1, alpha="auto_po2")
x = L.Input((9, 9, 3), name="x")
y = QConv2DBatchnorm(4, 3, kernel_quantizer=scaled, bias_quantizer=quantized_bits(8, 0))(x)
folded = tf_keras.Model(x, y)
folded.save(sys.argv[1] + "/folded.h5", include_optimizer=False)

from qkeras import quantized_ulaw
x = L.Input((1,), name="x")
y = QDense(4, kernel_quantizer=quantized_bits(4, 0, alpha=1.7), use_bias=False)(x)
scaled = tf_keras.Model(x, [y, QActivation(quantized_ulaw(6))(x)])
scaled.save(sys.argv[1] + "/scaled.h5", include_optimizer=False)
"""

KERAS_3 = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "0"
import keras
L = keras.layers
m = keras.Sequential([keras.Input((40,)), L.Dense(2, name="d"), L.ReLU(name="r")])
m.save(sys.argv[1] + "/three.keras")
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for script in (LEGACY, KERAS_3):
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script, str(folder)],
            check=True,
            capture_output=True,
        )
    return folder


def wide(count=300):
    return {"x": np.random.default_rng(0).integers(-(2**15), 2**15, (count, 40)) / 2.0**8}


@pytest.mark.needs_keras
def test_h5_runs_with_all_layers_and_in_double_precision(models):
    got = run_keras(models / "m.h5", wide(), layers=[])
    assert got.refused == ""
    assert {"tensorflow", "keras", "qkeras"} <= set(got.versions)
    assert {"fc", "act", "inner", "deep"} <= set(got.layers)
    assert got.outputs[0].dtype == np.float32
    assert np.allclose(got.layers["deep"], got.outputs[0], rtol=1e-5)
    double = run_keras(models / "m.h5", wide(), layers=["act"], float64=True)
    assert double.outputs[0].dtype == np.float64
    assert list(double.layers) == ["act"]
    # 16 x 16 bit products of 40 terms need more than the 24 bits of a float32.
    assert (got.layers["act"] != double.layers["act"]).any()
    assert np.abs(got.layers["act"] - double.layers["act"]).max() <= 2.0**-7
    grid = double.layers["act"] * 2.0**8
    assert np.array_equal(grid, np.round(grid))


@pytest.mark.needs_keras
def test_folded_kernels_with_scales_of_their_own_run_in_double_precision(models):
    codes = np.random.default_rng(0).integers(-(2**19), 2**19, (8, 9, 9, 3))
    net = load(models / "folded.h5", LoadOptions(input_types={"": Fixed(True, 20, 10)})).net
    ours = net.edge(net.outputs[0]).type.decode(interpret(net, {"x": codes})[net.outputs[0]])
    single, double = (
        run_keras(models / "folded.h5", {"x": codes / 2.0**10}, float64=float64)
        for float64 in (False, True)
    )
    assert double.refused == ""
    assert not np.array_equal(single.outputs[0], ours)  # sums of more than 24 bits
    assert np.array_equal(double.outputs[0], ours)


@pytest.mark.needs_keras
def test_constants_of_the_double_precision_are_those_that_keras_rounds_to_float32(models):
    codes = np.random.default_rng(0).integers(-(2**11), 2**11, (50, 1))
    found = load(models / "scaled.h5", LoadOptions(input_types={"": Fixed(True, 12, 4)}))
    record = next(record for record in found.records if record.class_name == "QDense")
    made = interpret(found.net, {"x": codes}, keep="all")[record.edge]
    ours = found.net.edge(record.edge).type.decode(made)
    values = {"x": codes / 2.0**4}
    double = run_keras(models / "scaled.h5", values, float64=True, layers=[record.name])
    assert double.refused == ""
    assert record.regime == "exact"
    assert np.array_equal(double.layers[record.name], ours)


def test_a_copy_of_other_layers_is_not_taken():
    class Model:
        def _flatten_layers(self, include_self):
            return []

    with pytest.raises(ValueError, match="its layers differ: 0:fc:kernel_quantizer_internal"):
        pin_weights(Model(), {"0:fc:kernel_quantizer_internal": np.zeros(2)}, np.asarray)


def test_constants_of_a_configuration_are_those_of_float32():
    third = float(np.float32(0.3))
    config = {"alpha": 0.3, "bits": 4, "half": 0.5, "name": "v0.3", "list": [0.3, "relu(4,0.3)"]}
    assert round_constants(config) == {
        "alpha": third,
        "bits": 4,
        "half": 0.5,
        "name": "v0.3",
        "list": [third, f"relu(4,{third!r})"],
    }
    assert round_constants("quantized_relu(4,0,negative_slope=1e-3)") == (
        f"quantized_relu(4,0,negative_slope={float(np.float32(1e-3))!r})"
    )


@pytest.mark.needs_keras
def test_json_with_weights_equals_the_whole_file(models):
    whole = run_keras(models / "m.h5", wide(20))
    pair = run_keras(models / "m.json", wide(20), weights=models / "w.h5")
    assert np.array_equal(whole.outputs[0], pair.outputs[0])


@pytest.mark.needs_keras
@pytest.mark.parametrize("name", ["plain.keras", "pruned.h5", "three.keras"])
def test_other_formats_load_and_double(models, name):
    got = run_keras(models / name, wide(20))
    assert got.refused == ""
    assert got.outputs[0].shape == (20, 2)
    assert got.versions["keras"][0] == ("3" if name == "three.keras" else "2")
    double = run_keras(models / name, wide(20), float64=True)
    assert double.outputs[0].dtype == np.float64
    assert np.allclose(double.outputs[0], got.outputs[0], rtol=1e-4, atol=1e-4)


@pytest.mark.needs_keras
def test_inputs_are_matched_by_name_and_outputs_keep_their_order(models):
    a, b = np.ones((4, 2)), np.full((4, 3), 2.0)
    got = run_keras(models / "two.h5", {"a": a, "b": b})
    assert got.outputs[0].tolist() == [[1, 1, 2, 2, 2]] * 4
    assert got.outputs[1].tolist() == a.tolist()


@pytest.mark.needs_keras
def test_a_file_no_keras_can_load_is_refused_with_its_words(tmp_path):
    path = tmp_path / "m.h5"
    path.write_bytes(b"not a model")
    got = run_keras(path, X)
    assert got.refused.startswith("Keras 2.")
    assert "cannot load the file" in got.refused


def test_a_live_model_runs_here():
    class Model:
        inputs = ()
        output_names = ("y", "z")

        def predict(self, x, batch_size, verbose):
            assert x.dtype == np.float32
            return {"z": x * 2, "y": x}

    got = run_live(Model(), {"x": np.ones((2, 3))})
    assert [array.tolist() for array in got.outputs] == [[[1.0] * 3] * 2, [[2.0] * 3] * 2]
