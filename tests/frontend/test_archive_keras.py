"""Every weight and every connection against real tf-keras, QKeras, tfmot and Keras 3."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qapflow.errors import UsageError
from qapflow.frontend.archive import read_model

pytestmark = [pytest.mark.needs_keras, pytest.mark.slow]
SCRIPT = Path(__file__).parent / "keras_models.py"
COMMON = ["mlp", "two_inputs", "nested", "nested_unique", "nested_sequential", "frozen"]
COMMON += ["convolutions", "recurrent", "keywords", "code", "operators"]
CASES = [("tf_keras", name) for name in [*COMMON, "quantized", "pruned"]]
CASES += [("keras", name) for name in COMMON]
FORMATS = ["h5", "keras", "json"]
# Keras 2 cannot save two weights of one name in one nested model as HDF5.
NO_FILE = {("tf_keras", "nested", "h5"), ("tf_keras", "nested", "json")}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folder of saved models by flavour; each Keras runs in a process of its own."""
    result = {}
    for flavour in ("tf_keras", "keras"):
        result[flavour] = tmp_path_factory.mktemp(flavour)
        run = subprocess.run(
            [sys.executable, SCRIPT, flavour, result[flavour]],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-3000:]
    return result


def open_case(folders, flavour, name, suffix):
    if (flavour, name, suffix) in NO_FILE:
        assert not (folders[flavour] / f"{name}.h5").exists()
        return None
    return read_model(folders[flavour] / f"{name}.{suffix}")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("flavour", "name"), CASES)
def test_weights(folders, flavour, name, suffix):
    spec = open_case(folders, flavour, name, suffix)
    if spec is None:
        return
    expected = np.load(folders[flavour] / f"{name}.npz")
    by_layer: dict[str, dict[str, np.ndarray]] = {}
    for key in expected.files:
        layer, short = key.split("|")
        by_layer.setdefault(layer, {})[short] = expected[key]
    found = {}
    for layer in spec.layers:
        base = layer.name.replace("_call2", "").replace("_call3", "")
        if layer.weights and base not in found:
            found[base] = layer
    weighted = {name for name, weights in by_layer.items() if real(weights)}
    assert set(found) == weighted
    for layer, weights in by_layer.items():
        if layer in found:
            compare(found[layer], weights)


def real(weights):
    return {k: v for k, v in weights.items() if k not in ("pruning_step", "seed_generator_state")}


def compare(layer, expected):
    """Every stored value is there, under the same short name where Keras' own are distinct."""
    masks = [value for name, value in expected.items() if name.startswith("mask")]
    assert [m.tolist() for m in layer.masks.values()] == [m.tolist() for m in masks]
    aside = ("mask", "threshold", "pruning_step", "seed_generator_state")
    own = {k: v for k, v in expected.items() if not k.startswith(aside)}
    if masks:
        own["kernel"] = own["kernel"] * masks[0]
    if layer.class_name.startswith("Depthwise") and "kernel" in own:
        own["depthwise_kernel"] = own.pop("kernel")
    if layer.class_name.startswith("MultiHeadAttention"):
        assert sorted(v.tobytes() for v in layer.weights.values()) == sorted(
            v.tobytes() for v in own.values()
        )
        return
    assert set(layer.weights) == set(own)
    for key, value in own.items():
        assert layer.weights[key].dtype == value.dtype
        assert np.array_equal(layer.weights[key], value), key


def evaluate(spec, inputs):
    """Compute a flat model of a few simple layers in numpy."""
    values = dict(zip(spec.inputs, inputs, strict=True))
    relu = {"relu": lambda v: np.maximum(v, 0), "linear": lambda v: v}
    for layer in spec.layers:
        if layer.name in values:
            continue
        x = [values[source] for source, _ in layer.inbound]
        w, c = layer.weights, layer.config
        match layer.class_name:
            case "Dense":
                y = relu[c["activation"]](x[0] @ w["kernel"] + w.get("bias", 0))
            case "BatchNormalization":
                norm = (x[0] - w["moving_mean"]) / np.sqrt(w["moving_variance"] + c["epsilon"])
                y = norm * w.get("gamma", 1) + w.get("beta", 0)
            case "Activation":
                y = relu[c["activation"]](x[0])
            case "Dropout":
                y = x[0]
            case "Add":
                y = sum(x)
            case "Multiply":
                y = x[0] * x[1]
            case "Concatenate":
                y = np.concatenate(x, axis=-1)
        values[layer.name] = y
    return [values[name] for name, _ in spec.outputs]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", COMMON[:6])
@pytest.mark.parametrize("flavour", ["tf_keras", "keras"])
def test_graph_computes_the_same(folders, flavour, name, suffix):
    spec = open_case(folders, flavour, name, suffix)
    if spec is None:
        return
    data = np.load(folders[flavour] / f"{name}.io.npz")
    inputs = [data[key] for key in data.files if key.startswith("in")]
    outputs = [data[key] for key in data.files if key.startswith("out")]
    found = evaluate(spec, inputs)
    assert len(found) == len(outputs)
    for have, want in zip(found, outputs, strict=True):
        # float32 sums in another order; a wrong weight or connection is off by 0.1 or more
        assert np.allclose(have, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("flavour", ["tf_keras", "keras"])
def test_same_model_from_every_format(folders, flavour):
    for name in COMMON:
        specs = [open_case(folders, flavour, name, suffix) for suffix in FORMATS]
        graphs = [[(x.name, x.class_name, x.inbound) for x in s.layers] for s in specs if s]
        assert all(graph == graphs[0] for graph in graphs)


def test_code_is_left_out(folders):
    for flavour in ("tf_keras", "keras"):
        for suffix in FORMATS:
            layer = open_case(folders, flavour, "code", suffix).layer("lam")
            assert layer.class_name == "Lambda"
            assert "function" not in layer.config
            assert len(repr(layer.config)) < 600


def test_call_arguments_are_kept(folders):
    for flavour in ("tf_keras", "keras"):
        for suffix in FORMATS:
            spec = open_case(folders, flavour, "keywords", suffix)
            assert spec.layer("norm").config["_call_arguments"] == {"training": True}
            assert spec.layer("norm").class_name == "BatchNormalization(training=True)"
            assert spec.layer("mha").class_name == "MultiHeadAttention"
            assert spec.layer("mha").config["_operands"].keys() >= {"value"}
            assert [name for name, _ in spec.layer("mha").inbound] == ["x", "y"]


def test_operators_are_no_layers(folders):
    for flavour, names in (
        ("tf_keras", {"TFOpLambda"}),
        ("keras", {"ops>Multiply", "ops>Add"}),
    ):
        spec = read_model(folders[flavour] / "operators.h5")
        found = [x for x in spec.layers if x.name not in ("x", "y", "dense")]
        assert {x.class_name for x in found} == names
        assert any(2 in x.config["_operands"].values() for x in found)


def test_pruning_is_noted(folders):
    spec = read_model(folders["tf_keras"] / "pruned.h5")
    assert spec.notes[0] == "stripped PruneLowMagnitude from 4 layers"
    assert {x.class_name for x in spec.layers} == {
        "InputLayer",
        "Dense",
        "BatchNormalization",
        "Add",
    }
    assert any("the pruning mask zeroed" in note for note in spec.notes)


def test_weights_alone_are_refused(folders):
    with pytest.raises(UsageError, match="weights but no architecture"):
        read_model(folders["tf_keras"] / "mlp_weights.h5")
