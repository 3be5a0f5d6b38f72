"""How numbers, shapes and verdicts are worded, the same in every rendering."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from qapflow.report.figures import Accuracy, Budget, Comparison, Figure, LayerReport, Report, Source
from qapflow.report.headroom import best_figures, board_percent, slr_percent

UNITS = {
    "latency_cycles": "latency",
    "ii_cycles": "interval",
    "lut": "LUT",
    "ff": "FF",
    "dsp": "DSP",
    "bram18": "BRAM18",
    "uram": "URAM",
}
RESOURCES = ("lut", "ff", "dsp", "bram18", "uram")
COSTS = ("latency_cycles", "ii_cycles", *RESOURCES)


def printable(text: str) -> str:
    """Return text on one line without control characters: names come from files."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def clip(text: str, length: int) -> str:
    """Return text on one line, its middle left out where it is longer than `length`."""
    text = printable(text)
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def count(value: float) -> str:
    """Return a number with thousands separated: 12,345 or 0.5."""
    if not math.isfinite(value):
        return "unbounded"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def short(value: float) -> str:
    """Return a number in at most 5 characters: 999 or 1.5k or 12.3k or 123k or 1.2M."""
    if abs(value) < 1000:
        return count(value)
    for limit, factor, suffix in ((1e6, 1e3, "k"), (1e9, 1e6, "M")):
        if abs(value) < limit:
            scaled = value / factor
            return f"{scaled:.1f}{suffix}" if abs(scaled) < 99.95 else f"{scaled:.0f}{suffix}"
    return f"{value:.1e}"


def real(value: float) -> str:
    """Return a real value with four significant digits."""
    return f"{value:.4g}"


def share(percent: float) -> str:
    """Return percent for reading: 3.1 %, < 0.1 %, or "none" where the board has none."""
    if not math.isfinite(percent):
        return "has none"
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %"


def ratio(part: int, whole: int) -> str:
    """Return part of whole in percent."""
    return share(100.0 * part / whole) if whole else "-"


def span(figure: Figure, form: str = "full") -> str:
    """Return "low to high" of a figure that has an interval, else ""."""
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return ""
    write = short if form == "short" else count
    return f"{write(figure.low)} to {write(figure.high)}"


def shape_text(shape: Iterable[int]) -> str:
    """Return 16 × 16 × 3, or "scalar"."""
    return " × ".join(map(str, shape)) or "scalar"


def range_text(low_high: tuple[float, float] | None) -> str:
    """Return [low, high] in real values, or "" when unknown."""
    return f"[{real(low_high[0])}, {real(low_high[1])}]" if low_high else ""


def built_as(layer: LayerReport) -> str:
    """Return strategy and reuse factor, "" for layers without a choice."""
    if not layer.strategy:
        return ""
    strategy = layer.strategy.replace("distributed_arithmetic", "distr. arith.")
    return f"{strategy}, {'written out' if layer.written_out else f'RF {layer.reuse_factor}'}"


def plural(number: int, noun: str) -> str:
    """Return "1 layer" or "2,000 layers"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


@dataclass(frozen=True)
class Verdict:
    """The report in one line."""

    state: Literal["passed", "failed", "unverified"]
    headline: str
    detail: str


def judge(report: Report) -> Verdict:
    """Return the verdict: failed, passed, or nothing was compared."""
    different = [c for c in report.comparisons if c.verdict == "different"]
    missed = [b for b in report.budgets if not b.met]
    equal = [c for c in report.comparisons if c.verdict == "equal"]
    if different:
        worst = different[0]
        detail = f"{worst.mismatches:,} of {worst.values:,} values differ"
        return Verdict("failed", f"{worst.left} and {worst.right} differ", detail)
    parties = " = ".join(_parties(equal))
    samples = plural(min((c.samples for c in equal), default=0), "sample")
    if missed:
        names = "; ".join(f"{b.name}: {budget_text(b)}" for b in missed)
        verified = f". Verified: {parties}, bit for bit on {samples}" if equal else ""
        return Verdict("failed", f"{plural(len(missed), 'budget')} not met", names + verified)
    if not equal:
        return Verdict("unverified", "Built, not verified", "no comparison was run")
    values = plural(sum(c.values for c in equal), "value")
    return Verdict("passed", parties, f"bit for bit on {samples}, {values} compared")


def _parties(equal: list[Comparison]) -> list[str]:
    """Return who agrees, Keras first; comparisons of the network with itself go without saying."""
    names = list(dict.fromkeys(name for c in equal for name in (c.left, c.right)))
    outer = [name for name in names if not name.startswith("network ")] or names
    outer = [name for name in outer if not name.endswith(", sanitized")]  # counts, not values
    return sorted(outer, key=lambda name: "keras" not in name.lower())


def budget_text(budget: Budget) -> str:
    """Return "105 of at most 100", and the layer to blame."""
    actual = "unknown" if budget.actual is None else count(round(budget.actual, 1))
    text = f"{actual} of at most {count(budget.limit)}"
    return text + (f" ({budget.culprit})" if budget.culprit else "")


def regime_text(report: Report) -> str:
    """Return what the regime of the whole network means, with the layers that chose."""
    if report.regime == "exact":
        return "exact: every layer computes what the model computes, bit for bit"
    chosen = list(dict.fromkeys(x.origin for x in report.layers if x.regime == "chosen"))
    names = ", ".join(chosen[:4]) + (f" and {len(chosen) - 4} more" if len(chosen) > 4 else "")
    where = f" in {names}" if names else ""
    return f"chosen: types were chosen{where}; there the network is the definition, not Keras"


def compared(comparison: Comparison) -> str:
    """Return what a comparison found, in one line."""
    if comparison.verdict == "not run":
        return f"not run{': ' + comparison.note if comparison.note else ''}"
    text = (
        f"{comparison.mismatches:,} of {comparison.values:,} values differ, "
        f"{plural(comparison.samples, 'sample')}"
    )
    if comparison.seconds:
        text += f", {comparison.seconds:.1f} s"
    return text + (f" ({comparison.note})" if comparison.note else "")


def first_difference(comparison: Comparison) -> str:
    """Return the first difference of a comparison in one sentence, "" without one."""
    first = comparison.first
    if first is None:
        return ""
    return (
        f"first at layer {first.layer}, edge {first.edge}, sample {first.sample}, element "
        f"{list(first.index)}: code {first.expected_code} ({real(first.expected)}) became "
        f"{first.actual_code} ({real(first.actual)}). {first.cause}"
    )


@dataclass(frozen=True)
class Usage:
    """One resource of the whole design, for tables and gauges."""

    name: str
    title: str
    figure: Figure
    board: float  # percent
    slr: float  # percent


def usages(report: Report) -> tuple[Usage, ...]:
    """Return the resources of the design, one figure each, of the furthest tool that ran."""
    best = best_figures(report.totals)
    target = report.target
    return tuple(
        Usage(
            name,
            UNITS[name],
            best[name],
            board_percent(target, name, best[name].value),
            slr_percent(target, name, best[name].value),
        )
        for name in RESOURCES
        if name in best
    )


def shows(layers: Iterable[LayerReport], name: str) -> bool:
    """Tell whether a figure is, or may be, above zero in some layer."""
    found = [layer.figures[name] for layer in layers if name in layer.figures]
    return any(figure.value or figure.high for figure in found)


def used(usage: Usage) -> str:
    """Return how many of a resource are used; BRAM18 also as BRAM36, two in one."""
    text = count(usage.figure.value)
    if usage.name == "bram18" and usage.figure.value:
        text += f" ({count(usage.figure.value / 2)} BRAM36)"
    return text


def by_source(report: Report) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return titles and rows of a table with a column for each source, empty for only one."""
    order = list(Source)
    sources = sorted({figure.source for _, figure in report.totals}, key=order.index)
    if len(sources) < 2:
        return (), ()
    cells = {(name, figure.source): count(figure.value) for name, figure in report.totals}
    names = dict.fromkeys(name for name, _ in report.totals)
    rows = [
        (UNITS.get(name, name), *(cells.get((name, source), "-") for source in sources))
        for name in names
        if any(figure.value for key, figure in report.totals if key == name)
    ]
    return ("", *(source.value for source in sources)), tuple(rows)


def latency_text(report: Report) -> str:
    """Return latency in cycles and ns with its source, "" when unknown."""
    figure = best_figures(report.totals).get("latency_cycles")
    if figure is None:
        return ""
    clock = report.clock_ns
    text = f"{count(figure.value)} cycles = {count(round(figure.value * clock, 1))} ns"
    if span(figure):
        low, high = figure.low or 0.0, figure.high or 0.0
        text += f" ({span(figure)} cycles, {count(round(low * clock, 1))} to "
        text += f"{count(round(high * clock, 1))} ns)"
    return text


def interval_text(report: Report) -> str:
    """Return how often a sample can enter, "" when unknown."""
    figure = best_figures(report.totals).get("ii_cycles")
    if figure is None or not figure.value:
        return ""
    rate = 1e3 / (figure.value * report.clock_ns)
    cycles = plural(round(figure.value), "cycle")
    amount = f"{rate:,.1f} million" if rate >= 1 else f"{rate * 1e3:,.1f} thousand"
    return f"every {cycles}: {amount} samples a second"


def accuracy_text(accuracy: Accuracy) -> str:
    """Return how far the network is from float Keras, in one line."""
    text = f"largest error {real(accuracy.max_abs_error)} on {plural(accuracy.samples, 'sample')}"
    if accuracy.argmax_agreement is not None:
        text += f", same class on {100 * accuracy.argmax_agreement:.2f} %"
    if accuracy.accuracy_net is not None:
        text += f", accuracy {100 * accuracy.accuracy_net:.2f} %"
        if accuracy.accuracy_keras is not None:
            text += f" (Keras {100 * accuracy.accuracy_keras:.2f} %)"
    return text


def estimate_notes(report: Report) -> tuple[str, ...]:
    """Return where estimates have no report of real tools behind them."""
    return note_estimates(figure for layer in report.layers for figure in layer.figures.values())


def note_estimates(figures: Iterable[Figure]) -> tuple[str, ...]:
    """Return the notes of estimates, each once, with everything it is said of."""
    notes = sorted({part for figure in figures for part in figure.note.split("; ") if part})
    kinds: dict[str, list[str]] = {}
    for note in notes:
        head, colon, kind = note.partition(": ")
        kinds.setdefault(head, []).extend([kind] if colon else [])
    return tuple(
        (f"estimates are {head}" if head.startswith("uncalibrated") else f"wider intervals: {head}")
        + (f" ({', '.join(sorted(parts))})" if parts else "")
        for head, parts in kinds.items()
    )
