"""Logic on one beat: traced, cut into pipeline stages, written as combinational modules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Net
from qapflow.rtl.stream.wires import Grid, grid_of, join, refit, refit_all, width
from qapflow.rtl.symbols import Fabric
from qapflow.rtl.trace import trace


@dataclass(frozen=True)
class Stage:
    """One combinational part, a module of its own; without bits out there is none."""

    module: str
    enter: str  # what goes in: an expression of the inputs or of the register before
    bits_in: int
    bits_out: int


@dataclass(frozen=True)
class Logic:
    """A pipeline: stages and their modules, tables by name, the expression of each output."""

    stages: tuple[Stage, ...]
    text: str
    tables: dict[str, str]
    leave: tuple[str, ...]
    cost_lut: float


def stage_delay(clock_ns: float) -> float:
    """Return adders in a row that fit between registers.

    0.8 ns an adder with its routing and 0.7 ns for the register, rough figures of UltraScale+.
    """
    return max(1.0, (clock_ns - 0.7) / 0.8)


def build_logic(name: str, net: Net, inputs: Sequence[str], clock_ns: float) -> Logic:
    """Trace a kernel; `inputs` are the wires that hold a beat of each input.

    Raises:
        ToolMissing: alkaid is not installed.
        ModelUnsupported: values that the tracer does not hold.
    """
    from alkaid.codegen.rtl.verilog.comb import comb_logic_gen
    from alkaid.codegen.rtl.verilog.lookup import lookup_source
    from alkaid.trace.pipeline import to_pipeline

    traced = trace(net, Fabric())
    cutoff = stage_delay(clock_ns)
    machine = to_pipeline(traced.logic, latency_cutoff=cutoff, reg_inp=False, verbose=False)
    combs = [machine.logic[key] for key in machine.logic]
    entries, modules, stages = _entry(net, inputs, combs[0]), list[str](), list[Stage]()
    for number, comb in enumerate(combs):
        enters, leaves = _bits(_grids(comb.inp_qint)), _bits(_grids(comb.out_qint))
        module = f"{name}_stage{number}"
        if leaves:
            text = comb_logic_gen(comb, module)
            modules.append(text if enters else text.replace("    input [-1:0] model_inp,\n", ""))
        stages.append(Stage(module, entries, enters, leaves))
        entries = _between(f"after{number}", comb, combs[number + 1 : number + 2])
    found = re.findall(r"(?s)(module (\w+)\(.*?endmodule)", lookup_source(combs))
    tables = {table: text for text, table in found}
    leave = _exits(net, combs[-1], len(combs) - 1)
    return Logic(tuple(stages), _beside("\n".join(modules)), tables, leave, traced.cost_lut)


def _beside(modules: str) -> str:
    """Mark modules that lie in the file of the block that uses them."""
    off, on = (f"/* verilator lint_{word} DECLFILENAME */" for word in ("off", "on"))
    return f"{off}\n{modules}\n{on}\n" if modules else ""


def _between(wire: str, comb: Any, following: Sequence[Any]) -> str:
    """Return what enters the next stage: the register as it is, unless grids differ."""
    if not following:
        return ""
    made, wanted = _grids(comb.out_qint), _grids(following[0].inp_qint)
    return wire if made == wanted else join(refit_all(wire, made, wanted))


def _grids(intervals: Sequence[Any]) -> list[Grid]:
    return [(int(k), int(i), int(f)) for k, i, f in (q.kif for q in intervals)]


def _bits(grids: Sequence[Grid]) -> int:
    return sum(map(width, grids))


def _entry(net: Net, inputs: Sequence[str], comb: Any) -> str:
    wanted = _grids(comb.inp_qint)
    parts = []
    for node, wire in zip(net.inputs, inputs, strict=True):
        count = prod(node.out.shape)
        parts += refit_all(wire, [grid_of(node.out.type)] * count, wanted[:count])
        wanted = wanted[count:]
    return join(parts)


def _exits(net: Net, comb: Any, last: int) -> tuple[str, ...]:
    found = _grids(comb.out_qint)
    results, low = [], 0
    for name in net.outputs:
        edge = net.edge(name)
        count = prod(edge.shape)
        results.append(_exit(f"after{last}", low, found[:count], edge.type))
        low += _bits(found[:count])
        found = found[count:]
    return tuple(results)


def _exit(wire: str, low: int, sources: Sequence[Grid], kind: Fixed) -> str:
    parts: list[str] = []
    for source in sources:
        parts += refit(wire, low, source, grid_of(kind))[::-1]
        low += width(source)
    return join(parts)
