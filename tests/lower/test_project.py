"""The generated project as text, its determinism, and its test bench."""

import json
import subprocess
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from qapflow import __version__
from qapflow.errors import CheckFailed, ToolMissing
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Affine, Clip, Const, Conv, Dense, Merge, Pool, Quantize, Reshape, Table
from qapflow.lower import hls4ml
from qapflow.lower.build import build_program
from qapflow.lower.files import Files
from qapflow.lower.golden import golden_files
from qapflow.lower.headers import ap_types
from qapflow.lower.hls4ml import print_layers
from qapflow.lower.project import lower
from qapflow.plan import Choice

needs_hls4ml = pytest.mark.needs_hls4ml
U = Fixed(False, 4, 2)


def const(values, kind):
    return Const(np.array(values), kind)


@pytest.fixture
def net():
    """A small network with most kinds of statements."""
    builder = NetBuilder()
    x = builder.add_input("image", (4, 4, 1), Fixed(True, 6, 3))
    kernel = const(np.arange(-4, 4).reshape(2, 2, 1, 2), Fixed(True, 4, 2))
    padding = ((0, 1), (0, 1))
    y = builder.add("conv", Conv(kernel, None, (1, 1), padding, (1, 1)), x)
    y = builder.add("relu", Clip(Const.exact(np.array(0.0)), None), y)
    y = builder.add("quant", Quantize(U, Rounding.RND_CONV, Overflow.SAT), y)
    y = builder.add("pool", Pool("max", (2, 2), (2, 2), ((0, 0), (0, 0))), y)
    flat = builder.add("flat", Reshape((8,)), y)
    weight = const(np.arange(-8, 8).reshape(8, 2), Fixed(True, 4, 1))
    z = builder.add("fc", Dense(weight, const([1, -3], Fixed(True, 3, 0))), flat)
    scaled = builder.add("scale", Affine(const([3, 5], Fixed(False, 3, 1))), z)
    third = builder.add("third", Quantize(Fixed(True, 5, 0), divisor=3), scaled)
    table = builder.add("table", Table(-16, const(np.arange(32) % 7, Fixed(False, 3, 0))), third)
    return builder.finish((builder.add("sum", Merge("add"), table, third), "third"))


def plain(text):
    """Leave out the version, which changes with every release."""
    return text.replace(f"qapflow {__version__}", "qapflow VERSION")


def project(net, plan, target):
    return lower(net, plan, target, "top").contents


@needs_hls4ml
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("name", ["top.cpp", "parameters.h", "defines.h", "weights/w9.h"])
def test_firmware_text(net, plan, target, golden, io_type, name):
    files = project(net, plan(io_type), target)
    paths = [path for path in files if path == f"firmware/{name}"]
    if name.startswith("weights"):
        paths = sorted(path for path in files if "/weights/" in path)
    assert plain("".join(f"== {path}\n{files[path].decode()}" for path in paths)) == golden


@needs_hls4ml
@pytest.mark.parametrize(
    "name", ["build_prj.tcl", "hls_config.cfg", "top_test.cpp", "csim/main.cpp", "NOTICE"]
)
def test_script_text(net, plan, target, golden, name):
    text = project(net, plan("io_stream", "vivado"), target)[name].decode()
    assert plain(text) == golden


@needs_hls4ml
def test_same_arguments_same_bytes_and_no_paths_of_this_machine(net, plan, target, tmp_path):
    first, second = (lower(net, plan(), target, "top") for _ in range(2))
    assert first.digest == second.digest
    own = set(first.contents) - set(ap_types().contents)
    text = b"".join(first.contents[path] for path in own).decode()
    assert str(tmp_path) not in text
    for word in ("site-packages", "/tmp", "/root", "/home", "auto"):
        assert f"{word}/" not in text
        assert f'"{word}' not in text


@needs_hls4ml
def test_project_is_complete_and_lists_what_was_copied(net, plan, target):
    files = project(net, plan(), target)
    for name in ("build_prj.tcl", "build_opt.tcl", "hls_config.cfg", "compile.sh", "top_test.cpp"):
        assert name in files
    assert files["compile.sh"].startswith(b"#!")
    notice = files["NOTICE"].decode()
    for path in files:
        if path.startswith("firmware/nnet_utils/nnet_"):
            assert path in notice
    assert b"Apache License" in files["licenses/hls4ml-LICENSE.txt"]
    sources = json.loads(files["csim/sources.json"])
    assert all(unit in files for unit in sources["units"])
    traced = {entry["edge"]: entry["size"] for entry in json.loads(files["csim/trace.json"])}
    assert traced["pool"] == 8
    assert traced["flat"] == 8


@needs_hls4ml
def test_latency_reuse_sets_the_interval_and_resource_makes_a_dataflow(net, plan, target):
    dense = NetBuilder()
    x = dense.add_input("x", (4,), U)
    y = dense.add("fc", Dense(const(np.ones((4, 2), int), U)), x)
    small = dense.finish((y,))
    text = project(small, plan(choices={"fc": Choice("latency", 4)}), target)
    assert b"#pragma HLS PIPELINE II=4\n" in text["firmware/top.cpp"]
    text = project(small, plan(choices={"fc": Choice("resource", 4)}), target)
    assert b"#pragma HLS DATAFLOW\n" in text["firmware/top.cpp"]
    assert b"DenseResource_rf_leq_nin" in text["firmware/parameters.h"]


@needs_hls4ml
def test_a_changed_choice_is_noticed(plan, target):
    builder = NetBuilder()
    x = builder.add_input("x", (4,), U)
    net = builder.finish((builder.add("fc", Dense(const(np.ones((4, 2), int), U)), x),))
    wrong = plan(choices={"fc": Choice("resource", 3)})
    message = "hls4ml changed resource with reuse factor 3 to resource with 2"
    with pytest.raises(CheckFailed, match=message):
        print_layers(build_program(net, wrong, "top"), wrong, target, "top")


@needs_hls4ml
def test_a_changed_type_is_noticed(plan, target, monkeypatch):
    builder = NetBuilder()
    x = builder.add_input("x", (4,), U)
    net = builder.finish((builder.add("fc", Dense(const(np.ones((4, 2), int), U)), x),))
    program = build_program(net, plan(), "top")
    layer = replace(program.steps[0].work, accumulator=Fixed(True, 9, 4))
    check = hls4ml.check_layer
    monkeypatch.setattr(hls4ml, "check_layer", lambda node, step, _: check(node, step, layer))
    with pytest.raises(CheckFailed, match=r"changed the accumulator type from s9\.4 to u"):
        print_layers(program, plan(), target, "top")


def test_absent_hls4ml_is_named(net, plan, target, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "hls4ml.model.graph", None)
    program = build_program(net, plan(), "top")
    with pytest.raises(ToolMissing, match="hls4ml cannot be imported"):
        print_layers(program, plan(), target, "top")
    monkeypatch.setattr("qapflow.lower.headers.find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match="hls4ml is not installed"):
        ap_types()


def test_golden_vectors_are_decimal_codes(net):
    codes = np.arange(32, dtype=np.int64).reshape(2, 4, 4, 1) - 16
    files = golden_files(net, {"image": codes}, interpret(net, {"image": codes}), limit=1)
    assert files.contents["tb_data/in_0.txt"].decode().split() == [str(c) for c in range(-16, 0)]
    assert sorted(files.contents) == [
        "tb_data/in_0.txt",
        "tb_data/out_0.txt",
        "tb_data/out_1.txt",
    ]
    assert files.contents["tb_data/out_0.txt"].count(b"\n") == 1


def run_bench(folder, program="./top_test"):
    return subprocess.run([program], cwd=folder, check=False, capture_output=True, text=True)


@needs_hls4ml
@pytest.mark.needs_gxx
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_bench_passes_and_names_the_first_difference(net, plan, target, tmp_path, io_type):
    rng = np.random.default_rng(0)
    codes = {"image": rng.integers(-32, 32, (8, 4, 4, 1))}
    outputs = interpret(net, codes)
    files = lower(net, plan(io_type), target, "top")
    files.merge(golden_files(net, codes, outputs)).write(tmp_path)
    done = run_bench(tmp_path, "./compile.sh")
    assert (done.returncode, done.stdout) == (0, "PASS 8 samples, every code equal\n")
    changed = {name: values.copy() for name, values in outputs.items()}
    changed["third"][5, 1] += 1
    golden_files(net, codes, changed).write(tmp_path)
    done = run_bench(tmp_path)
    right = int(outputs["third"][5, 1])
    assert done.returncode == 1
    assert "MISMATCH sample 5 output third" in done.stdout
    assert f"element 1 expected code {right + 1} actual code {right}\n" in done.stdout
    (tmp_path / "tb_data/in_0.txt").write_text("")
    done = run_bench(tmp_path)
    assert (done.returncode, done.stdout) == (2, "FAIL no complete sample in tb_data\n")


@needs_hls4ml
@pytest.mark.needs_gxx
def test_the_constants_of_synthesis_pass_the_bench_too(net, plan, target, tmp_path):
    codes = {"image": np.random.default_rng(1).integers(-32, 32, (20, 4, 4, 1))}
    files = lower(net, plan(), target, "top").merge(golden_files(net, codes, interpret(net, codes)))
    changed = {
        path: text.replace(b"#ifdef __SYNTHESIS__", b"#if 1") if "/weights/" in path else text
        for path, text in files.contents.items()
    }
    assert changed != dict(files.contents)
    Files(changed).write(tmp_path)
    assert run_bench(tmp_path, "./compile.sh").stdout == "PASS 20 samples, every code equal\n"


@needs_hls4ml
def test_both_forms_of_a_weight_are_equal(plan, target):
    kind = Fixed(True, 12, 9)
    codes = np.array([kind.lo, -1, 0, 1, 255, kind.hi])
    builder = NetBuilder()
    x = builder.add_input("x", (6,), U)
    for name, frac in (("fine", 20), ("plain", 9), ("coarse", -3)):
        x = builder.add(name, Affine(Const(codes, Fixed(True, 12, frac))), x)
        x = builder.add(f"{name}_cut", Quantize(U), x)
    files = project(builder.finish((x,)), plan(), target)
    for name, frac in (("fine", 20), ("plain", 9), ("coarse", -3)):
        path = next(p for p in files if p.endswith(f"_{name}.h"))
        lists = [
            line.split("= {")[1].rstrip("};").split(", ")
            for line in files[path].decode().splitlines()
            if "= {" in line
        ]
        values, stored = ([Fraction(text) for text in found] for found in lists)
        assert stored == codes.tolist()
        assert values == [c * Fraction(2) ** -frac for c in stored]
