"""Cut combinational logic into pipeline stages for a clock.

Delays are alkaid's: its unit is about one LUT with its net, an adder takes 1.09 units and 0.025 for
each bit of its carry chain, a multiplexer 0.5, a table of up to 6 bits 0.08. What a unit takes in
ns is a model for planning; Vivado's timing report is what counts. It rests on

- Artix-7 speed grade 1: the slowest register-to-register paths that Yosys' `sta` finds in pipelines
  of known depth, with the cell delays of its Xilinx library and no routing: 1.9 ns and 0.73 ns for
  each unit (docs/rtl.md has the points);
- other families and grades: that figure by a ratio of the highest clocks of their DSP blocks. These
  clocks were not checked against AMD's data sheets: an assumption, and said to be one.

The clock uncertainty, 27 % unless the plan says otherwise, is what is kept for routing, as in HLS.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qapflow.target import Target

ARTIX_UNIT_NS = 0.73
ARTIX_REGISTER_NS = 1.9  # what every path has: register, first look-up, end of the carry chain
ARTIX_DSP_MHZ = 464.0
DSP_MHZ: dict[str, tuple[float, float, float]] = {  # assumed; speed grades 1, 2, 3
    "artix-7": (464.0, 550.0, 628.0),
    "spartan-7": (464.0, 550.0, 628.0),
    "zynq-7000": (464.0, 550.0, 628.0),
    "kintex-7": (547.0, 650.0, 741.0),
    "virtex-7": (547.0, 650.0, 741.0),
    "ultrascale": (594.0, 661.0, 741.0),
    "ultrascale+": (645.0, 775.0, 891.0),
}
SOURCE = "alkaid's delay units, Yosys' Artix-7 cell delays, assumed family ratios (docs/rtl.md)"


@dataclass(frozen=True)
class Budget:
    """What fits between two registers: `units` of alkaid's delay, each `unit_ns` long."""

    units: float
    unit_ns: float
    register_ns: float


def stage_budget(target: Target, clock_ns: float, uncertainty_percent: float) -> Budget:
    """Return the delay that one pipeline stage may have.

    A clock too fast for a single adder still gets one operation a stage.
    """
    family = target.family
    if family not in DSP_MHZ:
        family = "ultrascale" if re.fullmatch(r".*-ultrascale", family) else "ultrascale+"
    grade = re.search(r"-([123])[A-Z]*(?:-|$)", target.part, re.IGNORECASE)
    mhz = DSP_MHZ[family][int(grade[1]) - 1 if grade else 0]
    factor = ARTIX_DSP_MHZ / mhz
    unit, register = ARTIX_UNIT_NS * factor, ARTIX_REGISTER_NS * factor
    left = clock_ns * (1 - uncertainty_percent / 100) - register
    return Budget(max(left / unit, 0.0), unit, register)


@dataclass(frozen=True)
class Schedule:
    """The stage of each operation, how many stages there are, and the depth in units of each."""

    stages: tuple[int, ...]
    count: int
    depths: tuple[float, ...]


def schedule(ops: Sequence[Any], units: float) -> Schedule:
    """Put each operation into the earliest stage that it ends in, none deeper than `units`.

    An operation that is deeper than that by itself has a stage for itself. Among the limits with
    the same number of stages the lowest is taken, so that stages are about equally deep.
    """
    delays = own_delays(ops)
    best = _place(ops, delays, units)
    low, high = 0.0, units
    for _ in range(6):
        middle = (low + high) / 2
        found = _place(ops, delays, middle)
        if found.count == best.count:
            best, high = found, middle
        else:
            low = middle
    return best


def own_delays(ops: Sequence[Any]) -> list[float]:
    """Return the delay of each operation alone, in alkaid's units."""
    return [
        max(op.latency - max((ops[i].latency for i in op.input_ids), default=op.latency), 0.0)
        for op in ops
    ]


def _place(ops: Sequence[Any], delays: Sequence[float], units: float) -> Schedule:
    stages, ends = [0] * len(ops), [0.0] * len(ops)
    for place, op in enumerate(ops):
        stage = max((stages[i] for i in op.input_ids), default=0)
        start = max((ends[i] for i in op.input_ids if stages[i] == stage), default=0.0)
        end = start + delays[place]
        if start and end > units:
            stage, end = stage + 1, delays[place]
        stages[place], ends[place] = stage, end
    count = max(stages, default=0) + 1
    depths = [0.0] * count
    for stage, end in zip(stages, ends, strict=True):
        depths[stage] = max(depths[stage], end)
    return Schedule(tuple(stages), count, tuple(depths))
