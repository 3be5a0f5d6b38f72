"""Limits that a user set, checked against the figures; each miss names the layer to blame."""

from __future__ import annotations

from collections.abc import Sequence

from qapflow.report.figures import Budget, Comparison, Figure, LayerReport, Report
from qapflow.report.headroom import best_figures, board_percent
from qapflow.settings import Budgets


def check_budgets(budgets: Budgets, report: Report) -> tuple[Budget, ...]:
    """Return one row for each limit that is set. What is not known is not met."""
    layers, target = report.layers, report.target
    best = best_figures(report.totals)
    rows = []
    if budgets.max_lut_percent is not None:
        used = best.get("lut")
        actual = None if used is None else board_percent(target, "lut", used.value)
        name = f"LUT of {target.name}, percent"
        rows.append(_row(name, budgets.max_lut_percent, actual, used, _largest(layers, "lut")))
    if budgets.max_dsp is not None:
        used = best.get("dsp")
        actual = None if used is None else used.value
        rows.append(_row("DSP", budgets.max_dsp, actual, used, _largest(layers, "dsp")))
    if budgets.max_latency_ns is not None:
        used = best.get("latency_cycles")
        actual = None if used is None else used.value * report.clock_ns
        slowest = _largest(layers, "latency_cycles")
        rows.append(_row("latency, ns", budgets.max_latency_ns, actual, used, slowest))
    if budgets.max_mismatch is not None:
        rows.append(_mismatch(budgets.max_mismatch, report.comparisons))
    return tuple(rows)


def _row(
    name: str, limit: float, actual: float | None, used: Figure | None, culprit: str
) -> Budget:
    source = used.source.value if used else "no figure"
    met = actual is not None and actual <= limit
    return Budget(name, float(limit), actual, met, "" if met else culprit, source)


def _largest(layers: Sequence[LayerReport], name: str) -> str:
    costs = [(layer.figures[name].value, layer) for layer in layers if name in layer.figures]
    value, layer = max(costs, key=lambda pair: pair[0], default=(0.0, None))
    if layer is None or not value:
        return ""
    unit = "cycles" if name == "latency_cycles" else name.upper()
    return f"{layer.name} ({layer.class_name or layer.op}, {value:,.0f} {unit})"


def _mismatch(limit: int, comparisons: Sequence[Comparison]) -> Budget:
    name = "values that differ from Keras"
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
