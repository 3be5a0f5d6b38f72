"""Operations between layers, as real Keras 2 and Keras 3 save them, against what they compute."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qapflow.errors import ModelUnsupported
from qapflow.frontend.load import load
from qapflow.frontend.model import LayerSpec, LoadOptions, ModelSpec
from qapflow.ir.check import check
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret

SCRIPT = Path(__file__).parent / "keras_operations.py"
GRID = Fixed(True, 8, 4)


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


def differences(folder, name, suffix):
    """Return what was loaded and the largest difference of each output."""
    loaded = load(folder / f"{name}.{suffix}", LoadOptions(input_types={"": GRID}))
    assert check(loaded.net) == []
    stored = np.load(folder / f"{name}.npz")
    codes = {key: GRID.encode(stored[key].astype(np.float64))[0] for key in ("x", "y")}
    made = interpret(loaded.net, codes)
    found = []
    for number, edge in enumerate(loaded.net.outputs):
        left = loaded.net.edge(edge).type.decode(made[edge])
        right = stored[f"{number:03d}"].astype(np.float64)
        assert left.shape == right.shape, (number, edge)
        found.append(float(np.abs(left - right).max()))
    assert len(found) == len(stored.files) - 2
    return loaded, found


@pytest.mark.needs_keras
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("name", ["arithmetic", "slices", "functions"])
@pytest.mark.parametrize("flavour", ["tf_keras", "keras"])
def test_operations_are_exact(folders, flavour, name, suffix):
    loaded, found = differences(folders[flavour], name, suffix)
    assert found == [0.0] * len(found)
    assert loaded.exact, [(r.name, r.reason) for r in loaded.records if r.reason]


@pytest.mark.needs_keras
@pytest.mark.parametrize("flavour", ["tf_keras", "keras"])
def test_smooth_operations_are_chosen_and_close(folders, flavour):
    loaded, found = differences(folders[flavour], "smooth", "keras")
    assert max(found) < 1e-3
    assert not any(record.regime == "exact" for record in loaded.records[2:])


@pytest.mark.needs_keras
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("flavour", ["tf_keras", "keras"])
def test_attention_is_chosen_and_close(folders, flavour, suffix):
    loaded, found = differences(folders[flavour], "attention", suffix)
    # probabilities off by 1e-3 weigh values below 8
    assert max(found) < 8e-3
    assert all("probabilities off by less than" in r.reason for r in loaded.records[2:])


X, Y = ["x", 0, 0], ["y", 0, 0]
REFUSED = [
    ("math.truediv", X, {"y": Y}, "divides by a tensor"),
    ("math.truediv", X, {"y": 0.0}, "divides by zero"),
    ("math.reduce_sum", X, {}, "no axis is given"),
    ("math.reduce_sum", X, {"axis": 0}, "is the batch"),
    ("transpose", X, {"perm": [1, 0, 2]}, "moves the batch"),
    ("reshape", X, {"shape": [2, -1]}, "samples into each other"),
    ("reshape", X, {"shape": [-1, 12]}, "changes the batch"),
    ("expand_dims", X, {"axis": 0}, "before the batch"),
    ("__operators__.getitem", X, {"slice_spec": [0]}, "part of the batch"),
    ("__operators__.getitem", X, {"slice_spec": [{}, ["x", 0, 0]]}, "'x' is not supported"),
    ("concat", X, {"axis": 0}, "the batch"),
    ("stack", X, {"axis": 0}, "before the batch"),
    ("cast", X, {"dtype": "int32"}, "cast to int32"),
    ("math.pow", X, {"y": 3}, "powers of 3"),
    ("math.maximum", X, {"y": [1.0, 2, 3, 4, 5, 6]}, "several constants"),
    ("math.multiply", X, {"y": float("nan")}, "NaN or infinite"),
    ("math.multiply", X, {"y": [[[[1.0]], [[2.0]]]]}, "does not broadcast"),
    ("math.multiply", X, {"y": "a"}, "'a' is not understood"),
    ("pad", X, {"paddings": [[0, 0], [1, 1], [0, 0]], "constant_values": 2}, "constant 2"),
    ("pad", X, {"paddings": [[1, 0], [1, 1], [0, 0]]}, "does not fit"),
    ("clip_by_value", X, {"clip_value_min": X, "clip_value_max": 1}, "clipping to"),
    ("nn.softmax", X, {"axis": 1}, "softmax over axis 1"),
    ("math.reduce_max", X, {"axis": 1, "initial": 9.0}, "initial=9.0"),
    ("nn.silu", X, {"beta": 2.0}, "beta=2.0"),
    ("raw_ops.Anything", X, {}, "operation raw_ops.Anything is not supported"),
]


@pytest.mark.parametrize(("name", "first", "named", "text"), REFUSED, ids=str)
def test_operations_that_are_refused(name, first, named, text):
    from qapflow.frontend.calls import parse_calls

    (call,) = parse_calls([[[*first, named]]], "here")
    inputs = [
        LayerSpec(key, "InputLayer", {"batch_input_shape": [None, 4, 6]}, {}, ()) for key in "xy"
    ]
    config = {"function": name, "_operands": call.operands}
    inbound = tuple((ref.layer, 0) for ref in call.inputs)
    layer = LayerSpec("op", "TFOpLambda", config, {}, inbound)
    spec = ModelSpec("m", (*inputs, layer), ("x", "y"), (("op", 0),), "2.11", "memory", "")
    with pytest.raises(ModelUnsupported) as caught:
        load(spec)
    (item,) = caught.value.items
    assert text in item.reason
    assert item.hint


ATTENTION = [
    ("MultiHeadAttention", {"attention_mask": X}, {}, "called with attention_mask"),
    ("MultiHeadAttention", {"training": True}, {}, "training=True"),
    ("MultiHeadAttention", {"return_attention_scores": True}, {}, "return_attention_scores"),
    ("MultiHeadAttention", {}, {"use_gate": True}, "gates and sliding windows"),
    ("Attention", {}, {"score_mode": "concat"}, "score_mode='concat'"),
]


@pytest.mark.parametrize(("class_name", "named", "config", "text"), ATTENTION, ids=str)
def test_attention_that_is_refused(class_name, named, config, text):
    from qapflow.frontend.calls import parse_calls

    value = {"value": Y} if class_name == "MultiHeadAttention" else {}
    (call,) = parse_calls([[[*X, {**value, **named}]]], "here")
    inputs = [
        LayerSpec(key, "InputLayer", {"batch_input_shape": [None, 4, 6]}, {}, ()) for key in "xy"
    ]
    config = {"key_dim": 2, "_operands": call.operands, **config}
    inbound = tuple((ref.layer, 0) for ref in call.inputs)
    layer = LayerSpec("op", class_name, config, {}, inbound)
    spec = ModelSpec("m", (*inputs, layer), ("x", "y"), (("op", 0),), "2.11", "memory", "")
    with pytest.raises(ModelUnsupported) as caught:
        load(spec)
    assert text in caught.value.items[0].reason
