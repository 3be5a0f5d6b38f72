"""Bad, damaged and hostile model files: always a message, never a traceback, never a wait."""

import json
import os
import random
import signal
import time
import zipfile
from functools import partial

import h5py
import numpy as np
import pytest

from qapflow.errors import QapflowError, UsageError
from qapflow.frontend import fields, hdf5, isolate
from qapflow.frontend.archive import read_model


def refused(path, text, weights=None):
    """Read a file that must be refused; the message has what, at and try."""
    with pytest.raises(UsageError, match=text) as caught:
        read_model(path, weights)
    assert caught.value.at
    assert caught.value.hint
    return caught.value


def save(tmp_path, entry):
    path = tmp_path / "m.json"
    path.write_text(entry if isinstance(entry, str) else json.dumps(entry))
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    return path


def sequential(*layers):
    return {"class_name": "Sequential", "config": {"name": "m", "layers": list(layers)}}


def test_files_that_are_none(tmp_path, files):
    refused(tmp_path / "none.h5", "there is no such file")
    refused(tmp_path, "this is a directory")
    (tmp_path / "empty.h5").write_bytes(b"")
    refused(tmp_path / "empty.h5", "the file is empty")
    (tmp_path / "noise.h5").write_bytes(b"noise" * 100)
    refused(tmp_path / "noise.h5", "no HDF5, .keras or JSON file")
    refused(tmp_path / "nul\0.h5", "cannot be read")
    whole = files.write_h5(tmp_path / "m.h5")
    refused(whole, "weights are given for a model that is no .json", whole)


@pytest.mark.parametrize("part", [0.05, 0.5, 0.99])
def test_truncated_files(tmp_path, files, part):
    for path in (files.write_h5(tmp_path / "m.h5"), files.write_keras(tmp_path / "m.keras")):
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * part)])
        refused(path, "damaged|no HDF5, .keras or JSON")


def test_h5_without_a_model(tmp_path, files):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [1]
    refused(tmp_path / "a.h5", "holds no Keras model")
    refused(files.write_h5(tmp_path / "w.h5", {}), "weights but no architecture")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(files.mlp_entry())
    refused(tmp_path / "b.h5", "an architecture but no weights")


def test_json_is_no_model(tmp_path, files):
    refused(save(tmp_path, "{nonsense"), "not JSON")
    refused(save(tmp_path, '{"a":' * 50_000), "nested too deeply")
    refused(save(tmp_path, {"class_name": "MyModel", "config": {}}), "no Sequential or Functional")
    refused(save(tmp_path, sequential()), "has no layers")
    refused(
        save(tmp_path, {"class_name": "Functional", "config": {"layers": 3}}), "should be a list"
    )
    refused(save(tmp_path, {"class_name": "Model", "config": 3}), "should be an object")
    twins = sequential(files.dense("a", 1, batch_input_shape=[None, 1]), files.dense("a", 1))
    refused(save(tmp_path, twins), "two layers are called 'a'")
    refused(save(tmp_path, sequential(files.dense("a", 1))), "the shape of the input")
    nameless = sequential({"class_name": "Dense", "config": {}})
    refused(save(tmp_path, nameless), "the name of a Dense layer should be text")
    merge = {"class_name": "Merge", "config": {"name": "m", "layers": []}}
    refused(save(tmp_path, sequential(merge)), "a Keras 1 Merge layer")
    model = sequential(files.dense("a", 1, batch_input_shape=[None, 1]))
    for _ in range(fields.MAX_DEPTH + 1):
        model = sequential(model)
    refused(save(tmp_path, model), "nested more than")


def test_a_million_layers(tmp_path):
    text = ",".join(['{"class_name":"D","config":{"name":"x"}}'] * 1_000_000)
    path = save(tmp_path, '{"class_name":"Sequential","config":{"layers":[' + text + "]}}")
    start = time.monotonic()
    refused(path, "holds 1000001 objects .* too many for a model of at most 10000 layers")
    assert time.monotonic() - start < 5
    many = [{"class_name": "Flatten", "config": {"name": str(k)}} for k in range(10_001)]
    refused(save(tmp_path, sequential(*many)), "has 10001 layers, more than 10000")


def test_large_json(tmp_path, files, monkeypatch):
    path = save(tmp_path, sequential())
    monkeypatch.setattr("qapflow.frontend.archive.MAX_JSON_BYTES", 10)
    refused(path, "the architecture is larger than 10 bytes")
    monkeypatch.setattr(fields, "MAX_JSON_BYTES", 10)
    refused(files.write_h5(tmp_path / "a.h5"), r"bytes long, more than 10")
    monkeypatch.setattr(hdf5, "MAX_JSON_BYTES", 10)
    refused(files.write_h5(tmp_path / "a.h5"), r"the attribute \w+ is larger than 10")


def graph(layers, outputs, inputs=None):
    config = {"layers": layers, "input_layers": inputs or [["x", 0, 0]], "output_layers": outputs}
    return {"class_name": "Functional", "config": config}


def node(name, *sources):
    nodes = [[[source, k, 0, {}] for source, k in sources]] if sources else []
    config = {"name": name, "batch_input_shape": [None, 2]}
    kind = "Add" if sources else "InputLayer"
    return {"class_name": kind, "name": name, "config": config, "inbound_nodes": nodes}


@pytest.mark.parametrize(
    ("layers", "outputs", "text"),
    [
        ([node("x"), node("a", ("b", 0)), node("b", ("a", 0))], ["b", 0, 0], "in a circle: a, b"),
        ([node("x"), node("a", ("q", 0))], ["a", 0, 0], "layer 'q', which is not there"),
        ([node("x"), node("a", ("x", 3))], ["a", 0, 0], "call 3 of layer 'x'"),
        ([node("a", ("b", 0)), node("b")], ["a", 0, 0], "the input 'x' is no layer"),
        ([node("x")], [], "names no inputs or no outputs"),
        ([node("x"), node("a") | {"class_name": "Add"}], ["a", 0, 0], "not connected to any input"),
        (
            [node("x"), node("a") | {"inbound_nodes": [[["x"]]]}],
            ["a", 0, 0],
            r"is not \[layer, node",
        ),
        (
            [node("x"), node("a") | {"inbound_nodes": 3}],
            ["a", 0, 0],
            "inbound_nodes should be a list",
        ),
    ],
)
def test_broken_graphs(tmp_path, files, layers, outputs, text):
    path = save(tmp_path, graph(layers, outputs))
    files.write_h5(tmp_path / "m.h5", {}, {layer["name"]: {} for layer in layers})
    refused(path, text)


def test_nested_models_called_wrongly(tmp_path, files):
    inner = graph([node("x")], ["x", 0, 0]) | {"name": "in", "inbound_nodes": []}
    inner["inbound_nodes"] = [[["x", 0, 0, {}], ["x", 0, 0, {}]]]
    path = save(tmp_path, graph([node("x"), inner], ["in", 1, 0]))
    files.write_h5(tmp_path / "m.h5", {}, {"x": {}})
    refused(path, "a model with 1 inputs is called with 2")
    inner["inbound_nodes"] = [[["x", 0, 0, {}]]]
    save(tmp_path, graph([node("x"), inner], ["in", 1, 4]))
    files.write_h5(tmp_path / "m.h5", {}, {"x": {}})
    refused(path, "a nested model has no such output")


def test_models_that_call_each_other_for_ever(tmp_path, files):
    model = graph([node("x")], ["x", 0, 0])
    for _ in range(fields.MAX_DEPTH - 1):
        twice = [[["x", 0, 0, {}]], [["in", 1, 0, {}]]]
        inner = model | {"name": "in", "inbound_nodes": twice}
        model = graph([node("x"), inner], ["in", 2, 0])
    path = save(tmp_path, model)
    files.write_h5(tmp_path / "m.h5", {}, {"x": {}})
    start = time.monotonic()
    refused(path, "the model makes more than 20000 layer calls")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(tmp_path, files, value):
    weights = files.mlp_weights()
    weights["one"]["one/kernel:0"][1, :2] = value
    error = refused(
        files.write_h5(tmp_path / "m.h5", None, weights), "2 of 6 values are NaN or inf"
    )
    assert error.at == "layer 'one', weight kernel"


def test_weights_that_do_not_fit(tmp_path, files):
    weights = files.mlp_weights()
    weights["two"]["two/kernel:0"] = np.ones((3, 4))
    error = refused(files.write_h5(tmp_path / "m.h5", None, weights), r"kernel has shape \(3, 4\)")
    assert error.at == "layer 'two'"
    del weights["two"]["two/kernel:0"]
    refused(files.write_h5(tmp_path / "m.h5", None, weights), "the weights kernel of this Dense")
    weights["two"] = {}
    refused(files.write_h5(tmp_path / "m.h5", None, weights), "the weights kernel, bias of this")
    del weights["two"]
    refused(files.write_h5(tmp_path / "m.h5", None, weights), "the weights kernel, bias of this")


def test_listed_weights_that_are_not_there(tmp_path, files):
    path = files.write_h5(tmp_path / "m.h5")
    with h5py.File(path, "a") as file:
        del file["model_weights/two/two/bias:0"]
    refused(path, "the weight 'two/bias:0' is not there")
    with h5py.File(path, "a") as file:
        del file["model_weights/two"]
    refused(path, "the weights of a layer are not there")
    with h5py.File(path, "a") as file:
        file["model_weights"].attrs["layer_names"] = 3
    refused(path, "the attribute layer_names is no")


def test_keras_zip_without_weights_of_a_layer(tmp_path, files):
    one = list(files.mlp_weights()["one"].values())
    path = files.write_keras(tmp_path / "m.keras", None, {"layers/dense": one})
    error = refused(path, "the weights kernel, bias of this Dense are not in the file")
    assert error.at == "layer 'one'"
    both = {"layers/dense": [*one, one[0]], "layers/dense_1": one}
    refused(files.write_keras(path, None, both), "holds 3 weights of this Dense, which has 2")
    part = files.tree_bytes({"layers/dense": one})[:900]
    refused(files.write_keras(path, None, None, **{"model.weights.h5": part}), "damaged")


def replace(path, name, **kind):
    with h5py.File(path, "a") as file:
        del file[f"model_weights/{name}"]
        if "link" in kind:
            file[f"model_weights/{name}"] = kind["link"]
        else:
            file.create_dataset(f"model_weights/{name}", **kind)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ({"link": h5py.ExternalLink("/etc/passwd", "/x")}, "never followed"),
        ({"link": h5py.SoftLink("/model_weights/one/one/kernel:0")}, "never followed"),
        ({"shape": (2, 3), "dtype": h5py.string_dtype()}, "holds object, no numbers"),
        ({"shape": (1 << 20, 1 << 18), "dtype": "f8"}, "claims 2199023255552 bytes"),
        (
            {"shape": (1 << 20, 1 << 18), "dtype": "f8", "chunks": (64, 64), "compression": 9},
            "claims",
        ),
        ({"shape": (2, 3), "dtype": "f4", "external": "/etc/hostname"}, "lies in another file"),
        ({"data": h5py.Empty("f4")}, "the data set is empty"),
    ],
)
def test_hostile_data_sets(tmp_path, files, kind, text):
    path = files.write_h5(tmp_path / "m.h5")
    replace(path, "one/one/kernel:0", **kind)
    refused(path, text)


def test_weights_over_the_limit(tmp_path, files, monkeypatch):
    monkeypatch.setattr(hdf5, "MAX_WEIGHT_BYTES", 20)
    refused(files.write_h5(tmp_path / "m.h5"), "the weights need more than 20 bytes")


def test_pruning_mask_that_fits_nothing(tmp_path, files):
    config = {"name": "p", "layer": files.dense("one", 3, batch_input_shape=[None, 2])}
    entry = sequential({"class_name": "PruneLowMagnitude", "config": config})
    weights = {"p": files.mlp_weights()["one"] | {"p/mask:0": np.ones((5, 5))}}
    refused(files.write_h5(tmp_path / "m.h5", entry, weights), r"a pruning mask of shape \(5, 5\)")


def test_zip_bombs(tmp_path, files):
    path = tmp_path / "m.keras"
    refused(
        files.write_keras(path, **{"config.json": " " * (65 << 20)}), "this looks like a zip bomb"
    )
    refused(files.write_keras(path, **{"config.json": None}), "there is no config.json in it")
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(10_001):
            archive.writestr(str(k), "")
    refused(path, "the zip holds more than 10000 files")


def test_reader_that_hangs_or_crashes(monkeypatch):
    monkeypatch.setattr(isolate, "BASE_SECONDS", 1)
    parent = os.getpid()

    def hang():
        while os.getpid() != parent:
            pass

    crash = partial(signal.raise_signal, signal.SIGSEGV)
    for read, name in ((hang, "SIGXCPU"), (crash, "SIGSEGV")):
        with pytest.raises(UsageError, match=f"HDF5 file is damaged: reading it ended in {name}"):
            isolate.read_isolated(read, 0, "m.h5")
    assert isolate.read_isolated(lambda: 7, 0, "m.h5") == 7


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_a_copy_that_crashes_by_itself_is_no_verdict_on_the_file(
    tmp_path, files, suffix, monkeypatch
):
    path = tmp_path / f"m.{suffix}"
    (files.write_keras if suffix == "keras" else files.write_h5)(path)
    monkeypatch.setattr(isolate, "_forked", lambda read, seconds: -signal.SIGSEGV)
    assert read_model(path).layers


def mutate(data, chance):
    """Return `data` with some bytes changed, removed or added."""
    result = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        at = chance.randrange(len(result))
        match chance.randrange(4):
            case 0 | 1:
                result[at] = chance.randrange(256)
            case 2:
                del result[at : at + chance.randrange(1, 9)]
            case 3:
                result[at:at] = chance.randbytes(chance.randrange(1, 9))
        result = result or bytearray(b"{")
    return bytes(result)


@pytest.mark.parametrize("suffix", ["h5", "keras", "json"])
def test_mutated_files(tmp_path, files, suffix, monkeypatch):
    monkeypatch.setattr(isolate, "BASE_SECONDS", 1)
    chance = random.Random(11)
    path = tmp_path / f"m.{suffix}"
    files.write_h5(tmp_path / "m.h5", {} if suffix == "json" else None)
    if suffix == "keras":
        files.write_keras(path)
    if suffix == "json":
        path.write_text(json.dumps(files.mlp_entry()))
    data, read = path.read_bytes(), 0
    messages: list[str] = []
    for _ in range(60):
        path.write_bytes(mutate(data, chance))
        try:
            read_model(path)
            read += 1
        except QapflowError as error:
            messages.append(str(error))
    assert read + len(messages) == 60
    assert messages
    assert all("\n  at: " in message for message in messages)


def test_theano_kernels(tmp_path, files):
    config = {"name": "c", "filters": 1, "kernel_size": [1], "batch_input_shape": [None, 2, 1]}
    entry = sequential({"class_name": "Conv1D", "config": config})
    weights = {"c": {"c/kernel": np.ones((1, 1, 1)), "c/bias": np.ones(1)}}
    path = files.write_h5(tmp_path / "m.h5", entry, weights)
    assert read_model(path)
    with h5py.File(path, "a") as file:
        file["model_weights"].attrs["backend"] = b"theano"
    refused(path, "stored in the order of Theano")
