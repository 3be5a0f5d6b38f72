"""From figures of nodes to figures of a design."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from qapflow.estimate.latency import positions, window_wait
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Clip, Concat, Flip, Pad, Transpose, Upsample
from qapflow.plan import Plan
from qapflow.report.figures import FIGURES, Figure, Source

WIRING = (Clip, Concat, Flip, Pad, Transpose, Upsample)
MODULE_CYCLES = 0.87  # the pipeline register between modules: median over 50 csynth reports

Bound = Callable[[Figure], float]


def total(
    net: Net,
    plan: Plan,
    figures: Mapping[str, Mapping[str, Figure]],
    correlation: float = 0.5,
) -> tuple[tuple[str, Figure], ...]:
    """Add up figures of nodes in the order of `FIGURES`: sums, longest path, slowest interval.

    A figure that some node lacks has no total. Errors of nodes of one design are correlated as
    measured (0: they average out, 1: they add up).

    io_parallel: latencies along the longest path, plus 0.87 cycles a module. io_stream: modules
    overlap, so the slowest interval counts once and each module on the path adds its pipeline
    depth and the pixels its window waits for.
    """
    rows: list[tuple[str, Figure]] = []
    whole = [name for name in FIGURES if all(name in row for row in figures.values())]
    for name in whole:
        if name == "latency_cycles":
            if "ii_cycles" in whole:
                interval = _interval(net, plan, figures)
                rows.append((name, _latency(net, plan, figures, interval)))
        elif name == "ii_cycles":
            rows.append((name, _interval(net, plan, figures)))
        else:
            rows.append((name, _sum(name, figures, correlation)))
    return tuple(rows)


def _value(figure: Figure) -> float:
    return figure.value


def _low(figure: Figure) -> float:
    return figure.value if figure.low is None else figure.low


def _high(figure: Figure) -> float:
    return figure.value if figure.high is None else figure.high


def _notes(figures: list[Figure]) -> str:
    notes = sorted({note for figure in figures for note in figure.note.split("; ") if note})
    return "; ".join(notes)


def _sum(name: str, figures: Mapping[str, Mapping[str, Figure]], correlation: float) -> Figure:
    column = [row[name] for row in figures.values()]
    value = sum(map(_value, column))
    below = _spread([figure.value - _low(figure) for figure in column], correlation)
    above = _spread([_high(figure) - figure.value for figure in column], correlation)
    low, high = float(math.floor(value - below)), float(math.ceil(value + above))
    return Figure(value, name, Source.ESTIMATE, max(low, 0.0), high, _notes(column))


def _spread(widths: list[float], correlation: float) -> float:
    """Return the half-width of a sum of figures whose errors have one correlation."""
    together = correlation * sum(widths) ** 2
    return math.sqrt(together + (1 - correlation) * sum(width**2 for width in widths))


def _interval(net: Net, plan: Plan, figures: Mapping[str, Mapping[str, Figure]]) -> Figure:
    """Return the interval of the design; io_parallel without shared logic takes 1."""
    column = [row["ii_cycles"] for row in figures.values()]
    worst = [max(map(bound, column), default=1.0) for bound in (_value, _low, _high)]
    slowest = max(column, key=_value, default=None)
    note = slowest.note if slowest else ""
    return Figure(worst[0], "cycles", Source.ESTIMATE, worst[1], worst[2], note)


def _latency(
    net: Net, plan: Plan, figures: Mapping[str, Mapping[str, Figure]], interval: Figure
) -> Figure:
    values = [
        round(_longest(net, plan, figures, bound) + bound(interval) * (plan.io_type == "io_stream"))
        for bound in (_value, _low, _high)
    ]
    column = [row["latency_cycles"] for row in figures.values()]
    return Figure(values[0], "cycles", Source.ESTIMATE, values[1], values[2], _notes(column))


def _longest(
    net: Net, plan: Plan, figures: Mapping[str, Mapping[str, Figure]], bound: Bound
) -> float:
    arrival: dict[str, float] = {}
    for node in net.nodes:
        start = max((arrival[name] for name in node.inputs), default=0.0)
        row = figures.get(node.name)
        arrival[node.name] = start + (_step(net, node, plan, row, bound) if row else 0.0)
    return max((arrival[name] for name in net.outputs), default=0.0)


def _step(net: Net, node: Node, plan: Plan, row: Mapping[str, Figure], bound: Bound) -> float:
    latency, interval = bound(row["latency_cycles"]), bound(row["ii_cycles"])
    module = 0.0 if isinstance(node.op, WIRING) else MODULE_CYCLES
    if plan.io_type == "io_parallel":
        return latency + module
    source = net.edge(node.inputs[0])
    wait = window_wait(node, source) * interval / max(positions(source), 1)
    return max(latency - interval, 0.0) + wait + module
