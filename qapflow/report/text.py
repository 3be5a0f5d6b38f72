"""The report as text, at most 100 columns wide, with colours if asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from qapflow.report import bisection, estimates, open_synthesis, overflow, words
from qapflow.report.console import to_text
from qapflow.report.figures import Figure, LayerReport, Report
from qapflow.report.headroom import best_figures, origin
from qapflow.report.parts import NAME, SHORT_NAME, add_row, make_table, say, section
from qapflow.report.words import printable

STYLES = {"passed": "bold green", "failed": "bold red", "unverified": "bold yellow"}
SHORT_TITLES = {**words.UNITS, "latency_cycles": "cycles", "ii_cycles": "II"}
MOST_ROWS = 16  # of the tables of overflow: the rest is in the JSON
RIGHT = ("spare bits", "spare", "of values")
MARKS = {"equal": "equal", "different": "DIFFERENT", "not run": "not run"}


def render_text(report: Report, *, color: bool = False, width: int = 100) -> str:
    """Return the report as text; the same report gives the same text."""
    return to_text(_sections(report), color=color, width=width)


def _sections(report: Report) -> Iterable[RenderableType]:
    yield _head(report)
    yield from section("Performance", _performance(report))
    yield from section("Resources", _resources(report), say(report.headroom))
    yield from section("Figures by source", _by_source(report))
    yield from section("Estimates by stage", _by_stage(report))
    if report.open_synthesis is not None:
        yield from section("Open synthesis", *open_synthesis.parts(report.open_synthesis))
    yield from section("Layers", _layers(report.layers))
    yield from section("Cost by layer", _costs(report))
    yield from section("Pruning ledger", _ledger(report))
    yield from section("Verification", _verification(report))
    yield from section("Overflow", *_overflow(report))
    if report.bisection is not None:
        yield from section("Layer by layer against Keras", *bisection.parts(report.bisection))
    yield from section("Budgets", _budgets(report))
    yield from section("Tools", _tools(report))
    yield from section("Notes", *(say(f"- {note}") for note in _all_notes(report)))


def _head(report: Report) -> RenderableType:
    verdict = words.judge(report)
    where = f"{report.target.name} ({report.target.part}), {report.clock_ns:g} ns clock"
    how = f"{report.backend}, {report.io_type}, qapflow {report.qapflow_version}"
    indent = len(verdict.state) + 2
    headline = f"{verdict.state.upper()}  {printable(verdict.headline)}"
    return Group(
        Text(f"{printable(report.model)} on {where}", style="bold"),
        Text(how, style="dim"),
        Text(),
        Text(headline, style=STYLES[verdict.state]),
        Padding(Text(printable(verdict.detail)), (0, 0, 0, indent)),
        Padding(Text(printable(words.regime_text(report))), (0, 0, 0, indent)),
    )


def _performance(report: Report) -> RenderableType | None:
    best = best_figures(report.totals)
    table = Table.grid(padding=(0, 2))
    for title, name, text in (
        ("latency", "latency_cycles", words.latency_text(report)),
        ("new sample", "ii_cycles", words.interval_text(report)),
    ):
        if text:
            table.add_row(Text(title), Text(text), Text(f"[{origin(best[name])}]", style="dim"))
    return table if table.row_count else None


def _resources(report: Report) -> RenderableType:
    dies = report.target.slrs > 1
    columns = [("", "left"), ("used", "right"), ("low to high", "right"), ("of board", "right")]
    columns += [("of one SLR", "right")] if dies else []
    table = make_table(*columns, ("source", "left"))
    for usage in words.usages(report):
        cells = [usage.title, words.used(usage), words.span(usage.figure)]
        cells += [words.share(usage.board)] + ([words.share(usage.slr)] if dies else [])
        add_row(table, [*cells, origin(usage.figure)])
    return table


def _by_stage(report: Report) -> RenderableType | None:
    table = _figures(*estimates.stage_table(report))
    if table is None:
        return None
    lines = [Text(printable(line), style="dim") for line in estimates.unsure_lines(report)]
    return Group(table, *lines)


def _by_source(report: Report) -> RenderableType | None:
    return _figures(*words.by_source(report))


def _figures(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table | None:
    if not rows:
        return None
    table = make_table((titles[0], "left"), *((title, "right") for title in titles[1:]))
    for row in rows:
        add_row(table, row)
    return table


def _layers(layers: Sequence[LayerReport]) -> RenderableType | None:
    if not layers:
        return None
    table = make_table(
        ("layer", "left"), ("op", "left"), ("output", "left"), ("type", "left"),
        ("weights", "left"), ("zero", "right"), ("built as", "left"), ("regime", "left"),
    )  # fmt: skip
    for layer in layers:
        zero = words.ratio(layer.weights - layer.nonzero_weights, layer.weights)
        regime = layer.regime + (f", {layer.can_overflow}" if layer.can_overflow else "")
        add_row(
            table,
            [
                words.clip(layer.name, SHORT_NAME), layer.op,
                words.shape_text(layer.output_shape).replace(" ", ""),
                layer.output_type, layer.weight_type, zero if layer.weights else "",
                words.built_as(layer), regime,
            ],
        )  # fmt: skip
    return table


def _costs(report: Report) -> RenderableType | None:
    """Return a table of what costs anything; columns that are all zero are left out."""
    rows = [layer for layer in report.layers if any(f.value for f in layer.figures.values())]
    if not rows:
        return None
    names = [n for n in words.COSTS if words.shows(rows, n)]
    room = 96 - max(14, min(NAME, max(len(layer.name) for layer in rows)))
    cells = _fit(names, [[_cost(layer.figures.get(n)) for n in names] for layer in rows], room)
    table = make_table(("layer", "left"), *((SHORT_TITLES[n], "right") for n in names))
    for layer, row in zip(rows, cells, strict=True):
        add_row(table, [words.clip(layer.name, NAME), *row])
    sources = {origin(f) for layer in rows for f in layer.figures.values()}
    low_high = "; low-high in brackets" if "csynth estimate" in sources else ""
    about = f"source: {', '.join(sorted(sources))}{low_high}"
    return Group(table, Text(about, style="dim"))


def _fit(names: list[str], rows: list[list[str]], room: int) -> list[list[str]]:
    """Leave out intervals, cycles first and LUT last, until the columns fit."""
    columns = dict(zip(names, (list(c) for c in zip(*rows, strict=True)), strict=True))
    for name in ("ii_cycles", "latency_cycles", "uram", "bram18", "dsp", "ff", "lut"):
        if sum(max(6, *map(len, cells)) + 2 for cells in columns.values()) <= room:
            break
        if name in columns:
            columns[name] = [cell.partition(" (")[0] for cell in columns[name]]
    return [list(row) for row in zip(*columns.values(), strict=True)]


def _cost(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    interval = words.span(figure, "short").replace(" to ", "-")
    return words.short(figure.value) + (f" ({interval})" if interval else "")


def _ledger(report: Report) -> RenderableType | None:
    if not report.ledger:
        return None
    table = make_table(
        ("layer", "left"), ("weights", "right"), ("zero in file", "right"),
        ("zero quantized", "right"), ("multiplications", "right"), ("removed", "right"),
    )  # fmt: skip
    for row in report.ledger:
        add_row(
            table,
            [
                words.clip(row.layer, NAME), words.count(row.weights),
                words.ratio(row.zeros_float, row.weights),
                words.ratio(row.zeros_quantized, row.weights), words.count(row.multiplications),
                words.ratio(row.multiplications_removed, row.multiplications),
            ],
        )  # fmt: skip
    warnings = [
        Text(printable(f"warning: {row.layer}: {row.warning}"), style="yellow")
        for row in report.ledger
        if row.warning
    ]
    return Group(table, *warnings)


def _verification(report: Report) -> RenderableType | None:
    table = Table.grid(padding=(0, 2))
    for item in report.comparisons:
        names = Text(printable(f"{item.left} = {item.right}"))
        style = {"equal": "green", "different": "bold red"}.get(item.verdict, "dim")
        found = printable(words.compared(item).removeprefix("not run: "))
        table.add_row(names, Text(MARKS[item.verdict], style=style), Text(found))
        if item.first:
            table.add_row(Text(), Text(), Text(printable(words.first_difference(item))))
    if report.accuracy:
        table.add_row(
            Text("float Keras"), Text("distance"), Text(words.accuracy_text(report.accuracy))
        )
    return table if table.row_count else None


def _overflow(report: Report) -> Iterable[RenderableType | None]:
    yield say(report.overflow_statement)
    proof = report.overflow
    if proof is None:
        return
    yield from (Text(printable(f"warning: {w}"), style="yellow") for w in overflow.warnings(proof))
    for titles, rows, total in (
        (overflow.MARGIN_TITLES, overflow.margin_rows(proof, MOST_ROWS), len(proof.margins)),
        (overflow.LOSS_TITLES, overflow.loss_rows(proof, MOST_ROWS), len(proof.losses)),
    ):
        if rows:
            columns = [(title, "right" if title in RIGHT else "left") for title in titles]
            columns = [(t, "left!" if t == "how known" else align) for t, align in columns]
            table = make_table(*columns)
            for row in rows:
                add_row(table, [words.clip(row[0], SHORT_NAME), *row[1:]])
            yield table
            yield say(overflow.more(len(rows), total))
    yield from (Text(printable(line), style="dim") for line in overflow.about(proof))


def _budgets(report: Report) -> RenderableType | None:
    if not report.budgets:
        return None
    table = make_table(
        ("budget", "left"), ("limit", "right"), ("actual", "right"), ("", "left"),
        ("source", "left"), ("largest part", "left!"),
    )  # fmt: skip
    for item in report.budgets:
        actual = "unknown" if item.actual is None else words.count(round(item.actual, 1))
        met = "met" if item.met else "NOT MET"
        cells = [item.name, words.count(item.limit), actual, met, item.source, item.culprit]
        add_row(table, cells)
    return table


def _tools(report: Report) -> RenderableType | None:
    if not report.tools:
        return None
    table = Table.grid(padding=(0, 2))
    for tool in report.tools:
        cells = (tool.name, tool.version, tool.status, tool.detail)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _all_notes(report: Report) -> tuple[str, ...]:
    return (*words.estimate_notes(report), *report.notes)
