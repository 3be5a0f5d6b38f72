"""`qapflow synth` on a build and on plain Verilog: report, kept results, crashes, absent tools."""

import json

import pytest

from qapflow.cli.main import main
from qapflow.errors import ToolMissing
from qapflow.rtl.design import Design
from qapflow.rtl.manifest import write_manifest
from tests.cli.test_main import tiny
from tests.synth.test_run import install

needs_build = pytest.mark.needs_hls4ml


@pytest.fixture
def folder(tmp_path, two_level):
    """A build of a tiny model with hand-written RTL beside it."""
    out = tmp_path / "out"
    build = ["build", str(tiny(tmp_path / "m.h5")), "-o", str(out), "--no-csim", "--keras", "no"]
    assert main([*build, "-q"]) == 0
    write_rtl(out, two_level)
    return out


def write_rtl(out, sources):
    design = Design("top", "verilog", "unrolled", (), (), sources.modules, sources.files, 5.0, None)
    for path, content in {**sources.files, "design.json": write_manifest(design)}.items():
        (out / "rtl").mkdir(exist_ok=True)
        (out / "rtl" / path).write_bytes(content)


@needs_build
def test_build_is_synthesised_and_reported(folder, fake, monkeypatch, capsys):
    engine, ran = fake()
    monkeypatch.setenv("YOSYS", engine.command[0])
    assert main(["synth", str(folder), "--jobs", "1"]) == 0
    told = capsys.readouterr()
    assert "yosys 9.9, not Vivado: top in cells of xcup, module by module" in told.out
    assert "2 of 2 modules to synthesise, 1 side by side; about 9 s" in told.err
    report = json.loads((folder / "report.json").read_text())
    sources = {(name, figure["source"]): figure["value"] for name, figure in report["totals"]}
    assert sources[("lut", "open synthesis")] == 2
    assert ("lut", "estimate") in sources
    assert "Open synthesis" in (folder / "report.txt").read_text()
    assert main(["synth", str(folder), "-q"]) == 0
    assert ran() == ["adder", "top"]


@needs_build
def test_result_of_other_rtl_is_not_reported(folder, fake, monkeypatch, two_level):
    from qapflow.steps.open_synthesis import stored_synthesis

    engine, _ = fake()
    monkeypatch.setenv("YOSYS", engine.command[0])
    assert main(["synth", str(folder), "-q"]) == 0
    assert stored_synthesis(folder).totals["lut"] == 2
    (folder / "rtl" / "top.v").write_text("module top; endmodule\n")
    assert stored_synthesis(folder) is None


@needs_build
def test_crash_is_exit_5_with_partial_results(folder, fake, monkeypatch, capsys):
    engine, _ = fake('print("ERROR: no such cell"); sys.exit(1)', fail=("adder",))
    monkeypatch.setenv("YOSYS", engine.command[0])
    assert main(["synth", str(folder)]) == 5
    told = capsys.readouterr()
    assert "no result for 1 of 2 modules; adder: failed: ERROR: no such cell" in told.err
    assert "kept: the results of the other 1" in told.err
    assert "PARTIAL: 1 module without a result" in told.out
    text = (folder / "report.txt").read_text()
    assert "adder: failed: ERROR: no such cell" in text
    report = json.loads((folder / "report.json").read_text())
    assert "open synthesis" not in {figure["source"] for _, figure in report["totals"]}


def verilog(tmp_path, sources):
    for path, content in sources.files.items():
        (tmp_path / "v").mkdir(exist_ok=True)
        (tmp_path / "v" / path).write_bytes(content)
    return str(tmp_path / "v")


def test_any_folder_of_verilog(tmp_path, two_level, fake, monkeypatch, capsys):
    engine, _ = fake()
    monkeypatch.setenv("YOSYS", engine.command[0])
    path = verilog(tmp_path, two_level)
    assert main(["synth", path, "--top", "top", "--family", "xc7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["family"] == "xc7"
    assert main(["synth", path, "--top", "tpo"]) == 2
    assert "no module 'tpo'" in capsys.readouterr().err
    assert main(["synth", path, "--top", "top", "--board", "vck190"]) == 2
    assert "Yosys has no cells for the family 'versal'" in capsys.readouterr().err
    assert main(["synth", path, "--top", "top", "--timeout", "0"]) == 2
    for option in ("--compare", "--place"):
        assert main(["synth", path, "--top", "top", option]) == 2
        assert f"at: {option}" in capsys.readouterr().err


@needs_build
def test_absent_nextpnr_is_said(folder, fake, monkeypatch, capsys):
    def absent():
        raise ToolMissing("placing and routing needs nextpnr for ECP5", hint="pip install it")

    engine, ran = fake()
    monkeypatch.setenv("YOSYS", engine.command[0])
    monkeypatch.setattr("qapflow.steps.open_synthesis.find_placer", absent)
    assert main(["synth", str(folder), "--place"]) == 0
    assert "nextpnr: not run: placing and routing needs nextpnr" in capsys.readouterr().err
    assert ran() == ["adder", "top"]
    assert main(["synth", str(folder), "--place", "--require"]) == 3


@needs_build
@pytest.mark.needs_alkaid
def test_both_ways_of_a_build_are_in_its_report(folder, fake, monkeypatch):
    engine, _ = fake()
    monkeypatch.setenv("YOSYS", engine.command[0])
    assert main(["synth", str(folder), "--compare", "-q"]) == 0
    text = (folder / "report.txt").read_text()
    assert "distributed arithmetic " in text
    assert "plain multipliers, adder trees " in text
    assert main(["synth", str(folder), "-q"]) == 0  # a later run does not lose them
    assert "plain multipliers, adder trees " in (folder / "report.txt").read_text()


def test_absent_yosys(tmp_path, two_level, monkeypatch, capsys):
    monkeypatch.setattr("qapflow.synth.open.engines._find", lambda kind, env: None)
    monkeypatch.delenv("YOSYS", raising=False)
    synth = ["synth", verilog(tmp_path, two_level), "--top", "top"]
    assert main(synth) == 0
    assert "pip install pyosys" in capsys.readouterr().err
    assert main([*synth, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "not run"
    assert main([*synth, "--require"]) == 3


@needs_build
def test_build_without_rtl_and_vendor_flow(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    build = ["build", str(tiny(tmp_path / "m.h5")), "-o", str(out), "--no-csim", "--keras", "no"]
    assert main([*build, "-q"]) == 0
    assert main(["synth", str(out)]) == 2
    assert "run qapflow build with --rtl" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "")
    assert main(["synth", str(out), "--flow", "vendor", "--require"]) == 3
    assert main(["synth", str(out), "--flow", "vendor"]) == 0
    assert "not found" in capsys.readouterr().out


@needs_build
def test_vendor_flow_on_a_finished_build(folder, tmp_path, monkeypatch, capsys):
    path = install(tmp_path, "vitis_hls")["PATH"]
    monkeypatch.setenv("PATH", path)
    assert main(["synth", str(folder), "--flow", "vendor", "--stage", "csynth", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "csynth" in {figure["source"] for _, figure in report["totals"]}
    assert json.loads((folder / "report.json").read_text()) == report
    monkeypatch.setenv("PATH", install(tmp_path, "vitis_hls", FAKE_MODE="part")["PATH"])
    assert main(["synth", str(folder), "--flow", "vendor"]) == 5
    assert "is not installed" in capsys.readouterr().err
