"""Take a project through the vendor's tools and read what they report."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qapflow.errors import CheckFailed, ToolFailed, ToolMissing
from qapflow.lower.files import write_file
from qapflow.plan import Backend
from qapflow.report.figures import FIGURES, Figure, Source, ToolRun
from qapflow.synth.csynth import read_folder
from qapflow.synth.diagnose_log import diagnose_log
from qapflow.synth.flows import (
    STAGE_VARIABLE,
    Ready,
    Stage,
    choose_flow,
    replay_script,
    without_repeats,
)
from qapflow.synth.result import SynthResult, ToolReport
from qapflow.synth.text_reports import parse_cosim_rpt
from qapflow.synth.vivado import IMPLEMENTATION_SCRIPT, parse_timing, parse_utilization
from qapflow.verify.process import Finished, Runner

_NEXT = "qapflow doctor shows what is missing; sh replay.sh runs the stage later"
_BIG_LOG = 64 * 2**20  # bytes read of a log, from its start


def run_flow(
    project: Path,
    stage: Stage,
    backend: Backend,
    *,
    timeout: float = 3600.0,
    require: bool = False,
    env: Mapping[str, str] | None = None,
) -> SynthResult:
    """Run `stage` (after the stages it rests on) in `project` and read the reports.

    `csynth` is C synthesis, `cosim` C synthesis and RTL co-simulation, `impl` C synthesis and
    Vivado's synthesis, placement and routing out of context. The project has `build_prj.tcl`,
    which reads the stage from QAPFLOW_STAGE, and for v++ `hls_config.cfg`. `timeout` is seconds
    for each program. Logs go to `project/logs`. Without the tools nothing is run, `replay.sh` is
    written, and the status is "not run".

    Raises:
        ToolMissing: a program is absent and `require` is set.
        ToolFailed: a program failed, was killed, ran out of time, or left no report.
        CheckFailed: the co-simulated RTL does not give the outputs of the C code.
        UsageError: a variable such as VITIS_HLS names something that cannot be run.
    """
    ready = choose_flow(backend, stage, env)
    write_file(project / "replay.sh", replay_script(backend, stage).encode())
    if stage == "impl":
        write_file(project / "vivado_impl.tcl", IMPLEMENTATION_SCRIPT.encode())
    if ready.flow is None:
        if require:
            raise ToolMissing(f"{stage} needs the vendor's tools: {ready.reason}", hint=_NEXT)
        skipped = ToolRun(stage, "", "not run", ready.reason)
        return SynthResult("not run", ready.reason, tools=(skipped,))
    return _Run(project, stage, ready, timeout, env).result()


@dataclass
class _Run:
    """One run: what it found so far."""

    project: Path
    stage: Stage
    ready: Ready
    timeout: float
    env: Mapping[str, str] | None
    reports: list[ToolReport] = field(default_factory=list)
    runs: list[ToolRun] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    def result(self) -> SynthResult:
        """Run every step and put the reports together."""
        assert self.ready.flow is not None
        before = _stamps(self.project)
        for name, command in without_repeats(self.ready.flow.commands(self.stage)):
            facts = self._implementation_facts(before) if name == "impl" else {}
            self._step(name, command, facts)
        new = self._new(before)
        csynth = self._csynth(new)
        self.reports.append(csynth)
        if self.stage == "cosim":
            self.reports.append(self._cosim(new))
        elif self.stage == "impl":
            self.reports += self._implementation()
        return SynthResult(
            "ok",
            f"{self.ready.flow.name}, {self.stage}",
            totals=tuple(_totals(self.reports)),
            modules=csynth.modules,
            timing=tuple(pair for report in self.reports for pair in report.timing.items()),
            tools=tuple(self.runs),
            logs=tuple(self.logs),
            notes=tuple(note for report in self.reports for note in report.notes),
        )

    def _step(self, name: str, command: tuple[str, ...], facts: Mapping[str, str]) -> None:
        """Run one program; its log explains a failure."""
        tool = self.ready.tools[command[0]]
        log = self.project / "logs" / f"{name}.log"
        outer = os.environ if self.env is None else self.env
        environment = {**outer, **facts, STAGE_VARIABLE: name}
        try:
            ended = Runner().run(
                [str(tool.path.absolute()), *command[1:]],
                log=log,
                timeout=self.timeout,
                cwd=self.project,
                env=environment,
            )
        except OSError as error:
            what = f"{tool.tool.name} cannot be started: {error.strerror or error}"
            raise ToolFailed(what, str(tool.path), "qapflow doctor shows what was found") from error
        self.logs.append(log)
        if ended.returncode or ended.timed_out:
            raise _failure(name, tool.tool.name, ended, self.timeout)
        seconds = f"{name}, {ended.seconds:.1f} s"
        self.runs.append(ToolRun(tool.tool.name, tool.version, "ok", seconds))

    def _implementation_facts(self, before: Mapping[Path, int]) -> dict[str, str]:
        """Return what vivado_impl.tcl reads from its environment."""
        report = self._csynth(self._new(before))
        clock = report.timing.get("target_clock_ns")
        rtl = report.path.parent.parent / "verilog"
        if clock is None or not rtl.is_dir() or not {"top", "part"} <= report.facts.keys():
            what = "C synthesis left no Verilog, part or clock to implement"
            raise ToolFailed(what, str(report.path), "look at logs/csynth.log")
        for name in _IMPLEMENTED:
            (self.project / name).unlink(missing_ok=True)
        return {
            "QAPFLOW_RTL": str(rtl.resolve()),
            "QAPFLOW_TOP": report.facts["top"],
            "QAPFLOW_PART": report.facts["part"],
            "QAPFLOW_CLOCK_NS": f"{clock.value:g}",
        }

    def _new(self, before: Mapping[Path, int]) -> set[Path]:
        """Return the report files that this run wrote."""
        now = _stamps(self.project)
        return {path for path, stamp in now.items() if before.get(path) != stamp}

    def _csynth(self, new: set[Path]) -> ToolReport:
        folders = {
            path.parent
            for path in new
            if path.name == "csynth.xml" or path.name.endswith("_csynth.xml")
            if path.parent.name == "report"
        }
        if not folders:
            raise self._no_report("C synthesis", "csynth.xml")
        return read_folder(max(folders, key=lambda f: max(p.stat().st_mtime for p in f.iterdir())))

    def _cosim(self, new: set[Path]) -> ToolReport:
        paths = [path for path in new if path.name.endswith("_cosim.rpt")]
        if not paths:
            raise self._no_report("co-simulation", "_cosim.rpt")
        report = parse_cosim_rpt(max(paths, key=lambda path: path.stat().st_mtime))
        if report.facts["status"] == "Fail":
            what = "the co-simulated RTL does not give the outputs of the C code"
            raise CheckFailed(what, str(report.path), "look at logs/cosim.log")
        return report

    def _implementation(self) -> list[ToolReport]:
        paths = [self.project / name for name in _IMPLEMENTED]
        for path in paths:
            if not path.is_file():
                raise self._no_report("implementation", path.name)
        return [
            parse_utilization(paths[0], Source.POST_SYNTH),
            parse_utilization(paths[1], Source.POST_ROUTE),
            parse_timing(paths[2]),
        ]

    def _no_report(self, what: str, name: str) -> ToolFailed:
        found = diagnose_log(_text(self.logs[-1]))
        lines = [f"{what} ended without an error code, but wrote no {name}"]
        lines += [f"  first error: {found.line}"] if found.line else []
        lines += [f"  meaning: {found.meaning}"] if found.meaning else []
        return ToolFailed("\n".join(lines), str(self.logs[-1]), found.fix or "read the log")


_IMPLEMENTED = (
    "qapflow_util_synth.rpt",
    "qapflow_util_routed.rpt",
    "qapflow_timing_routed.rpt",
)


def _failure(stage: str, tool: str, ended: Finished, timeout: float) -> Exception:
    """Say why a program failed: the time limit, the first error of its log, or its exit code."""
    if ended.timed_out:
        what = f"{tool} did not finish {stage} within {timeout:g} s and was stopped"
        hint = "give more time with --timeout, or raise the reuse factor of the largest layer"
        return ToolFailed(what, str(ended.log), hint)
    text = _text(ended.log)
    if "C/RTL co-simulation finished: FAIL" in text and "COSIM 212-5]" not in text:
        what = "the co-simulation failed: the RTL and the C code do not agree, or it did not finish"
        return CheckFailed(what, str(ended.log), "look at the lines above the failure in the log")
    found = diagnose_log(text)
    lines = [f"{tool} failed in {stage} (exit code {ended.returncode})"]
    lines += [f"  first error: {found.line}"] if found.line else []
    meaning, fix = found.meaning, found.fix
    if ended.killed and not meaning:
        meaning = "it was killed, most often because memory ran out"
        fix = "give the machine more memory, or raise the reuse factor"
    lines += [f"  meaning: {meaning}"] if meaning else []
    return ToolFailed("\n".join(lines), str(ended.log), fix or "read the log")


def _text(log: Path) -> str:
    with log.open("rb") as stream:
        return stream.read(_BIG_LOG).decode("utf-8", "replace")


def _stamps(project: Path) -> dict[Path, int]:
    """Return the time stamps of report files, so that an old report is never taken for a new."""
    found = {}
    for folder, _, names in os.walk(project):
        for name in names:
            if name.endswith((".xml", ".rpt")):
                path = Path(folder, name)
                found[path] = path.stat().st_mtime_ns
    return found


def _totals(reports: list[ToolReport]) -> Iterator[tuple[str, Figure]]:
    """Yield every figure of the top in the order of `FIGURES`, then by stage."""
    for name in FIGURES:
        for report in reports:
            if name in report.figures:
                yield name, report.figures[name]
