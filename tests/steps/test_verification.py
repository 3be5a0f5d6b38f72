"""`qapflow verify` on a finished build: own inputs, good and bad, and layer by layer."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from qapflow.cli.main import main
from qapflow.ir.net import Net
from qapflow.ir.ops import Const
from qapflow.ir.text import read_net, write_net
from qapflow.steps.context import BISECTION, LOADED_NET
from qapflow.versions import compiler_version

HERE = Path(__file__).parents[1]
SHAPE = (2, 3)  # samples of a network with three inputs, ap_fixed<8,4>


def save_model(path):
    """Write a QDense layer of three inputs by hand."""
    quantizer = "quantized_bits(4,0,alpha=1)"
    dense = {"name": "d", "units": 2, "use_bias": False, "kernel_quantizer": quantizer}
    layers = [
        {"class_name": "InputLayer", "config": {"name": "box", "batch_input_shape": [None, 3]}},
        {"class_name": "QDense", "config": dense},
    ]
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array(["box", "d"], "S")
        group.create_group("box").attrs["weight_names"] = np.array([], "S1")
        group.create_group("d").attrs["weight_names"] = np.array(["d/kernel:0"], "S")
        group["d"]["d/kernel:0"] = np.array([[0.5, -0.25], [0.125, 0], [-1, 0.875]], np.float32)
    return path


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    compiler_version.cache_clear()
    yield
    compiler_version.cache_clear()


@pytest.fixture
def build(tmp_path, no_compiler):
    """A finished build of a small model, without C simulation and Keras."""
    path = save_model(tmp_path / "m.h5")
    out = tmp_path / "build"
    options = ["--input-type", "fixed<8,4>", "--keras", "no", "--vectors", "20", "-q"]
    assert main(["build", str(path), "-o", str(out), *options]) == 0
    return out


def verify(build, values, capsys, *options):
    path = build.parent / "x.npy"
    np.save(path, values)
    code = main(["verify", str(build), "--inputs", str(path), "--keras", "no", *options])
    return code, capsys.readouterr()


BAD = [
    (np.zeros((2, 4)), "input 'box' has shape (2, 4), the network takes (n, 3)"),
    (np.zeros(3), "input 'box' has shape (3,), the network takes (n, 3)"),
    (np.zeros((0, 3)), "the inputs hold no sample"),
    (np.array([[0, np.nan, 0]]), "input 'box' contains NaN or infinity (1 values)"),
    (np.array([[np.inf, -np.inf, 0]]), "input 'box' contains NaN or infinity (2 values)"),
    (np.zeros(SHAPE, complex), "has dtype complex128, which holds no real numbers"),
    (np.full(SHAPE, "a"), "has dtype <U1, which holds no real numbers"),
    (np.zeros(SHAPE, np.longdouble), "input 'box' has dtype float128"),
]


@pytest.mark.needs_hls4ml
def test_inputs_that_cannot_be_used_are_named(build, capsys):
    for values, text in BAD:
        code, said = verify(build, values, capsys)
        assert code == 2, text
        assert text in said.err
        assert said.out == ""


@pytest.mark.needs_hls4ml
def test_saturated_and_rounded_inputs_are_counted(build, capsys):
    values = np.array([[100.0, -100.0, 0.5], [0.01, 7.9375, -8.0]])
    code, said = verify(build, values, capsys)
    assert code == 0
    counted = "2 of 6 input values saturate; 1 of 6 input values are rounded to the input grid"
    assert counted in said.out
    _, said = verify(build, values, capsys, "--json")
    assert all(counted in row["note"] for row in json.loads(said.out)["comparisons"])
    _, said = verify(build, np.zeros(SHAPE), capsys)
    assert "input values" not in said.out


@pytest.mark.needs_hls4ml
def test_a_bisection_needs_keras_a_model_and_samples(build, capsys):
    cases = [
        (["--keras", "no"], "--bisect compares with Keras\n  at: --keras no"),
        (["--vectors", "0"], "0 samples prove nothing"),
    ]
    for options, text in cases:
        assert main(["verify", str(build), "--bisect", *options]) == 2
        assert text in capsys.readouterr().err
    model = build.parent / "m.h5"
    content = model.read_bytes()
    model.unlink()
    assert main(["verify", str(build), "--bisect"]) == 2
    assert "the model file of this build is gone" in capsys.readouterr().err
    model.write_bytes(
        content.replace(b"quantized_bits(4,0,alpha=1)", b"quantized_bits(5,0,alpha=1)")
    )
    assert main(["verify", str(build), "--bisect"]) == 2
    assert "the model file has changed since the build" in capsys.readouterr().err


def with_other_weight(net, name):
    """Return the network with one weight of a layer one step larger."""
    node = net.by_name[name]
    codes = np.array(node.op.weight.codes)
    codes[3, 2] += 1
    op = replace(node.op, weight=Const(codes, node.op.weight.type))
    nodes = tuple(replace(n, op=op) if n is node else n for n in net.nodes)
    return Net(nodes, net.outputs)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder with the models of bisect_models.py."""
    folder = tmp_path_factory.mktemp("models")
    script = HERE / "verify" / "bisect_models.py"
    subprocess.run([sys.executable, script, folder], check=True, capture_output=True)
    return folder


@pytest.mark.needs_keras
@pytest.mark.needs_hls4ml
def test_bisect_proves_keras_inexact_and_finds_a_wrong_network(models, tmp_path, capsys):
    """The same build twice: as it is, and with one weight of the network changed."""
    out = tmp_path / "build"
    options = ["--no-csim", "--keras", "no", "--vectors", "50", "-q"]
    assert main(["build", str(models / "wide.h5"), "-o", str(out), *options]) == 0
    capsys.readouterr()
    assert main(["verify", str(out), "--bisect", "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.err == ""
    assert (found["passed"], found["verdict"]) == (True, "Keras inexact")
    assert found["first"]["layer"] == "fc"
    assert json.loads((out / BISECTION).read_text()) == found
    page = (out / "report.html").read_text()
    for text in ("Layer by layer against Keras", "float accumulation in Keras beyond 2^24"):
        assert text in page
        for form in ("text", "md"):
            assert main(["report", str(out), "--format", form]) == 0
            assert text in capsys.readouterr().out

    net = read_net((out / LOADED_NET).read_text())
    (out / LOADED_NET).write_text(write_net(with_other_weight(net, "fc")))
    assert main(["verify", str(out), "--bisect"]) == 1
    said = capsys.readouterr()
    assert "error: different: first at layer fc, 1 cause, 50 samples" in said.err
    assert "1 of 384 values of the weight are others in Keras: [3, 2] is" in said.out
