"""Take a build's own RTL through Vivado, out of context, and read what it reports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from qapflow.errors import ToolFailed, ToolMissing
from qapflow.report.figures import FIGURES, Figure, Source, ToolRun
from qapflow.synth.diagnose_log import diagnose_log
from qapflow.synth.result import SynthResult
from qapflow.synth.tools import find_tool, tool_named
from qapflow.synth.vivado import parse_timing, parse_utilization
from qapflow.verify.process import Finished, Runner

SCRIPT = "vivado.tcl"
SYNTHESISED, ROUTED, TIMING = (
    "qapflow_util_synth.rpt",
    "qapflow_util_routed.rpt",
    "qapflow_timing_routed.rpt",
)
STAGE = "Vivado on the RTL"


def implement_rtl(
    folder: Path,
    *,
    timeout_s: float = 3600.0,
    require: bool = False,
    env: Mapping[str, str] | None = None,
) -> SynthResult:
    """Run `folder`/vivado.tcl: synthesis, placement and routing; `folder` is the rtl/ of a build.

    Raises:
        ToolMissing: Vivado is absent and `require` is set.
        ToolFailed: it failed, was killed, ran out of time, or left no report.
        UsageError: the variable VIVADO names something that cannot be run.
    """
    found = find_tool(tool_named("vivado"), env)
    if found is None:
        reason = "vivado is not on PATH"
        if require:
            raise ToolMissing(f"{STAGE}: {reason}", hint="qapflow doctor shows what is missing")
        return SynthResult("not run", reason, tools=(ToolRun(STAGE, "", "not run", reason),))
    for name in (SYNTHESISED, ROUTED, TIMING):
        (folder / name).unlink(missing_ok=True)
    log = folder / "logs" / "vivado.log"
    command = [str(found.path.absolute()), "-mode", "batch", "-source", SCRIPT, "-nojournal"]
    try:
        environment = dict(os.environ if env is None else env)
        ended = Runner().run(command, log=log, timeout=timeout_s, cwd=folder, env=environment)
    except OSError as error:
        what = f"vivado cannot be started: {error.strerror or error}"
        raise ToolFailed(what, str(found.path), "qapflow doctor shows what was found") from error
    _require_success(ended, timeout_s)
    return _read(folder, ToolRun("vivado", found.version, "ok", "implemented the RTL"), log)


def _require_success(ended: Finished, timeout_s: float) -> None:
    if ended.timed_out:
        what = f"vivado did not finish within {timeout_s:g} s and was stopped"
        raise ToolFailed(what, str(ended.log), "give more time with --timeout")
    if ended.returncode == 0:
        return
    found = diagnose_log(ended.text)
    lines = [f"vivado failed on the RTL (exit code {ended.returncode})"]
    lines += [f"  first error: {found.line}"] if found.line else []
    meaning, fix = found.meaning, found.fix
    if ended.killed and not meaning:
        meaning, fix = "it was killed, most often because memory ran out", "give it more memory"
    lines += [f"  meaning: {meaning}"] if meaning else []
    raise ToolFailed("\n".join(lines), str(ended.log), fix or "read the log")


def _read(folder: Path, tool: ToolRun, log: Path) -> SynthResult:
    for name in (SYNTHESISED, ROUTED, TIMING):
        if not (folder / name).is_file():
            what = f"vivado ended without an error code, but wrote no {name}"
            raise ToolFailed(what, str(log), "read the log")
    reports = (
        parse_utilization(folder / SYNTHESISED, Source.RTL_POST_SYNTH),
        parse_utilization(folder / ROUTED, Source.RTL_POST_ROUTE),
    )
    timing = parse_timing(folder / TIMING, Source.RTL_POST_ROUTE)
    totals: list[tuple[str, Figure]] = [
        (name, report.figures[name])
        for name in FIGURES
        for report in reports
        if name in report.figures
    ]
    slack = ", ".join(f"{k} {f.value:g} {f.unit}" for k, f in timing.timing.items())
    return SynthResult(
        "ok",
        STAGE,
        totals=tuple(totals),
        timing=tuple(timing.timing.items()),
        tools=(replace(tool, detail=f"{tool.detail}: {slack}" if slack else tool.detail),),
        logs=(log,),
        notes=timing.notes,
    )
