"""Record the waveform of one sample, and find in it the first signal that is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qapflow.ir.fixed import Codes
from qapflow.ir.net import Net
from qapflow.plan import Plan
from qapflow.rtl.design import Design
from qapflow.rtl.evaluate import evaluate, input_values
from qapflow.rtl.pipeline import CONSTANT, INPUT
from qapflow.rtl.sim.simulate import simulate
from qapflow.target import Target

_VARIABLE = re.compile(r"\$var \w+ (\d+) (\S+) (\w+)(?: \[[\d:]+\])? \$end")
REPEATS = 2  # the sample comes again until nothing in the pipeline is of before


def record(folder: Path, design: Design, inputs: Mapping[str, Codes], timeout_s: float) -> Path:
    """Simulate one sample, codes [1, *shape], over and over until the pipeline holds nothing else.

    Returns the VCD file.
    """
    count = 1 if design.form == "streaming" else REPEATS + _stages(design)
    repeated = {name: np.repeat(codes, count, axis=0) for name, codes in inputs.items()}
    path = folder / "sim" / "mismatch.vcd"
    simulate(folder, design, repeated, waveform=path, timeout_s=timeout_s)
    return path


def _stages(design: Design) -> int:
    found = [re.search(r"_s(\d+)_", module.name) for module in design.modules]
    return 1 + max((int(match[1]) for match in found if match), default=0)


def first_wrong_signal(
    waveform: Path,
    design: Design,
    net: Net,
    plan: Plan,
    target: Target,
    inputs: Mapping[str, Codes],
) -> str:
    """Say which signal of an unrolled core is the first whose last value is not the expected one.

    The logic is traced again; signals are taken in the order of the logic, so that everything the
    named one is made of is right.
    """
    if design.form == "streaming":
        return "the first wrong values are at an output of the streaming core"
    from qapflow.rtl.write import pipeline_net

    pipeline = pipeline_net(net, target, plan.clock_ns, plan.clock_uncertainty_percent)
    logic, schedule = pipeline.traced.logic, pipeline.schedule
    values = evaluate(logic, input_values(net, inputs))
    seen = last_values(waveform, design.top)
    order = sorted(range(len(logic.ops)), key=lambda value: (schedule.stages[value], value))
    layers = pipeline.traced.layers
    for value in order:
        op = logic.ops[value]
        if op.opcode == CONSTANT or not (width := pipeline.width(value)):
            continue
        code = round(float(values[value][0]) / op.qint.step) % (1 << width)
        names = [f"v{value}"]
        stages = range(schedule.stages[value] + 1, pipeline.last.get(value, 0) + 1)
        names += [f"v{value}_s{stage}" for stage in stages]
        for name in names:
            if name in seen and seen[name] != code:
                made = "an input" if op.opcode == INPUT else layers[pipeline.traced.owners[value]]
                return (
                    f"the first wrong signal is {design.top}.{name} ({made}, pipeline stage "
                    f"{schedule.stages[value]}): code {seen[name]} in place of {code}"
                )
    return "every signal inside is right: an output is connected wrongly"


def last_values(waveform: Path, top: str) -> dict[str, int]:
    """Return the last value of each signal directly in module `top` of a VCD file.

    Signals with bits that are neither 0 nor 1 are left out.
    """
    names: dict[str, list[str]] = {}
    scopes: list[str] = []
    values: dict[str, int] = {}
    with waveform.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("$scope"):
                scopes.append(line.split()[2])
            elif line.startswith("$upscope"):
                scopes.pop()
            elif (found := _VARIABLE.match(line.strip())) and scopes[-1:] in ([top], ["dut"]):
                names.setdefault(found[2], []).append(found[3])
            elif line[:1] == "b":
                bits, identifier = line[1:].split()
                _keep(values, names.get(identifier, []), bits)
            elif line[:1] in "01xz" and line.strip():
                _keep(values, names.get(line[1:].strip(), []), line[0])
    return values


def _keep(values: dict[str, int], names: list[str], bits: str) -> None:
    for name in names:
        if set(bits) <= {"0", "1"}:
            values[name] = int(bits, 2)
        else:
            values.pop(name, None)
