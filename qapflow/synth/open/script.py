"""What Yosys is told to do with one module."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qapflow.errors import UsageError
from qapflow.rtl.design import Module
from qapflow.synth.open.families import Family
from qapflow.synth.open.sources import VERILOG, Sources

Effort = Literal["quick", "normal", "whole"]
EFFORTS: tuple[Effort, ...] = ("quick", "normal", "whole")

NETLIST = "netlist.blif"
# Up to some release synth_xilinx maps LUTs by abc, later by abc9: one pass in place of several.
QUICK = (
    "scratchpad -set abc.fast true",
    'scratchpad -set abc9.script "+&st; &if -W 300 -K 6"',
)
BATCH = "qapflow_batch"
BATCH_FILE = "batch.v"


def inner_modules(sources: Sources, module: Module) -> tuple[str, ...]:
    """Return the other counted modules whose names occur in the files of `module`."""
    text = b"\n".join(sources.files[path] for path in module.files)
    words = set(re.findall(rb"[A-Za-z_]\w*", text))
    names = (other.name for other in sources.modules)
    return tuple(name for name in names if name != module.name and name.encode() in words)


@dataclass(frozen=True)
class CellMapping:
    """How Verilog becomes cells; without `dsp` every product is built of LUTs."""

    family: Family
    effort: Effort = "normal"
    dsp: bool = True

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines of a script; TOP stands for the module."""
        fast = QUICK if self.effort == "quick" else ()
        options = "-flatten -noiopad -noclkbuf" + (" -nodsp" * (not self.dsp))
        command = f"synth_xilinx -family {self.family} -top TOP {options}"
        return (*fast, command, f"write_blif {NETLIST}")


def write_script(sources: Sources, modules: Sequence[Module], how: CellMapping) -> str:
    """Return the script: elaborate, leave other counted modules out, map, write the netlist.

    Ports get no pads and no clock buffer: a module stands inside a larger design. Several modules
    stand in a top of their own, each kept apart from it.

    Raises:
        UsageError: a path that a script of Yosys cannot hold.
    """
    paths = dict.fromkeys(path for module in modules for path in module.files)
    lines = [_read_line(f"src/{path}") for path in paths if path.endswith(VERILOG)]
    names = [module.name for module in modules]
    top = names[0] if len(names) == 1 else BATCH
    lines += [_read_line(BATCH_FILE)] * (len(names) > 1)
    lines.append(f"hierarchy -check -top {top}")
    if len(names) > 1:
        lines.append(f"setattr -mod -set keep_hierarchy 1 {' '.join(names)}")
    inner = dict.fromkeys(name for module in modules for name in inner_modules(sources, module))
    lines += [f"blackbox {name}" for name in inner if name not in names]
    lines += [line.replace("TOP", top) for line in how.lines]
    return "\n".join(lines) + "\n"


def batch_text(modules: Sequence[Module]) -> str:
    """Return a top that holds modules, of which no port is connected: none changes another."""
    held = (f"  (* keep *) {module.name} u{k}();\n" for k, module in enumerate(modules))
    return f"module {BATCH};\n{''.join(held)}endmodule\n"


def _read_line(path: str) -> str:
    if '"' in path or "\n" in path:
        raise UsageError("the name of a file has a quote or a line break", at=path)
    return f'read_verilog -defer {"-sv " * path.endswith(".sv")}"{path}"'
