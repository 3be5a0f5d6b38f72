"""What Yosys is told to do with one module."""

from __future__ import annotations

import re
from typing import Literal

from qapflow.errors import UsageError
from qapflow.rtl.design import Module
from qapflow.synth.open.families import Family
from qapflow.synth.open.sources import VERILOG, Sources

Effort = Literal["quick", "normal", "whole"]
EFFORTS: tuple[Effort, ...] = ("quick", "normal", "whole")

NETLIST = "netlist.blif"


def inner_modules(sources: Sources, module: Module) -> tuple[str, ...]:
    """Return the other counted modules whose names occur in the files of `module`."""
    text = b"\n".join(sources.files[path] for path in module.files)
    words = set(re.findall(rb"[A-Za-z_]\w*", text))
    names = (other.name for other in sources.modules)
    return tuple(name for name in names if name != module.name and name.encode() in words)


def write_script(sources: Sources, module: Module, family: Family, effort: Effort) -> str:
    """Return the script: elaborate, leave other counted modules out, map, write the netlist.

    Ports get no pads and no clock buffer: a module stands inside a larger design.

    Raises:
        UsageError: a path that a script of Yosys cannot hold.
    """
    lines = [_read_line(path) for path in module.files if path.endswith(VERILOG)]
    lines.append(f"hierarchy -check -top {module.name}")
    lines += [f"blackbox {name}" for name in inner_modules(sources, module)]
    if effort == "quick":
        lines.append("scratchpad -set abc.fast true")
    options = "-flatten -noiopad -noclkbuf"
    lines.append(f"synth_xilinx -family {family} -top {module.name} {options}")
    lines.append(f"write_blif {NETLIST}")
    return "\n".join(lines) + "\n"


def _read_line(path: str) -> str:
    if '"' in path or "\n" in path:
        raise UsageError("the name of a file has a quote or a line break", at=path)
    return f'read_verilog -defer {"-sv " * path.endswith(".sv")}"src/{path}"'
