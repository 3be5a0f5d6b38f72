"""Limits that a user set, checked against the figures; each miss names the layer to blame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qapflow.report.figures import (
    KERAS_BUDGET,
    Budget,
    Comparison,
    Figure,
    LayerReport,
    Report,
)
from qapflow.report.headroom import best_figures, board_percent
from qapflow.steps.settings import Budgets

Convert = Callable[[float], float]


def check_budgets(budgets: Budgets, report: Report) -> tuple[Budget, ...]:
    """Return one row for each limit that is set. What is not known is not met."""
    target = report.target

    def percent(value: float) -> float:
        return board_percent(target, "lut", value)

    def time_ns(value: float) -> float:
        return value * report.clock_ns

    limits: tuple[tuple[str, float | None, str, Convert], ...] = (
        (f"LUT of {target.name}, percent", budgets.max_lut_percent, "lut", percent),
        ("DSP", budgets.max_dsp, "dsp", float),
        ("latency, ns", budgets.max_latency_ns, "latency_cycles", time_ns),
    )
    best = best_figures(report.totals)
    rows = [
        _row(title, limit, best.get(name), convert, _largest(report.layers, name))
        for title, limit, name, convert in limits
        if limit is not None
    ]
    if budgets.max_mismatch is not None:
        rows.append(_mismatch(budgets.max_mismatch, report.comparisons))
    return tuple(rows)


def _row(name: str, limit: float, used: Figure | None, convert: Convert, culprit: str) -> Budget:
    """Hold a figure, converted to the limit's unit, against the limit."""
    if used is None:
        return Budget(name, float(limit), None, met=False, culprit=culprit, source="no figure")
    actual, source = convert(used.value), used.source.value
    met = actual <= limit
    if met and used.high is not None and convert(used.high) > limit:
        source += f", could reach {convert(used.high):,.4g}"
    return Budget(name, float(limit), actual, met, "" if met else culprit, source)


def _largest(layers: Sequence[LayerReport], name: str) -> str:
    costs = [(layer.figures[name].value, layer) for layer in layers if name in layer.figures]
    value, layer = max(costs, key=lambda pair: pair[0], default=(0.0, None))
    if layer is None or not value:
        return ""
    unit = "cycles" if name == "latency_cycles" else name.upper()
    return f"{layer.name} ({layer.class_name or layer.op}, {value:,.0f} {unit})"


def _mismatch(limit: int, comparisons: Sequence[Comparison]) -> Budget:
    name = KERAS_BUDGET
    keras = [c for c in comparisons if "keras" in f"{c.left} {c.right}".lower()]
    ran = [c for c in keras if c.verdict != "not run"]
    if not ran:
        why = "; ".join(c.note for c in keras if c.note) or "Keras was not run"
        return Budget(name, float(limit), None, met=False, culprit=why, source="not run")
    worst = max(ran, key=lambda c: c.mismatches)
    met = worst.mismatches <= limit
    culprit = worst.first.layer if worst.first and not met else ""
    return Budget(
        name, float(limit), float(worst.mismatches), met, culprit, f"{worst.samples:,} samples"
    )
