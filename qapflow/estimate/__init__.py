"""Latency and resources of a network from formulas, before any tool has run."""

from __future__ import annotations

import math
from dataclasses import replace

from qapflow.estimate.compose import total
from qapflow.estimate.kernel import Kernel, describe
from qapflow.estimate.latency import (
    Cycles,
    is_fast,
    matrix_cycles,
    plain_cycles,
    tree_cycles,
)
from qapflow.estimate.plain import fifo_cost, line_buffer_cost, plain_cost, window_cost
from qapflow.estimate.resources import Cost, distributed_cost, latency_cost, resource_cost
from qapflow.estimate.spread import CALIBRATED_NS, EXACT, UNCALIBRATED, make_figure, spread_of
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Conv, Dense, Input, Reshape, Scan
from qapflow.plan import Choice, Plan, inside
from qapflow.report.figures import Figure
from qapflow.target import Target

__all__ = ["Estimates", "estimate", "is_hardware", "total"]

Estimates = dict[str, dict[str, Figure]]


def is_hardware(node: Node) -> bool:
    """Tell whether a node becomes hardware of its own."""
    return not isinstance(node.op, Input | Reshape)


def estimate(net: Net, plan: Plan, target: Target) -> Estimates:
    """Estimate every hardware node: latency_cycles, ii_cycles, lut, ff, dsp, bram18, uram.

    All figures are `Source.ESTIMATE` with an interval; a note says where no report covers a case.
    """
    figures: Estimates = {}
    for node in net.nodes:
        if isinstance(node.op, Scan):
            figures |= _estimate_loop(net, node, node.op, plan, target)
        elif is_hardware(node):
            figures[node.name] = _estimate_node(net, node, plan, target)
    return figures


def _estimate_loop(net: Net, node: Node, op: Scan, plan: Plan, target: Target) -> Estimates:
    """Estimate the body, named `loop/node`, and the loop: one step after the other, and registers.

    Nothing of a step can start before the states of the last one are there.
    """
    inner = inside(plan, node.name)
    body = estimate(op.body, inner, target)
    step = dict(total(op.body, inner, body))["latency_cycles"]
    turns = net.edge(node.inputs[0]).shape[0]
    cycles = replace(
        step,
        value=turns * (step.value + 1),
        low=turns * ((step.low or 0.0) + 1),
        high=None if step.high is None else turns * (step.high + 1),
        note="; ".join(filter(None, (step.note, "uncalibrated for loops over time"))),
    )
    kept = sum(part.out.type.width * math.prod(part.out.shape) for part in op.body.inputs)
    figures = {"latency_cycles": cycles, "ii_cycles": cycles}
    amounts = {"lut": 0.0, "ff": 2.0 * kept, "dsp": 0.0, "bram18": 0.0}
    if plan.io_type == "io_stream":
        amounts = {key: amounts[key] + value for key, value in fifo_cost(node.out).amounts.items()}
    for name, amount in amounts.items():
        figures[name] = make_figure(amount, name, UNCALIBRATED)
    figures["uram"] = make_figure(0, "uram", EXACT)
    return {f"{node.name}/{name}": row for name, row in body.items()} | {node.name: figures}


def _estimate_node(net: Net, node: Node, plan: Plan, target: Target) -> dict[str, Figure]:
    sources = tuple(net.edge(name) for name in node.inputs)
    tool = f"{plan.backend} on {target.family}"
    kernel = _kernel(node, sources)
    if kernel is None:
        cost, cycles = (
            plain_cost(node, sources, plan.io_type),
            plain_cycles(node, sources, plan, target),
        )
    else:
        choice = plan.choices.get(node.name, Choice("latency", 1))
        cycles = matrix_cycles(node, sources[0], kernel, plan=plan, target=target)
        cost = _matrix_cost(node, kernel, choice, plan, target)
    kind, part = _kind(node, cost.kind, plan)
    figures = _cycle_figures(cycles, kind, tool, exact=kernel is None, clock_ns=plan.clock_ns)
    extra = _wrapping_cost(node, sources, plan)
    for name, amount in cost.amounts.items():
        spread = spread_of(kind, name, tool, part)
        wrapping = sum(part.amounts[name] for part in extra)
        figures[name] = make_figure(amount + wrapping, name, spread)
    if cost.dsp_high > (figures["dsp"].high or 0):
        figures["dsp"] = replace(figures["dsp"], high=float(cost.dsp_high))
    figures["uram"] = make_figure(0, "uram", EXACT)
    return figures


def _kind(node: Node, kind: str, plan: Plan) -> tuple[str, str]:
    """Return what measured errors are looked up by, and the part of it that has none."""
    if isinstance(node.op, Conv):
        kind = f"convolution, {kind}"
    if plan.io_type == "io_parallel":
        return kind, ""
    if isinstance(node.op, Dense):
        return kind, "streams between layers"
    return f"{kind}, io_stream", ""


def _kernel(node: Node, sources: tuple[Edge, ...]) -> Kernel | None:
    if isinstance(node.op, Dense | Conv):
        return describe(node.op, sources[0].type.width, node.out.type.width)
    return None


def _matrix_cost(node: Node, kernel: Kernel, choice: Choice, plan: Plan, target: Target) -> Cost:
    tree = tree_cycles(kernel, plan, target)
    if choice.strategy == "distributed_arithmetic":
        return distributed_cost(kernel, tree)
    if choice.strategy == "resource" and choice.reuse_factor > 1:
        return resource_cost(kernel, choice.reuse_factor)
    return latency_cost(kernel, tree, is_fast(target))


def _wrapping_cost(node: Node, sources: tuple[Edge, ...], plan: Plan) -> list[Cost]:
    if plan.io_type != "io_stream":
        return [window_cost(sources[0], node.out, node.op)] if isinstance(node.op, Conv) else []
    extra = [fifo_cost(node.out)]
    if isinstance(node.op, Conv):
        extra.append(line_buffer_cost(sources[0], node.op.weight.codes.shape[:-2]))
    return extra


def _cycle_figures(
    cycles: Cycles, kind: str, tool: str, *, exact: bool, clock_ns: float
) -> dict[str, Figure]:
    """Return latency and interval; `exact`: a pipelined node takes a word each cycle."""
    cycle, slack = "cycles", spread_of(kind, "latency_cycles", tool)
    if kind == "latency UltraScale" and not CALIBRATED_NS[0] <= clock_ns <= CALIBRATED_NS[1]:
        slack = replace(UNCALIBRATED, note=f"uncalibrated for {tool}: latency at {clock_ns:g} ns")
    pace = EXACT if exact and cycles.interval == 1 else spread_of(kind, "ii_cycles", tool)
    return {
        "latency_cycles": make_figure(cycles.latency, cycle, slack, margin=1),
        "ii_cycles": make_figure(max(cycles.interval, 1), cycle, pace),
    }
