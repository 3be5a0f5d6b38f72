"""The vendor flows against stand-ins on PATH."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qapflow.errors import CheckFailed, ToolFailed, ToolMissing, UsageError
from qapflow.report.figures import Source
from qapflow.resources import templates_dir
from qapflow.synth.flows import FLOWS, STAGE_VARIABLE, choose_flow, replay_script
from qapflow.synth.run import run_flow
from qapflow.synth.tools import TOOLS, banner_version, find_tool, locate, tool_named
from qapflow.synth.vivado import IMPLEMENTATION_SCRIPT

FAKE = Path(__file__).parent.parent / "tools" / "fake_vendor.py"


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def install(tmp_path, *names, **settings):
    """Put stand-ins on a PATH of their own and return the environment."""
    folder = tmp_path / ("bin_" + "_".join(names) + "_".join(settings.values()))
    folder.mkdir(exist_ok=True)
    exports = "".join(f"export {k}={v}\n" for k, v in settings.items())
    for name in names:
        path = folder / name
        path.write_text(f'#!/bin/sh\n{exports}exec {sys.executable} -S {FAKE} {name} "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def calls(project):
    return (project / "calls.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("backend", "names", "call"),
    [
        ("vivado", ["vivado_hls"], "csynth: vivado_hls -f build_prj.tcl"),
        ("vitis", ["vitis_hls"], "csynth: vitis_hls -f build_prj.tcl"),
        ("vitis", ["vitis-run", "vitis_hls"], "csynth: vitis-run --mode hls --tcl build_prj.tcl"),
        (
            "vitis",
            ["v++"],
            "csynth: v++ -c --mode hls --config hls_config.cfg --work_dir qapflow_hls",
        ),
    ],
)
def test_csynth_with_each_tool(tmp_path, project, backend, names, call):
    result = run_flow(project, "csynth", backend, env=install(tmp_path, *names))
    assert result.status == "ok"
    assert calls(project) == [call]
    totals = {name: figure.value for name, figure in result.totals}
    assert totals["lut"] == (5678 if backend == "vivado" else 4321)
    assert [name for name, _ in result.totals][:2] == ["latency_cycles", "ii_cycles"]
    assert {figure.source for _, figure in result.totals} == {Source.CSYNTH}
    assert result.tools[0].version in ("2020.1", "2022.2", "2024.1")
    assert result.logs[0].read_text().startswith("INFO: running")
    if backend == "vitis":
        assert result.modules["dense_latency_config2_s"]["ii_cycles"].value == 2


def test_cosim_runs_once_and_adds_its_own_figures(tmp_path, project):
    result = run_flow(project, "cosim", "vitis", env=install(tmp_path, "vitis-run"))
    assert calls(project) == ["cosim: vitis-run --mode hls --tcl build_prj.tcl"]
    cycles = [(f.source, f.value) for name, f in result.totals if name == "latency_cycles"]
    assert cycles == [(Source.CSYNTH, 8), (Source.COSIM, 10)]


def test_cosim_of_the_unified_flow_synthesises_first(tmp_path, project):
    env = install(tmp_path, "v++", "vitis-run", FAKE_VERSION="2024.2")
    env["VITIS_RUN"] = ""
    unified = next(flow for flow in FLOWS if flow.name == "v++")
    assert [c[1][0] for c in unified.commands("cosim")] == ["v++", "vitis-run"]
    assert run_flow(project, "cosim", "vitis", env=env).status == "ok"


def test_implementation_reads_synthesis_routing_and_timing(tmp_path, project):
    env = install(tmp_path, "vivado_hls", "vivado")
    result = run_flow(project, "impl", "vivado", env=env)
    assert [line.split(":")[0] for line in calls(project)] == ["csynth", "impl"]
    facts = dict(line.split("=") for line in (project / "implemented.txt").read_text().split())
    assert facts["TOP"] == "digits"
    assert facts["PART"] == "xcvu9p-flga2104-2L-e"
    assert facts["CLOCK_NS"] == "5"
    assert Path(facts["RTL"]).is_dir()
    luts = [(f.source, f.value) for name, f in result.totals if name == "lut"]
    assert luts == [(Source.CSYNTH, 5678), (Source.POST_SYNTH, 2345), (Source.POST_ROUTE, 2345)]
    assert dict(result.timing)["fmax_mhz"].value == 250.0
    assert "QAPFLOW_TOP" in (project / "vivado_impl.tcl").read_text()


@pytest.mark.parametrize("stage", ["csynth", "cosim", "impl"])
def test_without_tools_nothing_runs_and_replay_does_it_later(tmp_path, project, stage):
    result = run_flow(project, stage, "vitis", env={"PATH": str(tmp_path)})
    assert result.status == "not run"
    assert "vitis-run" in result.detail
    assert result.tools[0].status == "not run"
    assert result.totals == ()
    script = project / "replay.sh"
    assert os.access(script, os.X_OK)
    none = subprocess.run([script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=False)
    assert none.returncode == 3
    env = install(tmp_path, "vitis_hls", "vivado")
    subprocess.run([script], env=env, check=True, capture_output=True, cwd=tmp_path)
    assert calls(project)[-1].startswith(stage)
    if stage == "impl":
        facts = dict(line.split("=") for line in (project / "implemented.txt").read_text().split())
        assert (facts["TOP"], facts["CLOCK_NS"]) == ("digits", "5.00")
        assert facts["PART"] == "xcvu9p-flga2104-2L-e"
        assert Path(facts["RTL"]).is_dir()


def test_a_required_tool_that_is_absent_is_an_error(tmp_path, project):
    with pytest.raises(ToolMissing, match="csynth needs the vendor's tools: vivado_hls not found"):
        run_flow(project, "csynth", "vivado", require=True, env={"PATH": str(tmp_path)})
    assert (project / "replay.sh").exists()


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("unroll", r"exit code 1[\s\S]*XFORM 203-504[\s\S]*too large to unroll[\s\S]*reuse factor"),
        ("part", r"HLS 200-1023[\s\S]*part is not installed"),
        ("memory", r"Killed[\s\S]*memory ran out"),
        ("kill", r"exit code -9[\s\S]*memory ran out"),
        ("mystery", r"first error: ERROR: \[HLS 999-1\] Something new"),
        ("mute", r"failed in csynth \(exit code 1\)[\s\S]*read the log"),
        ("silent", r"ended without an error code, but wrote no csynth.xml"),
    ],
)
def test_a_failure_names_the_first_error_and_the_cause(tmp_path, project, mode, message):
    env = install(tmp_path, "vitis_hls", FAKE_MODE=mode)
    with pytest.raises(ToolFailed, match=message) as caught:
        run_flow(project, "csynth", "vitis", env=env)
    assert caught.value.at.endswith("logs/csynth.log")


def test_a_tool_that_takes_too_long_is_stopped(tmp_path, project):
    env = install(tmp_path, "vitis_hls", FAKE_MODE="hang")
    with pytest.raises(ToolFailed, match=r"did not finish csynth within 1 s[\s\S]*--timeout"):
        run_flow(project, "csynth", "vitis", env=env, timeout=1)


def test_an_old_report_is_not_taken_for_a_new_one(tmp_path, project):
    run_flow(project, "csynth", "vitis", env=install(tmp_path, "vitis_hls"))
    env = install(tmp_path, "vitis_hls", FAKE_MODE="silent")
    with pytest.raises(ToolFailed, match=r"wrote no csynth\.xml"):
        run_flow(project, "csynth", "vitis", env=env)


def test_rtl_that_disagrees_is_a_failed_check(tmp_path, project):
    env = install(tmp_path, "vitis_hls", FAKE_MODE="mismatch")
    with pytest.raises(CheckFailed, match="RTL does not give the outputs of the C code"):
        run_flow(project, "cosim", "vitis", env=env)


def test_a_release_that_is_not_supported_is_passed_over(tmp_path):
    ready = choose_flow("vivado", "csynth", install(tmp_path, "vivado_hls", FAKE_VERSION="2017.4"))
    assert ready.flow is None
    assert "vivado_hls is 2017.4, but needed is vivado_hls (2019.2 to 2020.1)" in ready.reason
    both = install(tmp_path, "vitis-run", "vitis_hls", FAKE_VERSION="2022.2")
    assert choose_flow("vitis", "csynth", both).flow.name == "vitis_hls"


def test_a_variable_overrides_path(tmp_path):
    env = install(tmp_path, "vivado")
    tool = tool_named("vivado")
    elsewhere = {"PATH": "/usr/bin:/bin", "VIVADO": f"{env['PATH'].split(':')[0]}/vivado"}
    assert find_tool(tool, elsewhere).version == "2024.1"
    assert locate(tool, {"PATH": str(tmp_path)}) is None
    with pytest.raises(UsageError, match="VIVADO names /absent/vivado, which is not a program"):
        locate(tool, {"PATH": "/usr/bin", "VIVADO": "/absent/vivado"})


def test_a_program_that_cannot_be_started_is_named(tmp_path, project):
    folder = tmp_path / "odd"
    folder.mkdir()
    path = folder / "vitis_hls"
    path.write_text("#!/absent/interpreter\n")
    path.chmod(0o755)
    with pytest.raises(ToolFailed, match="vitis_hls cannot be started"):
        run_flow(project, "csynth", "vitis", env={"PATH": str(folder)})


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Vivado(TM) HLS - High-Level Synthesis from C v2019.2.1 (64-bit)", "2019.2.1"),
        ("****** vitis-run v2024.1 (64-bit)\n  **** SW Build 5074859", "2024.1"),
        ("vivado v2023.2 (64-bit)\nTool Version Limit: 2023.10", "2023.2"),
        ("no banner", ""),
    ],
)
def test_banners(text, version):
    assert banner_version(text) == version


def test_every_flow_uses_known_tools_and_replays():
    names = {tool.name for tool in TOOLS}
    for flow in FLOWS:
        for stage in ("csynth", "cosim", "impl"):
            assert {command[0] for _, command in flow.commands(stage)} <= names
    assert replay_script("vitis", "cosim") == replay_script("vitis", "cosim")


def test_the_project_reads_what_the_flow_sets():
    script = (templates_dir() / "hls" / "build_prj.tcl.j2").read_text()
    assert f"$::env({STAGE_VARIABLE})" in script
    for word in IMPLEMENTATION_SCRIPT.split("$::env(")[1:]:
        assert word.split(")")[0] in replay_script("vitis", "impl")
