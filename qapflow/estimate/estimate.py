"""From a network, its plan and a board to figures of each node and of the whole design."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from qapflow.estimate.calibration import Calibration, current
from qapflow.estimate.compose import total
from qapflow.estimate.elements import (
    elements_of,
    estimate_elements,
    estimate_tables,
    tables_of,
)
from qapflow.estimate.interval import exact, judged
from qapflow.estimate.latency import plain_cycles
from qapflow.estimate.matrix import Row, estimate_matrix
from qapflow.estimate.module import STANDS_IN, family_group
from qapflow.estimate.plain import fifo_cost, plain_cost
from qapflow.estimate.preflight import Risk, preflight
from qapflow.estimate.stages import later_stages
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Conv, Dense, Input, Reshape, Scan
from qapflow.plan import Plan, inside
from qapflow.report.figures import Figure
from qapflow.target import Target

Estimates = dict[str, dict[str, Figure]]
Totals = tuple[tuple[str, Figure], ...]

_TITLES = {"lut": "LUT", "ff": "FF", "latency_cycles": "latency", "ii_cycles": "interval"}

# How far beyond the calibrated clocks an estimate is still made (wider): factors of the period.
FASTEST, SLOWEST = 0.4, 4.0


@dataclass(frozen=True)
class Figures:
    """Estimates of a design: csynth figures by node and in total, and later stages in total.

    A figure without reports behind it is left out; `missing` says which, and why. `risks` are
    layers that the tools will not finish.
    """

    layers: Estimates
    totals: Totals
    stages: dict[str, Totals] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    risks: tuple[Risk, ...] = ()
    calibration: str = ""


def is_hardware(node: Node) -> bool:
    """Tell whether a node becomes hardware of its own."""
    return not isinstance(node.op, Input | Reshape)


def estimate(
    net: Net, plan: Plan, target: Target, calibration: Calibration | None = None
) -> Figures:
    """Estimate every hardware node: latency_cycles, ii_cycles, lut, ff, dsp, bram18, uram.

    All figures are `Source.ESTIMATE` of what C synthesis would report, with an interval
    meant to hold 90 % of designs never seen; a note says where it is wider or judged, and why.
    """
    calibration = calibration or current()
    if reason := refuse(plan, target, calibration):
        said = (f"no estimate: {reason}",)
        return Figures({}, (), {}, said, preflight(net, plan, calibration), calibration.version)
    layers, missing = _layers(net, plan, target, calibration)
    totals = total(net, plan, layers, float(calibration.facts.get("correlation", 0.5)))
    stages = later_stages(totals, plan, target, calibration)
    risks = preflight(net, plan, calibration)
    reasons = tuple(dict.fromkeys(missing))
    return Figures(layers, totals, stages, reasons, risks, calibration.version)


def refuse(plan: Plan, target: Target, calibration: Calibration) -> str:
    """Return why there is no estimate at all for a part and a clock, "" where there is one."""
    group = family_group(target.family)
    if not group:
        return f"no report covers parts of the family {target.family!r}"
    fastest, slowest = calibration.clocks(plan.backend, STANDS_IN.get(group, group))
    if fastest and not FASTEST * fastest <= plan.clock_ns <= SLOWEST * slowest:
        return (
            f"a clock of {plan.clock_ns:g} ns is out of range: reports of {group} parts with "
            f"{plan.backend} have {fastest:g} to {slowest:g} ns"
        )
    return ""


def _layers(
    net: Net, plan: Plan, target: Target, calibration: Calibration
) -> tuple[Estimates, list[str]]:
    layers: Estimates = {}
    missing: list[str] = []
    for node in net.nodes:
        if isinstance(node.op, Scan):
            inner, reasons = _loop(net, node, node.op, plan, target, calibration)
            layers |= inner
            missing += reasons
        elif isinstance(node.op, Dense | Conv):
            layers[node.name], reason = estimate_matrix(net, node, plan, target, calibration)
            lacking = [title for name, title in _TITLES.items() if name not in layers[node.name]]
            missing += [f"no {' and '.join(lacking)} for {node.name}: {reason}"] if reason else []
        elif is_hardware(node):
            layers[node.name] = _plain(net, node, plan, target, calibration)
    return layers, missing


def _plain(net: Net, node: Node, plan: Plan, target: Target, calibration: Calibration) -> Row:
    """Return the figures of a node without weights: calibrated, exact wires, or counted bits."""
    if (module := elements_of(net, node, plan, target)) is not None:
        row = estimate_elements(module, calibration)
        if row is not None:
            return _with_fifo(row, node, plan, module.family)
    tables = tables_of(node, net.edge(node.inputs[0]), plan, target)
    calibrated = estimate_tables(tables, calibration) if tables else {}
    return _judged(net, node, plan, target) | calibrated


def _judged(net: Net, node: Node, plan: Plan, target: Target) -> Row:
    sources = tuple(net.edge(name) for name in node.inputs)
    cost = plain_cost(node, sources, plan.io_type)
    cycles = plain_cycles(node, sources, plan, target)
    stream = plan.io_type == "io_stream"
    what = f"{cost.kind}, io_stream" if stream else cost.kind
    note = f"uncalibrated for {plan.backend} on {family_group(target.family)}: {what}"
    if cost.kind == "wiring" and not stream:
        zeros = {name: exact(0, name) for name in (*cost.amounts, "uram")}
        return {"latency_cycles": exact(0, "cycles"), "ii_cycles": exact(1, "cycles"), **zeros}
    pace = exact(1, "cycles") if cycles.interval <= 1 else judged(cycles.interval, "cycles", note)
    row = {"latency_cycles": judged(cycles.latency, "cycles", note), "ii_cycles": pace}
    fifo = fifo_cost(node.out).amounts if stream else {}
    for name, amount in cost.amounts.items():
        row[name] = judged(amount + fifo.get(name, 0.0), name, note)
    row["uram"] = exact(0, "uram")
    return row


def _with_fifo(row: Row, node: Node, plan: Plan, family: str) -> Row:
    """Add the stream behind a calibrated node: no report tells its cost apart."""
    if plan.io_type != "io_stream":
        return row
    note = f"uncalibrated for {plan.backend} on {family}: fifo"
    for name, amount in fifo_cost(node.out).amounts.items():
        own, fifo = row[name], judged(amount, name, note)
        row[name] = replace(
            own,
            value=own.value + fifo.value,
            low=(own.low or 0.0) + (fifo.low or 0.0),
            high=(own.high or 0.0) + (fifo.high or 0.0),
            note="; ".join(filter(None, (own.note, fifo.note))),
        )
    return row


def _loop(
    net: Net, node: Node, op: Scan, plan: Plan, target: Target, calibration: Calibration
) -> tuple[Estimates, list[str]]:
    """Estimate the body, named `loop/node`, and the loop: one step after the other, and registers.

    Nothing of a step can start before the states of the last one are there.
    """
    inner = inside(plan, node.name)
    body, missing = _layers(op.body, inner, target, calibration)
    figures: Row = {}
    step = dict(total(op.body, inner, body)).get("latency_cycles")
    if step is not None:
        turns = net.edge(node.inputs[0]).shape[0]
        cycles = replace(
            step,
            value=turns * (step.value + 1),
            low=turns * ((step.low or 0.0) + 1),
            high=None if step.high is None else turns * (step.high + 1),
            note="; ".join(filter(None, (step.note, "uncalibrated for loops over time"))),
        )
        figures = {"latency_cycles": cycles, "ii_cycles": cycles}
    kept = sum(part.out.type.width * math.prod(part.out.shape) for part in op.body.inputs)
    amounts = {"lut": 0.0, "ff": 2.0 * kept, "dsp": 0.0, "bram18": 0.0}
    if plan.io_type == "io_stream":
        amounts = {key: amounts[key] + value for key, value in fifo_cost(node.out).amounts.items()}
    for name, amount in amounts.items():
        figures[name] = judged(amount, name, "uncalibrated for loops over time")
    figures["uram"] = exact(0, "uram")
    inner_rows = {f"{node.name}/{name}": row for name, row in body.items()}
    return inner_rows | {node.name: figures}, [f"{node.name}: {reason}" for reason in missing]
