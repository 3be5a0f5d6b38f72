"""The command line: verbs, exit codes, texts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from qapflow.cli.main import main

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"


def save(path, layers, weights=None):
    """Write a Sequential .h5 by hand."""
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    weights = weights or {}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights")
        names = [layer["config"]["name"] for layer in layers]
        group.attrs["layer_names"] = np.array(names, "S")
        for name in names:
            inner = group.create_group(name)
            arrays = weights.get(name, {})
            paths = [f"{name}/{key}:0" for key in arrays]
            inner.attrs["weight_names"] = np.array(paths, "S") if paths else np.array([], "S1")
            for key, array in arrays.items():
                inner[f"{name}/{key}:0"] = array
    return path


def layer(class_name, name, **config):
    return {"class_name": class_name, "config": {"name": name, **config}}


BOX = layer("InputLayer", "box", batch_input_shape=[None, 3])
DENSE = layer(
    "QDense", "d", units=2, use_bias=True, activation="linear",
    kernel_quantizer="quantized_bits(4,0,alpha=1)", bias_quantizer="quantized_bits(4,0,alpha=1)",
)  # fmt: skip
KERNEL = np.array([[0.5, -0.25], [0.125, 0.0], [-1.0, 0.875]], np.float32)


def tiny(path, kernel=KERNEL):
    return save(path, [BOX, DENSE], {"d": {"kernel": kernel, "bias": np.zeros(2, np.float32)}})


def test_version_and_help_are_instant_and_import_nothing_heavy():
    code = (
        "import sys, qapflow.cli.main\n"
        "try: qapflow.cli.main.main(['--version'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'h5py', 'hls4ml', 'tensorflow', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["qapflow 0.1.0", "[]"]


def test_without_a_command_it_prints_help(capsys):
    assert main([]) == 2
    assert "turn a model into a verified HLS project" in capsys.readouterr().out


def test_boards_list_and_one(capsys):
    assert main(["boards", "xcvu9p"]) == 0
    assert "1,182,240 LUT" in capsys.readouterr().out
    assert main(["boards", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["boards"]) >= 24
    assert main(["boards"]) == 0
    assert "zcu102" in capsys.readouterr().out


def test_doctor(capsys):
    assert main(["doctor"]) == 0
    assert "numpy" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"]


BAD = {
    "missing": (lambda p: p / "no.h5", 2, "there is no such file"),
    "folder": (lambda p: p, 2, "folder"),
    "empty": (lambda p: _write(p / "e.h5", b""), 2, "empty"),
    "noise": (lambda p: _write(p / "n.h5", b"\x00\x01" * 50), 2, "no HDF5, .keras or JSON"),
    "truncated": (lambda p: _cut(tiny(p / "t.h5")), 2, "HDF5"),
    "nan": (lambda p: tiny(p / "nan.h5", KERNEL * np.nan), 2, "NaN"),
    "inf": (lambda p: tiny(p / "inf.h5", KERNEL / 0), 2, "infinit"),
    "lambda": (
        lambda p: save(p / "l.h5", [BOX, layer("Lambda", "l", function=["4wEAAA==", None, None])]),
        4,
        "never run",
    ),
    "unknown layer": (lambda p: save(p / "u.h5", [BOX, layer("Wizardry", "w")]), 4, "Wizardry"),
}


def _write(path, content):
    path.write_bytes(content)
    return path


def _cut(path):
    return _write(path, path.read_bytes()[:900])


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("case", BAD)
def test_bad_models(case, tmp_path, capsys):
    make, code, text = BAD[case]
    folder = tmp_path / "models"
    folder.mkdir()
    with np.errstate(all="ignore"):
        path = make(folder)
    assert main(["build", str(path), "-o", str(tmp_path / "out")]) == code
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert text.lower() in message.lower()
    assert "Traceback" not in message


def test_all_problems_are_listed_at_once(tmp_path, capsys):
    path = save(tmp_path / "m.h5", [BOX, layer("Lambda", "first"), layer("Wizardry", "second")])
    assert main(["build", str(path), "-o", str(tmp_path / "out"), "--json"]) == 4
    streams = capsys.readouterr()
    assert "first (Lambda)" in streams.err
    assert "second (Wizardry)" in streams.err
    assert json.loads(streams.out)["exit_code"] == 4


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--board", "xcvu9"], "xcvu9p"),
        (["--clock-ns", "-1"], "--clock-ns is -1"),
        (["--reuse-factor", "0"], "--reuse-factor is 0"),
        (["--float-bits", "99"], "--float-bits is 99"),
        (["--input-type", "double"], "is not a fixed-point type"),
        (["--input-type", "nobody=fixed<8,2>"], "no input 'nobody'"),
        (["--inputs", "nowhere.npy"], "nowhere.npy"),
    ],
)
def test_bad_options(arguments, text, tmp_path, capsys):
    path = tiny(tmp_path / "m.h5")
    out = ["-o", str(tmp_path / "out"), "--no-csim", "--keras", "no"]
    assert main(["build", str(path), *out, *arguments]) == 2
    assert text in capsys.readouterr().err


def test_output_that_cannot_be_written(tmp_path, capsys):
    path = tiny(tmp_path / "m.h5")
    (tmp_path / "file").write_text("x")
    assert main(["build", str(path), "-o", str(tmp_path / "file")]) == 2
    assert "the output is a file" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    assert main(["build", str(path), "-o", str(tmp_path / "mine")]) == 2
    assert "holds files that no build made" in capsys.readouterr().err


def test_report_and_verify_need_a_build(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "there is no report here" in capsys.readouterr().err
    assert main(["verify", str(tmp_path)]) == 2
    assert "this is no build folder" in capsys.readouterr().err


@pytest.mark.needs_hls4ml
def test_build_report_budget_and_cache(tmp_path, capsys):
    out = tmp_path / "build"
    build = ["build", str(tiny(tmp_path / "m.h5")), "-o", str(out), "--no-csim", "--keras", "no"]
    assert main([*build, "--json"]) == 0
    first = capsys.readouterr().out
    assert json.loads(first)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "lock"}
    assert main([*build, "--json"]) == 0
    assert capsys.readouterr().out == first
    other = tmp_path / "again"
    assert main([*build[:2], "-o", str(other), *build[4:], "-q"]) == 0
    for path, content in before.items():
        if path.name != "settings.json":  # holds the folder's own name
            assert (other / path.relative_to(out)).read_bytes() == content, path
    capsys.readouterr()
    assert main([*build, "--max-lut-percent", "0"]) == 1
    assert "budget not met" in capsys.readouterr().err
    assert (out / "report.html").exists()
    for name in ("r.html", "r.json", "r.md", "r.txt"):
        assert main(["report", str(out), "-o", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 500
    assert main(["report", str(out), "-o", str(tmp_path / "r.pdf")]) == 2
    assert "no report format has the suffix '.pdf'" in capsys.readouterr().err


@pytest.mark.needs_hls4ml
def test_a_build_without_compiler_does_not_satisfy_require(tmp_path, capsys, monkeypatch):
    from qapflow.versions import compiler_version

    monkeypatch.setenv("CXX", "no-such-compiler")
    compiler_version.cache_clear()
    out = ["-o", str(tmp_path / "out"), "--keras", "no", "-q"]
    build = ["build", str(tiny(tmp_path / "m.h5")), *out]
    assert main(build) == 0
    assert main([*build, "--require"]) == 3
    assert "no C++ compiler" in capsys.readouterr().err
    compiler_version.cache_clear()


@pytest.mark.needs_hls4ml
@pytest.mark.needs_gxx
def test_digits_build_and_verify_on_own_inputs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = str(DIGITS / "digits_inputs.npy")
    build = ["build", str(DIGITS / "digits.h5"), "--inputs", inputs, "--keras", "no"]
    assert main([*build, "--vectors", "200"]) == 0
    text = capsys.readouterr().out
    assert "interpreter = C simulation" in text
    assert main(["verify", "digits_xcvu9p", "--inputs", inputs, "--keras", "no"]) == 0
    assert "0 of 3600 values differ in 360 samples" in capsys.readouterr().out


def test_python_interface_names_unknown_settings(tmp_path):
    import qapflow
    from qapflow.errors import UsageError

    with pytest.raises(UsageError, match="unknown setting 'clok_ns'"):
        qapflow.build(tmp_path / "m.h5", clok_ns=5)
    with pytest.raises(UsageError, match="neither a path nor a Keras model"):
        qapflow.build(object())
    with pytest.raises(AttributeError, match="nothing"):
        _ = qapflow.nothing


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(tmp_path, capsys):
    path = tiny(tmp_path / "m.h5")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    assert main(["build", str(path), "-o", str(locked / "out")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_what_was_started_too(tmp_path, number):
    compiler = tmp_path / "g++"
    compiler.write_text(
        f"#!/bin/sh\n[ $# -gt 3 ] || exec g++ $*\necho $$ > {tmp_path}/part\n"
        f"mv {tmp_path}/part {tmp_path}/pid\nexec sleep 100\n"
    )
    compiler.chmod(0o755)
    command = [sys.executable, "-m", "qapflow", "build", str(tiny(tmp_path / "m.h5"))]
    command += ["--board", "xcvu9p", "--keras", "no", "-o", str(tmp_path / "out")]
    before = signal.signal(number, signal.SIG_DFL)  # under nohup a child would ignore SIGHUP, too
    try:
        child = subprocess.Popen(
            command, env={**os.environ, "CXX": str(compiler)}, cwd=ROOT, text=True,
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        signal.signal(number, before)
    with child:
        end = time.monotonic() + 120  # as long as a slow machine may take to start
        while not (tmp_path / "pid").exists() and time.monotonic() < end:
            time.sleep(0.05)
        started = int((tmp_path / "pid").read_text())
        child.send_signal(number)
        _, errors = child.communicate()
    assert child.returncode == 128 + number
    assert "interrupted; run the same command again to go on" in errors
    with pytest.raises(ProcessLookupError):
        os.killpg(started, 0)
