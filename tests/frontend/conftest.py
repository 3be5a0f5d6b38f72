"""Model files built by hand with h5py and zipfile, and models compared with Keras."""

import io
import json
import os
import sys
import zipfile
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from qapflow.frontend.live import read_live
from qapflow.frontend.load import load
from qapflow.frontend.model import LoadOptions
from qapflow.ir.check import check
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.verify.vectors import input_range

GRID = Fixed(True, 8, 4)
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def dense(name, units, **config):
    """Return the configuration of a Dense layer."""
    return {
        "class_name": "Dense",
        "config": {
            "name": name,
            "units": units,
            "activation": "linear",
            "use_bias": True,
            **config,
        },
    }


def mlp_entry():
    layers = [dense("one", 3, batch_input_shape=[None, 2]), dense("two", 1)]
    return {"class_name": "Sequential", "config": {"name": "mlp", "layers": layers}}


def mlp_weights():
    kernel = np.arange(6, dtype="float32").reshape(2, 3)
    return {
        "one": {"one/kernel:0": kernel, "one/bias:0": np.ones(3, "float32")},
        "two": {"two/kernel:0": kernel[0].reshape(3, 1), "two/bias:0": np.zeros(1, "float32")},
    }


def fill_group(root, weights):
    root.attrs["layer_names"] = np.array([name.encode() for name in weights])
    for layer, arrays in weights.items():
        group = root.create_group(layer)
        group.attrs["weight_names"] = np.array([name.encode() for name in arrays])
        for name, array in arrays.items():
            group[name] = array


def write_h5(path, entry=None, weights=None, version="2.11.0"):
    """Write a whole model as Keras 2 does."""
    entry = mlp_entry() if entry is None else entry
    with h5py.File(path, "w") as file:
        if entry:
            file.attrs["model_config"] = json.dumps(entry)
            file.attrs["keras_version"] = version
        fill_group(file.create_group("model_weights") if entry else file, weights or mlp_weights())
    return path


def tree_bytes(variables):
    """Return model.weights.h5 with `variables` by group path."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for path, arrays in variables.items():
            group = file.create_group(f"{path}/vars")
            for k, array in enumerate(arrays):
                group[str(k)] = array
    return stream.getvalue()


def write_keras(path, entry=None, variables=None, version="2.14.0", **members):
    """Write a .keras file; `members` replace or add files of the zip."""
    weights = mlp_weights()
    if variables is None:
        variables = {
            "layers/dense": list(weights["one"].values()),
            "layers/dense_1": list(weights["two"].values()),
        }
    files = {
        "config.json": json.dumps(entry or mlp_entry()),
        "metadata.json": json.dumps({"keras_version": version}),
        "model.weights.h5": tree_bytes(variables),
        **members,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(name, content)
    return path


@pytest.fixture(scope="session")
def files():
    """Builders of small model files."""
    return SimpleNamespace(
        dense=dense, mlp_entry=mlp_entry, mlp_weights=mlp_weights, write_h5=write_h5,
        write_keras=write_keras, fill_group=fill_group, tree_bytes=tree_bytes,
    )  # fmt: skip


def randomise(model, rng, grid):
    """Weights of every sign and size on a grid, moving variances positive."""
    for layer in model.layers:
        new = []
        for weight in layer.weights:
            name = weight.name.rsplit("/", 1)[-1]
            positive = "variance" in name or "gamma" in name
            low = 0.5 if positive else -1.5
            new.append(np.round(rng.uniform(low, 1.5, weight.shape) / grid) * grid)
        layer.set_weights(new)


@pytest.fixture(scope="session")
def keras():
    """tf-keras, with QKeras importable beside it."""
    pytest.importorskip("tf_keras")
    import tf_keras

    sys.modules.setdefault("keras", tf_keras)
    return tf_keras


@pytest.fixture
def compare(keras):
    """Read a Keras model and run it both ways; return (loaded, ours, Keras's outputs)."""

    def run(inputs, outputs, grid=GRID, samples=32, weights_grid=0.125, **kwargs):
        rng = np.random.default_rng(0)
        model = keras.Model(inputs, outputs)
        randomise(model, rng, weights_grid)
        loaded = load(read_live(model), LoadOptions(input_types={"": grid}, **kwargs))
        assert check(loaded.net) == []
        codes = {}
        for node in loaded.net.inputs:
            low, high = input_range(loaded.net, node)
            codes[node.name] = rng.integers(low, high + 1, (samples, *node.out.shape))
            codes[node.name][0], codes[node.name][1] = low, high
        made = interpret(loaded.net, codes)
        ours = [loaded.net.edge(name).type.decode(made[name]) for name in loaded.net.outputs]
        values = [n.out.type.decode(codes[n.name]).astype(np.float32) for n in loaded.net.inputs]
        theirs = model.predict(values if len(values) > 1 else values[0], verbose=0)
        theirs = theirs if isinstance(theirs, list) else [theirs]
        assert [a.shape for a in ours] == [b.shape for b in theirs]
        return loaded, ours, [array.astype(np.float64) for array in theirs]

    return run


@pytest.fixture
def equal(compare):
    """Compare with Keras exactly; return the loaded network."""

    def run(inputs, outputs, exact=True, **kwargs):
        loaded, ours, theirs = compare(inputs, outputs, **kwargs)
        for left, right in zip(ours, theirs, strict=True):
            assert np.array_equal(left, right), np.abs(left - right).max()
        assert loaded.exact is exact, [(r.name, r.reason) for r in loaded.records if r.reason]
        return loaded

    return run
