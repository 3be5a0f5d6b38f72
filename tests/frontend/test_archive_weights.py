"""Weights that cannot be given to their layers."""

import h5py
import numpy as np
import pytest

import qapflow.frontend.flatten as flatten_module
from qapflow.errors import UsageError
from qapflow.frontend import hdf5
from qapflow.frontend.archive import read_model
from qapflow.frontend.keras1 import convert_keras1
from qapflow.frontend.live import read_live
from qapflow.frontend.stored import short_names


def sequential(*layers, name="m"):
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def both_ways(files):
    inner = {"class_name": "LSTM", "config": {"name": "l", "units": 1}}
    config = {"name": "both", "layer": inner, "batch_input_shape": [None, 3, 2]}
    return sequential({"class_name": "Bidirectional", "config": config})


def test_bidirectional_halves(tmp_path, files):
    names = ["kernel:0", "recurrent_kernel:0", "bias:0"]
    shapes = [(2, 4), (1, 4), (4,)]
    weights = {
        f"both/{side}_l/{name}": np.full(shape, value)
        for value, side in enumerate(("forward", "backward"))
        for name, shape in zip(names, shapes, strict=True)
    }
    path = files.write_h5(tmp_path / "m.h5", both_ways(files), {"both": weights})
    found = read_model(path).layer("both")
    assert found.weights["backward/bias"].tolist() == [1] * 4
    assert found.weights["forward/kernel"].shape == (2, 4)
    assert found.config["layer"]["class_name"] == "LSTM"
    weights.popitem()
    files.write_h5(path, both_ways(files), {"both": weights})
    with pytest.raises(UsageError, match="two directions need an even number"):
        read_model(path)


def nested(files, special=False):
    inner = [files.dense("a", 2, batch_input_shape=[None, 2]), files.dense("b", 2)]
    if special:
        inner[1]["class_name"] = "Special"
    return sequential(sequential(*inner, name="inner"))


def test_nested_weights_by_order_and_by_name(tmp_path, files):
    arrays = {f"{name}:0": np.eye(2) * k for k, name in enumerate(("a/kernel", "b/kernel"))}
    bias = {f"{name}/bias:0": np.full(2, k) for k, name in enumerate("ab")}
    ordered = dict(sorted({**arrays, **bias}.items(), key=lambda item: (item[0][0], -len(item[0]))))
    path = files.write_h5(tmp_path / "m.h5", nested(files), {"inner": ordered})
    for special in (False, True):
        files.write_h5(path, nested(files, special), {"inner": ordered})
        spec = read_model(path)
        assert [x.name for x in spec.layers][-2:] == ["inner/a", "inner/b"]
        assert spec.layer("inner/b").weights["bias"].tolist() == [1, 1]
    odd = {"inner": {"kernel:0": np.eye(2), "x/kernel:0": np.eye(2)}}
    files.write_h5(path, nested(files), odd)
    with pytest.raises(UsageError, match="its 2 weights cannot be told apart by order or by name"):
        read_model(path)


def test_pruning_wrapper_without_its_variables(tmp_path, files):
    inner = files.dense("one", 3, batch_input_shape=[None, 2])
    wrapper = {"class_name": "PruneLowMagnitude", "config": {"name": "p", "layer": inner}}
    one = list(files.mlp_weights()["one"].values())
    variables = {"layers/prune_low_magnitude/layer": one}
    path = files.write_keras(tmp_path / "m.keras", sequential(wrapper), variables)
    with pytest.raises(UsageError, match="the weights mask, pruning_step of this Dense are not"):
        read_model(path)
    mask, limit, step = np.zeros((2, 3), "f4"), np.float32(0), np.int64(3)
    variables["layers/prune_low_magnitude"] = [one[0], mask, limit, step]
    found = read_model(files.write_keras(path, sequential(wrapper), variables)).layer("one")
    assert not found.weights["kernel"].any()


def test_numbers_with_gaps(tmp_path, files):
    path = tmp_path / "m.keras"
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layers/dense/vars/1"] = [1.0]
    data = (tmp_path / "w.h5").read_bytes()
    files.write_keras(path, None, None, **{"model.weights.h5": data})
    with pytest.raises(UsageError, match="the weights kernel, bias of this Dense"):
        read_model(path)
    entry = sequential(files.dense("one", 3, batch_input_shape=[None, 2]))
    files.write_keras(path, entry, None, **{"model.weights.h5": data})
    with pytest.raises(UsageError, match="variables are not numbered from 0"):
        read_model(path)


def test_limits_of_members_and_calls(tmp_path, files, monkeypatch):
    path = files.write_keras(tmp_path / "m.keras")
    monkeypatch.setattr(hdf5, "MAX_MEMBERS", 1)
    with pytest.raises(UsageError, match="has too many members"):
        read_model(path)
    monkeypatch.undo()
    monkeypatch.setattr(flatten_module, "MAX_LAYERS", 1)
    with pytest.raises(UsageError, match="the model makes more than 2 layer calls"):
        read_model(path)


def test_attributes_that_are_no_text(tmp_path, files):
    path = files.write_h5(tmp_path / "m.h5")
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = 3
    with pytest.raises(UsageError, match="the attribute model_config is no text"):
        read_model(path)
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = np.bytes_(b"\xff\xfe")
    with pytest.raises(UsageError, match="is damaged: 'utf-8' codec"):
        read_model(path)


def test_brain_floats(tmp_path, files):
    values = np.array([1.5, -2.0, 0.25], "f4")
    one, two = (list(w.values()) for w in files.mlp_weights().values())
    path = tmp_path / "m.keras"
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for name, (kernel, bias) in {"dense": (one[0], values), "dense_1": two}.items():
            group = file.create_group(f"layers/{name}/vars")
            group["0"], group["1"] = kernel, bias
        group = file["layers/dense/vars"]
        del group["1"]
        group["1"] = (values.view("u4") >> 16).astype("u2")
        group["1"].attrs["dtype"] = "bfloat16"
    data = (tmp_path / "w.h5").read_bytes()
    files.write_keras(path, None, None, **{"model.weights.h5": data})
    assert read_model(path).layer("one").weights["bias"].tolist() == values.tolist()


def test_live_model_that_gives_no_text():
    class Model:
        layers = ()

        def to_json(self):
            return 3

    with pytest.raises(UsageError, match=r"to_json\(\) gave no text"):
        read_live(Model())


def test_short_names_stay_different():
    assert short_names([["a", "kernel"], ["a", "bias"]]) == ["kernel", "bias"]
    assert short_names([["q", "kernel"], ["k", "kernel"]]) == ["q/kernel", "k/kernel"]
    assert short_names([["x"], ["x"]]) == ["x/0", "x/1"]


def test_kernels_of_keras_2_are_left_alone():
    named = [("c/kernel", np.ones((3, 1, 2)))]
    assert convert_keras1("Conv1D", named) == named


@pytest.mark.parametrize("shape", [None, 3, [], [None, "x"], [None, -1], [None, True]])
def test_shapes_that_are_none(tmp_path, files, shape):
    layer = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": shape}}
    path = files.write_h5(tmp_path / "m.h5", sequential(layer, files.dense("a", 1)))
    with pytest.raises(UsageError, match="is no shape of an input"):
        read_model(path)
