"""Which commands take a project through a stage with which vendor release."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qapflow.plan import Backend
from qapflow.synth.tools import FoundTool, find_tool, tool_named

Stage = Literal["csynth", "cosim", "impl"]

STAGE_VARIABLE = "QAPFLOW_STAGE"  # read by build_prj.tcl
WORK_DIR = "qapflow_hls"
IMPLEMENT = ("vivado", "-mode", "batch", "-source", "vivado_impl.tcl")


@dataclass(frozen=True)
class Flow:
    """One way to drive the tools.

    `steps` are (stage, command): a stage runs its own step after the steps it rests on. The first
    word of a command is the name of a tool. `since` and `until` are releases of the first tool.
    """

    name: str
    backend: Backend
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    since: tuple[int, ...] = ()
    until: tuple[int, ...] = (9999,)

    @property
    def words(self) -> str:
        """Name the flow's first tool with the releases it is for."""
        low = ".".join(map(str, self.since))
        high = "" if self.until == (9999,) else ".".join(map(str, self.until))
        tool = self.steps[0][1][0]
        return f"{tool} ({low} to {high})" if high else f"{tool} ({low} on)"

    def commands(self, stage: Stage) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Return (stage, command) in order for a stage; implementation rests on synthesis only."""
        if stage == "impl":
            return (self.steps[0], ("impl", IMPLEMENT))
        last = [name for name, _ in self.steps].index(stage)
        return self.steps[: last + 1]


_TCL_RUN = ("vitis-run", "--mode", "hls", "--tcl", "build_prj.tcl")
_CONFIG = ("--config", "hls_config.cfg", "--work_dir", WORK_DIR)

# In the order of preference where several are installed.
FLOWS: tuple[Flow, ...] = (
    Flow("vitis-run", "vitis", (("csynth", _TCL_RUN), ("cosim", _TCL_RUN)), (2023, 1)),
    Flow(
        "vitis_hls",
        "vitis",
        (
            ("csynth", ("vitis_hls", "-f", "build_prj.tcl")),
            ("cosim", ("vitis_hls", "-f", "build_prj.tcl")),
        ),
        (2020, 1),
        (2024, 1),
    ),
    Flow(
        "v++",
        "vitis",
        (
            ("csynth", ("v++", "-c", "--mode", "hls", *_CONFIG)),
            ("cosim", ("vitis-run", "--mode", "hls", "--cosim", *_CONFIG)),
        ),
        (2023, 1),
    ),
    Flow(
        "vivado_hls",
        "vivado",
        (
            ("csynth", ("vivado_hls", "-f", "build_prj.tcl")),
            ("cosim", ("vivado_hls", "-f", "build_prj.tcl")),
        ),
        (2019, 2),
        (2020, 1),
    ),
)


@dataclass(frozen=True)
class Ready:
    """A flow with the programs it needs, or why there is none (`flow` is None)."""

    flow: Flow | None
    tools: Mapping[str, FoundTool]
    reason: str = ""


def choose_flow(backend: Backend, stage: Stage, env: Mapping[str, str] | None = None) -> Ready:
    """Return the first flow whose programs are all here in a release it is for.

    Raises:
        UsageError: a variable such as VIVADO_HLS names something that cannot be run.
    """
    reasons = []
    for flow in FLOWS:
        if flow.backend != backend:
            continue
        names = dict.fromkeys(command[0] for _, command in flow.commands(stage))
        found = {name: find_tool(tool_named(name), env) for name in names}
        missing = [name for name, tool in found.items() if tool is None]
        tools = {name: tool for name, tool in found.items() if tool is not None}
        if missing:
            reasons.append(f"{' and '.join(missing)} not found")
            continue
        first = next(iter(tools.values()))
        if first.release and not flow.since <= first.release[:2] <= flow.until:
            reasons.append(f"{first.tool.name} is {first.version}, but needed is {flow.words}")
            continue
        return Ready(flow, tools)
    return Ready(None, {}, "; ".join(dict.fromkeys(reasons)))


def replay_script(backend: Backend, stage: Stage) -> str:
    """Return a shell script that runs the stage with whichever tool it finds."""
    lines = [
        "#!/bin/sh",
        f"# Run the {stage} stage with the vendor's tools; see qapflow doctor for what is needed.",
        "set -e",
        'cd "$(dirname "$0")"',
        "",
    ]
    word = "if"
    for flow in FLOWS:
        if flow.backend != backend:
            continue
        commands = flow.commands(stage)
        names = dict.fromkeys(command[0] for _, command in commands)
        tests = " && ".join(f"command -v {name} >/dev/null" for name in names)
        lines.append(f"{word} {tests}; then")
        for name, command in without_repeats(commands):
            lines += _READ_REPORT if name == "impl" else ()
            lines.append(f"    {STAGE_VARIABLE}={name} {shlex.join(command)}")
        word = "elif"
    lines += ["else", '    echo "no vendor tool found on PATH" >&2', "    exit 3", "fi", ""]
    return "\n".join(lines)


# What vivado_impl.tcl needs, from the newest C synthesis report.
_READ_REPORT = (
    "    report=$(find . -path '*/syn/report/csynth.xml' -exec ls -t {} + | head -n 1)",
    '    QAPFLOW_RTL="$PWD/$(dirname "$report")/../verilog"',
    """    QAPFLOW_TOP=$(sed -n 's:.*<TopModelName>\\(.*\\)</.*:\\1:p' "$report" | head -n 1)""",
    """    QAPFLOW_PART=$(sed -n 's:.*<Part>\\(.*\\)</.*:\\1:p' "$report" | head -n 1)""",
    """    QAPFLOW_CLOCK_NS=$(sed -n 's:.*<TargetClockPeriod>\\(.*\\)</.*:\\1:p' "$report" """
    """| head -n 1)""",
    "    export QAPFLOW_RTL QAPFLOW_TOP QAPFLOW_PART QAPFLOW_CLOCK_NS",
)


def without_repeats(
    commands: tuple[tuple[str, tuple[str, ...]], ...],
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Drop a step whose command a later step repeats: the Tcl of `cosim` synthesises first."""
    later = [command for _, command in commands]
    return tuple(step for k, step in enumerate(commands) if step[1] not in later[k + 1 :])
