"""Where every bar of the HTML report's plots goes: geometry only, drawn by a template.

Coordinates are pixels of a drawing `WIDTH` wide; `LEFT` holds layer names, `RIGHT` values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qapflow.estimate.compose import MODULE_CYCLES
from qapflow.ir.fixed import Fixed
from qapflow.report import words
from qapflow.report.figures import LayerReport, Report
from qapflow.report.headroom import GUIDE_PERCENT, origin

WIDTH, LEFT, RIGHT = 1100, 170, 330
SPAN = WIDTH - LEFT - RIGHT
COLOURS = 8  # layers with a colour of their own; the rest is grey


@dataclass(frozen=True)
class Bar:
    """A rectangle from `x`, `width` wide; `kind` is its CSS class, `title` its tooltip."""

    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True)
class Row:
    """One line of a plot: name, bars, value at the right, and marks (x, class, title)."""

    label: str
    bars: tuple[Bar, ...]
    value: str
    detail: str = ""
    marks: tuple[tuple[float, str, str], ...] = ()
    whisker: tuple[float, float] | None = None


@dataclass(frozen=True)
class Plot:
    """Rows above an axis; `ticks` are (x, text), `legend` is (class, text)."""

    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    legend: tuple[tuple[str, str], ...] = ()
    note: str = ""


def scale(value: float, limit: float) -> float:
    """Return the x of a value on an axis from 0 to `limit`."""
    return round(LEFT + SPAN * min(max(value / limit, 0.0), 1.0), 2) if limit else float(LEFT)


def nice_limit(value: float) -> float:
    """Return the end of an axis: the next of 1, 2, 4, 8, 10 ... at or above `value`."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((s * power for s in (1.0, 2.0, 4.0, 8.0) if value <= s * power), 10.0 * power)


def axis(limit: float, unit: str = "") -> tuple[tuple[float, str], ...]:
    """Return five ticks of an axis from 0 to `limit`."""
    steps = [limit * part / 4 for part in range(5)]
    return tuple((scale(step, limit), f"{step:g}{unit}") for step in steps)


def colour_layers(report: Report) -> dict[str, str]:
    """Return a CSS class by layer: colours for the largest users of any resource."""
    totals = {usage.name: usage.figure.value for usage in words.usages(report)}
    weight = {
        layer.name: max((_part(layer, name, totals[name]) for name in totals), default=0.0)
        for layer in report.layers
    }
    largest = sorted((n for n in weight if weight[n] > 0), key=lambda n: -weight[n])[:COLOURS]
    shown = [layer.name for layer in report.layers if layer.name in largest]
    return {name: f"c{place}" for place, name in enumerate(shown)}


def _part(layer: LayerReport, name: str, total: float) -> float:
    return layer.figures[name].value / total if total and name in layer.figures else 0.0


def resource_plot(report: Report) -> Plot:
    """Stack the layers of each resource, in percent of the board, with SLR and guide limits."""
    usages = [u for u in words.usages(report) if math.isfinite(u.board)]
    peak = max((_high_percent(u) for u in usages), default=0.0)
    limit = nice_limit(max(peak, 0.5))
    limit = 100.0 if 60 < limit <= 100 else limit
    colours = colour_layers(report)
    slr = 100.0 / max(report.target.slrs, 1)
    rows = tuple(_resource_row(report, usage, colours, limit, slr) for usage in usages)
    legend = [(kind, name) for name, kind in colours.items()]
    costly = [x for x in report.layers if any(_part(x, u.name, 1.0) for u in usages)]
    if len(costly) > len(colours):
        legend.append(("rest", words.plural(len(costly) - len(colours), "other node")))
    note = "" if slr <= limit else f"one SLR ends at {slr:.1f} %, beyond this axis"
    return Plot(rows, axis(limit, " %"), tuple(legend), note if report.target.slrs > 1 else "")


def _high_percent(usage: words.Usage) -> float:
    high = usage.figure.high
    if high is None or not usage.figure.value:
        return usage.board
    return usage.board * max(high / usage.figure.value, 1.0)


def _resource_row(
    report: Report, usage: words.Usage, colours: dict[str, str], limit: float, slr: float
) -> Row:
    figure = usage.figure
    marks: list[tuple[float, str, str]] = []
    if slr <= limit and report.target.slrs > 1:
        marks.append((scale(slr, limit), "slr", f"one of {report.target.slrs} SLRs"))
    guide = GUIDE_PERCENT[usage.name]
    if guide <= limit:
        marks.append((scale(guide, limit), "guide", f"guide limit {guide:.0f} %"))
    whisker = None
    if figure.low is not None and words.span(figure) and figure.value:
        ends = (usage.board * figure.low / figure.value, _high_percent(usage))
        whisker = (scale(ends[0], limit), scale(ends[1], limit))
    detail = " · ".join(filter(None, (words.span(figure, "short"), origin(figure))))
    value = f"{words.count(figure.value)} = {words.share(usage.board)}"
    bars = _stack(report, usage, colours, limit)
    return Row(usage.title, bars, value, detail, tuple(marks), whisker)


def _stack(
    report: Report, usage: words.Usage, colours: dict[str, str], limit: float
) -> tuple[Bar, ...]:
    parts = [(x, x.figures[usage.name].value) for x in report.layers if usage.name in x.figures]
    known = sum(value for _, value in parts)
    if not known:
        end = round(scale(usage.board, limit) - LEFT, 2)
        return (Bar(float(LEFT), end, "rest", "not known by layer"),) if usage.board else ()
    bars, at = [], 0.0
    for layer, value in sorted(parts, key=lambda part: part[0].name not in colours):
        share = usage.board * value / known
        if share:
            kind = colours.get(layer.name, "rest")
            title = f"{layer.name}: {words.count(value)} {usage.title}, {words.share(share)}"
            x = scale(at, limit)
            bars.append(Bar(x, round(scale(at + share, limit) - x, 2), kind, title))
            at += share
    return tuple(bars)


def latency_plot(report: Report) -> Plot | None:
    """Draw the layers in time: one after another, or side by side for streams."""
    timed = [x for x in report.layers if "latency_cycles" in x.figures]
    streams = report.io_type == "io_stream"
    slowest = max((_cycles(x, "ii_cycles") for x in timed), default=0.0)
    start: dict[str, float] = {}
    rows, end = [], 0.0
    for layer in timed:
        cycles = _cycles(layer, "latency_cycles")
        begin = (
            0.0 if streams else max((start.get(name, 0.0) for name in layer.inputs), default=0.0)
        )
        start[layer.name] = begin + cycles
        end = max(end, begin + cycles)
        if cycles:
            rows.append((layer, begin, cycles))
    if not rows:
        return None
    limit = nice_limit(end)
    drawn = tuple(_time_row(report, x, begin, cycles, limit, slowest) for x, begin, cycles in rows)
    hidden = len(timed) - len(rows)
    notes = [f"{words.plural(hidden, 'node')} of 0 cycles not drawn"] if hidden else []
    if not streams:
        notes.append(f"the total adds {MODULE_CYCLES} cycles of registers a module")
    clock = report.clock_ns
    ticks = tuple((x, f"{text} = {float(text) * clock:g} ns") for x, text in axis(limit))
    kinds = (("time", "layer"), ("slow", "layer with the longest interval"))
    mixed = any(row.bars[0].kind == "slow" for row in drawn)
    return Plot(drawn, ticks, kinds if mixed else (), "; ".join(notes))


def _cycles(layer: LayerReport, name: str) -> float:
    return layer.figures[name].value if name in layer.figures else 0.0


def _time_row(
    report: Report, layer: LayerReport, begin: float, cycles: float, limit: float, slowest: float
) -> Row:
    figure = layer.figures["latency_cycles"]
    interval = _cycles(layer, "ii_cycles")
    kind = "slow" if slowest > 1 and interval == slowest else "time"
    x = scale(begin, limit)
    ns = words.count(round(cycles * report.clock_ns, 1))
    title = f"{layer.name}: {words.count(cycles)} cycles, {ns} ns, from cycle {words.count(begin)}"
    bar = Bar(x, max(round(scale(begin + cycles, limit) - x, 2), 2.0), kind, title)
    detail = " · ".join(filter(None, (words.span(figure, "short"), origin(figure))))
    value = f"{words.plural(round(cycles), 'cycle')}, II {words.count(interval)}"
    return Row(layer.name, (bar,), value, detail)


def range_plot(
    rows: Sequence[tuple[str, str, str, tuple[float, float] | None, tuple[float, float] | None]],
) -> Plot | None:
    """Compare ranges with types on an axis of bits: (name, type, remark, proved, observed)."""
    kinds = [(Fixed.parse(kind), *row) for row in rows for kind in [row[1]]]
    if not kinds:
        return None
    low = min(-kind.frac for kind, *_ in kinds)
    high = max(kind.width - kind.signed - kind.frac for kind, *_ in kinds)
    high = max(high, low + 1)

    def place(bits: float) -> float:
        return scale(bits - low, high - low)

    drawn = []
    for kind, name, text, remark, proved, observed in kinds:
        top = kind.width - kind.signed - kind.frac
        ends = (place(-kind.frac), place(max(top, -kind.frac + 0.5)))
        bars = [Bar(ends[0], round(ends[1] - ends[0], 2), "type", f"{name}: type {text}")]
        for low_high, css, word in ((proved, "proved", "proved"), (observed, "seen", "observed")):
            if low_high and max(map(abs, low_high)) > 0:
                reach = place(min(max(_bits(low_high), -kind.frac + 0.2), top))
                title = f"{name}: {word} {words.range_text(low_high)}"
                bars.append(Bar(ends[0], round(reach - ends[0], 2), css, title))
        detail = words.range_text(observed or proved)
        marks = ((ends[1], "clip", f"{name} {remark} on some inputs"),) if remark else ()
        value = text + (f" {remark}" if remark else "")
        drawn.append(Row(name, tuple(bars), value, detail, marks))
    step = max(1, math.ceil((high - low) / 8))
    ticks = tuple((place(bit), _power(bit)) for bit in range(low, high + 1, step))
    return Plot(tuple(drawn), ticks)


def _bits(low_high: tuple[float, float]) -> float:
    return math.log2(max(abs(low_high[0]), abs(low_high[1])))


def _power(bits: int) -> str:
    return f"{2.0**bits:g}" if -4 <= bits <= 12 else f"2^{bits}"


def activation_plot(report: Report) -> Plot | None:
    """Return ranges of what flows between layers; bounds inside an activation are left out."""
    origin = {x.name: x.origin for x in report.layers}
    inner = {name for x in report.layers for name in x.inputs if origin.get(name) == x.origin}
    return range_plot(
        [
            (x.name, x.output_type, x.can_overflow, x.value_range, x.observed_range)
            for x in report.layers
            if not (x.op == "Clip" and x.name in inner)
        ]
    )


def weight_plot(report: Report) -> Plot | None:
    """Return ranges of the weights."""
    return range_plot(
        [(x.name, x.weight_type, "", None, x.weight_range) for x in report.layers if x.weight_type]
    )


def sparsity_plot(report: Report) -> Plot | None:
    """Return zeros in the file, after quantization, and removed in hardware, in percent."""
    rows = []
    for row in report.ledger:
        shares = (
            ("float", "zero in the file", row.zeros_float, row.weights),
            ("quantized", "zero after quantization", row.zeros_quantized, row.weights),
            (
                "hardware",
                "multiplications removed",
                row.multiplications_removed,
                row.multiplications,
            ),
        )
        bars = tuple(
            Bar(
                LEFT,
                round(scale(100 * part / whole, 100) - LEFT, 2),
                kind,
                f"{row.layer}: {name} {words.ratio(part, whole)}",
            )
            for kind, name, part, whole in shares
            if whole
        )
        removed = words.ratio(row.multiplications_removed, row.multiplications)
        warn = ((float(LEFT), "warn", row.warning),) if row.warning else ()
        rows.append(
            Row(row.layer, bars, f"{removed} removed", words.plural(row.weights, "weight"), warn)
        )
    return Plot(tuple(rows), axis(100, " %")) if rows else None
