"""Model files written by hand: what is read, and in which form."""

import json

import h5py
import numpy as np
import pytest

from qapflow.errors import UsageError
from qapflow.frontend.archive import read_model
from qapflow.frontend.live import read_live


def functional(layers, inputs, outputs, name="net"):
    config = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Functional", "config": config}


def layer(class_name, name, inbound, **config):
    nodes = [[[source, node, tensor, {}] for source, node, tensor in call] for call in inbound]
    return {"class_name": class_name, "name": name, "config": {"name": name, **config},
            "inbound_nodes": nodes}  # fmt: skip


def given(name, size=2):
    return layer("InputLayer", name, [], batch_input_shape=[None, size])


def test_sequential_h5(files, tmp_path):
    spec = read_model(files.write_h5(tmp_path / "m.h5"))
    assert [x.name for x in spec.layers] == ["one_input", "one", "two"]
    assert spec.layer("one_input").config["batch_input_shape"] == [None, 2]
    assert spec.layer("two").inbound == (("one", 0),)
    assert (spec.inputs, spec.outputs) == (("one_input",), (("two", 0),))
    assert spec.layer("one").weights["kernel"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not spec.layer("one").weights["kernel"].flags.writeable
    assert (spec.keras_version, spec.file_format, spec.name) == ("2.11.0", "h5", "mlp")
    assert len(spec.digest) == 64


def test_sequential_of_keras_1_is_a_list(files, tmp_path):
    layers = [
        {"class_name": "Dense", "config": {"name": "dense_1", "output_dim": 3, "bias": True,
                                           "batch_input_shape": [None, 2], "init": "normal"}},
        {"class_name": "Dropout", "config": {"name": "drop", "p": 0.5}},
    ]  # fmt: skip
    weights = {"dense_1": {"dense_1_W": np.ones((2, 3)), "dense_1_b": np.zeros(3)}, "drop": {}}
    entry = {"class_name": "Sequential", "config": layers}
    spec = read_model(files.write_h5(tmp_path / "m.h5", entry, weights, "1.2.2"))
    config = spec.layer("dense_1").config
    assert (config["units"], config["use_bias"]) == (3, True)
    assert config["kernel_initializer"] == "normal"
    assert spec.layer("drop").config["rate"] == 0.5
    assert set(spec.layer("dense_1").weights) == {"kernel", "bias"}


def test_keras_1_convolution(files, tmp_path):
    config = {
        "name": "c", "nb_filter": 2, "nb_row": 3, "nb_col": 1, "border_mode": "same",
        "subsample": [1, 2], "dim_ordering": "tf", "batch_input_shape": [None, 4, 4, 1],
    }  # fmt: skip
    entry = {
        "class_name": "Sequential",
        "config": [{"class_name": "Convolution2D", "config": config}],
    }
    weights = {"c": {"c_W": np.ones((3, 1, 1, 2)), "c_b": np.zeros(2)}}
    found = read_model(files.write_h5(tmp_path / "m.h5", entry, weights, "1.0.1")).layer("c")
    assert found.class_name == "Conv2D"
    expected = {"filters": 2, "kernel_size": [3, 1], "padding": "same", "strides": [1, 2],
                "data_format": "channels_last"}  # fmt: skip
    assert expected.items() <= found.config.items()


def test_keras_1_gates_and_one_dimensional_kernels(files, tmp_path):
    lstm = {"class_name": "LSTM", "config": {"name": "l", "output_dim": 1,
                                             "inner_activation": "hard_sigmoid"}}  # fmt: skip
    conv = {"class_name": "Convolution1D", "config": {"name": "c", "nb_filter": 2,
            "filter_length": 3, "batch_input_shape": [None, 5, 1]}}  # fmt: skip
    gates = {f"l_{part}_{gate}": np.full(shape, value) for part, shape in
             (("W", (2, 1)), ("U", (1, 1)), ("b", (1,)))
             for value, gate in enumerate("icfo")}  # fmt: skip
    kernel = np.arange(6.0).reshape(3, 1, 1, 2)
    weights = {"c": {"c_W": kernel, "c_b": np.zeros(2)}, "l": gates}
    entry = {"class_name": "Sequential", "config": [conv, lstm]}
    spec = read_model(files.write_h5(tmp_path / "m.h5", entry, weights, "1.2.0"))
    assert np.array_equal(spec.layer("c").weights["kernel"], kernel[:, 0])
    assert spec.layer("c").config["kernel_size"] == [3]
    assert spec.layer("l").weights["bias"].tolist() == [0, 2, 1, 3]
    assert spec.layer("l").weights["kernel"].tolist() == [[0, 2, 1, 3]] * 2
    assert spec.layer("l").config["recurrent_activation"] == "hard_sigmoid"


def test_keras_1_merge(files, tmp_path):
    entry = functional(
        [
            given("x"),
            layer("Merge", "m", [[("x", 0, 0), ("x", 0, 0)]], mode="concat", concat_axis=1),
        ],
        [["x", 0, 0]],
        [["m", 0, 0]],
    )
    spec = read_model(files.write_h5(tmp_path / "m.h5", entry, {"x": {}}, "1.2.0"))
    assert (spec.layer("m").class_name, spec.layer("m").config["axis"]) == ("Concatenate", 1)
    assert spec.layer("m").inbound == (("x", 0), ("x", 0))


def test_json_finds_weights_beside_it(files, tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(files.mlp_entry()))
    with pytest.raises(UsageError, match=r"there is no m\.h5 or m_weights\.h5"):
        read_model(tmp_path / "m.json")
    files.write_h5(tmp_path / "m_weights.h5", {})
    spec = read_model(tmp_path / "m.json")
    assert spec.file_format == "json+h5"
    assert spec.layer("two").weights["bias"].tolist() == [0]
    other = files.write_h5(tmp_path / "other.h5", {})
    assert read_model(tmp_path / "m.json", other).digest == spec.digest


def test_weights_with_other_names_match_by_order(files, tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(files.mlp_entry()))
    one, two = files.mlp_weights().values()
    files.write_h5(tmp_path / "m.h5", {}, {"x": one, "flat": {}, "y": two})
    spec = read_model(tmp_path / "m.json")
    assert spec.layer("one").weights["bias"].tolist() == [1, 1, 1]
    assert spec.notes == ("2 layers of the weight file have other names: matched by order",)
    files.write_h5(tmp_path / "m.h5", {}, {"x": one})
    with pytest.raises(UsageError, match="do not belong to this architecture"):
        read_model(tmp_path / "m.json")


def test_long_lists_are_stored_in_pieces(files, tmp_path):
    path = files.write_h5(tmp_path / "m.h5")
    with h5py.File(path, "a") as file:
        root = file["model_weights"]
        names = root.attrs["layer_names"]
        del root.attrs["layer_names"]
        root.attrs["layer_names0"], root.attrs["layer_names1"] = names[:1], names[1:]
    assert len(read_model(path).layers) == 3


@pytest.mark.parametrize("container", ["layers", "_layer_checkpoint_dependencies"])
def test_keras_zip_of_keras_2(files, tmp_path, container):
    one, two = (list(w.values()) for w in files.mlp_weights().values())
    # Keras 2.13 counted layers with weights twice
    variables = {f"{container}/dense_2": two, f"{container}/dense": one}
    spec = read_model(files.write_keras(tmp_path / "m.keras", None, variables))
    assert (spec.file_format, spec.keras_version) == ("keras", "2.14.0")
    assert spec.layer("one").weights["kernel"].shape == (2, 3)
    assert spec.layer("two").weights["kernel"].shape == (3, 1)


def test_keras_3_forms(files, tmp_path):
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
    tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}
    entry = functional(
        [
            {"class_name": "InputLayer", "name": "x", "inbound_nodes": [],
             "config": {"batch_shape": [None, 2], "name": "x"}},
            {"class_name": "Dense", "module": "keras.layers", "name": "d",
             "config": {"name": "d", "units": 3, "dtype": policy,
                        "shape": {"class_name": "__tuple__", "items": [1, 2]}},
             "inbound_nodes": [{"args": [tensor], "kwargs": {"mask": None}}]},
        ],
        ["x", 0, 0],
        ["d", 0, 0],
    )  # fmt: skip
    variables = {"layers/dense": list(files.mlp_weights()["one"].values())}
    spec = read_model(files.write_keras(tmp_path / "m.keras", entry, variables, "3.5.0"))
    assert spec.layer("d").config["dtype"] == "float32"
    assert spec.layer("d").config["shape"] == [1, 2]
    assert spec.layer("x").config["batch_input_shape"] == [None, 2]


def test_packages(files, tmp_path):
    foreign = files.dense("one", 3, batch_input_shape=[None, 2])
    own = files.dense("two", 1) | {"class_name": "HGQ>Special"}
    foreign |= {"module": "mylib.layers", "registered_name": "mylib>Dense"}
    entry = {"class_name": "Sequential", "config": {"name": "m", "layers": [foreign, own]}}
    spec = read_model(files.write_h5(tmp_path / "m.h5", entry))
    assert spec.layer("one").class_name == "mylib>Dense"
    assert spec.layer("two").class_name == "Special"
    assert spec.layer("two").config["_package"] == "HGQ"


def test_unneeded_layers_are_dropped_and_shared_ones_repeated(files, tmp_path):
    dense = {"units": 2, "use_bias": False}
    entry = functional(
        [
            given("x"),
            layer("Dense", "shared", [[("x", 0, 0)], [("shared", 0, 0)]], **dense),
            layer("Activation", "unused", [[("x", 0, 0)]], activation="relu"),
            layer("Add", "sum", [[("shared", 1, 0), ("shared", 0, 0)]]),
        ],
        [["x", 0, 0]],
        [["sum", 0, 0]],
    )
    weights = {"shared": {"shared/kernel:0": np.eye(2)}}
    spec = read_model(files.write_h5(tmp_path / "m.h5", entry, weights))
    assert [x.name for x in spec.layers] == ["x", "shared", "shared_call2", "sum"]
    assert spec.layer("sum").inbound == (("shared_call2", 0), ("shared", 0))
    assert spec.layer("shared").weights is spec.layer("shared_call2").weights
    assert spec.notes == ("dropped layers that no output needs: unused",)


def test_pruning_wrapper_is_stripped(files, tmp_path):
    wrapped = {
        "class_name": "PruneLowMagnitude",
        "config": {"name": "prune_low_magnitude_one", "batch_input_shape": [None, 2],
                   "layer": files.dense("one", 3, batch_input_shape=[None, 2])},
    }  # fmt: skip
    entry = {"class_name": "Sequential", "config": {"name": "m", "layers": [wrapped]}}
    kernel, mask = np.ones((2, 3), "float32"), np.array([[1, 0, 1], [0, 1, 1]], "float32")
    outer = "prune_low_magnitude_one"
    weights = {outer: {"one/kernel:0": kernel, "one/bias:0": np.zeros(3), f"{outer}/mask:0": mask,
                       f"{outer}/threshold:0": np.float32(0.1),
                       f"{outer}/pruning_step:0": np.int64(7)}}  # fmt: skip
    spec = read_model(files.write_h5(tmp_path / "m.h5", entry, weights))
    found = spec.layer("one")
    assert (found.class_name, found.inbound) == ("Dense", (("one_input", 0),))
    assert set(found.weights) == {"kernel", "bias"}
    assert np.array_equal(found.weights["kernel"], mask)
    assert np.array_equal(found.masks["kernel"], mask)
    assert spec.notes[0] == "stripped PruneLowMagnitude from 1 layers"
    assert "layer 'one': the pruning mask zeroed 2 weights" in spec.notes[1]


def test_lambda_code_is_never_kept(files, tmp_path):
    config = {"name": "l", "function": ["4wEAAAAA", None, None], "function_type": "lambda"}
    entry = files.mlp_entry()
    entry["config"]["layers"].append({"class_name": "Lambda", "config": config})
    found = read_model(files.write_h5(tmp_path / "m.h5", entry)).layer("l")
    assert found.config == {"name": "l", "function_type": "lambda"}


def test_live_model_is_read_like_a_file(files):
    class Variable:
        def __init__(self, name, value):
            self.name, self.value = name, value

        def __array__(self, dtype=None, copy=None):
            return self.value

    class Fake:
        def __init__(self, name, weights):
            self.name = name
            self.trainable_weights = [Variable(key, value) for key, value in weights.items()]
            self.non_trainable_weights = []

    class Model:
        layers = tuple(Fake(name, weights) for name, weights in files.mlp_weights().items())

        def to_json(self):
            return json.dumps(files.mlp_entry() | {"keras_version": "2.15.0"})

    spec = read_live(Model())
    assert (spec.file_format, spec.keras_version) == ("memory", "2.15.0")
    assert spec.layer("one").weights["kernel"].shape == (2, 3)
    assert spec.digest == read_live(Model()).digest
    with pytest.raises(UsageError, match="this is no built Keras model"):
        read_live(object())
