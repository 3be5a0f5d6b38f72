"""The report as Markdown for pull requests: the verdict first, details folded away."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from qapflow.report import bisection, estimates, open_synthesis, overflow, words
from qapflow.report.figures import LayerReport, Report
from qapflow.report.headroom import origin
from qapflow.synth.open.result import OpenSynthesis
from qapflow.verify.bisection import Bisection

MARKS = {"passed": "✅", "failed": "❌", "unverified": "⚠️"}


def render_markdown(report: Report) -> str:
    """Return the report as GitHub-flavoured Markdown; every name is escaped."""
    blocks = [*_summary(report), *_details(report)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    plain = html.escape(words.printable(text), quote=False)
    escaped = re.sub(r"([\\`*_\[\]|~])", r"\\\1", plain)
    return escaped.replace("@", "&#64;")  # mention nobody


def _summary(report: Report) -> Iterable[str]:
    verdict = words.judge(report)
    yield f"## {MARKS[verdict.state]} {escape(report.model)} on {escape(report.target.name)}"
    yield f"**{escape(verdict.headline)}**, {escape(verdict.detail)}  \n{_facts(report)}"
    yield table_of(
        ["resource", "used", "low to high", "of board", "of one SLR", "source"],
        [
            [
                usage.title, words.used(usage), words.span(usage.figure) or "-",
                words.share(usage.board), words.share(usage.slr), origin(usage.figure),
            ]
            for usage in words.usages(report)
        ],
        "lrrrrl",
    )  # fmt: skip
    titles, rows = estimates.stage_table(report)
    if rows:
        yield table_of(list(titles), [list(row) for row in rows], "l" + "r" * (len(titles) - 1))
    yield escape(report.headroom)
    yield table_of(
        ["budget", "limit and actual", "", "source"],
        [
            [b.name, words.budget_text(b), "met" if b.met else "**NOT MET**", b.source]
            for b in report.budgets
        ],
        "lrll",
    )
    yield from (
        f"> ⚠️ **{escape(row.layer)}**: {escape(row.warning)}"
        for row in report.ledger
        if row.warning
    )


def _facts(report: Report) -> str:
    clock = f"{report.clock_ns:g} ns clock, {report.backend}, {report.io_type}"
    parts = [words.latency_text(report), words.interval_text(report), clock]
    lines = [". ".join(escape(part) for part in parts if part)]
    return "  \n".join([*lines, f"Regime {escape(words.regime_text(report))}"])


def _details(report: Report) -> Iterable[str]:
    yield _fold(
        "Verification",
        [
            table_of(
                ["comparison", "verdict", "found"],
                [
                    [f"{c.left} = {c.right}", c.verdict, words.compared(c)]
                    for c in report.comparisons
                ],
                "lll",
            ),
            *(escape(words.first_difference(c)) for c in report.comparisons if c.first),
            f"Float Keras: {escape(words.accuracy_text(report.accuracy))}"
            if report.accuracy
            else "",
        ],
    )
    yield _fold("Overflow", list(_overflow(report)))
    if report.bisection is not None:
        yield _fold("Layer by layer against Keras", _bisection(report.bisection))
    titles, rows = words.by_source(report)
    yield _fold("Figures by source", [table_of(titles, rows, "l" + "r" * (len(titles) - 1))])
    if report.open_synthesis is not None:
        yield _fold("Open synthesis", _open_synthesis(report.open_synthesis))
    yield _fold(f"Layers ({len(report.layers)})", [_layers(report.layers)])
    yield _fold("Pruning ledger", [_ledger(report)])
    notes = (*words.estimate_notes(report), *report.notes)
    tools = [f"{t.name} {t.version}: {t.status} {t.detail}" for t in report.tools]
    yield _fold("Tools and notes", ["\n".join(f"- {escape(n)}" for n in (*tools, *notes))])


def _overflow(report: Report) -> Iterable[str]:
    yield escape(report.overflow_statement)
    if proof := report.overflow:
        yield "\n".join(f"> ⚠️ {escape(text)}" for text in overflow.warnings(proof))
        yield table_of(overflow.MARGIN_TITLES, overflow.margin_rows(proof), "llllrr")
        yield table_of(overflow.LOSS_TITLES, overflow.loss_rows(proof), "lllllr")
        yield "\n".join(f"- {escape(line)}" for line in overflow.about(proof))


def _bisection(found: Bisection) -> list[str]:
    causes = [
        f"- {escape(check.layer)}: "
        + "; ".join(f"{word}: {escape(text)}" for word, text in bisection.cause_lines(check))
        for check in found.causes
    ]
    table = table_of(bisection.TITLES, list(bisection.rows(found)), "llrrrrl")
    return [escape(bisection.headline(found)), table, "\n".join(causes)]


def _open_synthesis(found: OpenSynthesis) -> list[str]:
    tables = [
        table_of(titles, rows, "l" + "r" * (len(titles) - 1))
        for titles, rows in open_synthesis.tables(found)
    ]
    lines = [f"- {escape(line)}" for line in open_synthesis.about(found)]
    return [escape(open_synthesis.headline(found)), *tables, "\n".join(lines)]


def _layers(layers: Sequence[LayerReport]) -> str:
    rows = []
    for layer in layers:
        costs = [
            words.short(layer.figures[name].value) if name in layer.figures else "-"
            for name in words.COSTS
        ]
        state = ", ".join(filter(None, (layer.regime, layer.can_overflow)))
        shape = words.shape_text(layer.output_shape)
        kinds = [layer.output_type, layer.weight_type, words.built_as(layer), state]
        rows.append([layer.name, layer.op, shape, *kinds, *costs])
    titles = ["layer", "op", "output", "type", "weights", "built as", "regime"]
    return table_of([*titles, *(words.UNITS[name] for name in words.COSTS)], rows, "lllllllrrrrrrr")


def _ledger(report: Report) -> str:
    rows = [
        [
            row.layer, words.count(row.weights), words.ratio(row.zeros_float, row.weights),
            words.ratio(row.zeros_quantized, row.weights), words.count(row.multiplications),
            words.ratio(row.multiplications_removed, row.multiplications),
        ]
        for row in report.ledger
    ]  # fmt: skip
    titles = ["layer", "weights", "zero in file", "zero quantized", "multiplications", "removed"]
    return table_of(titles, rows, "lrrrrr")


def table_of(titles: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """Return a table of Markdown, "" without rows; `align` has l or r for each column."""
    if not rows:
        return ""
    marks = ["---:" if side == "r" else "---" for side in align]
    lines = [_line(titles), _line(marks)]
    lines += [_line([_cell(cell) for cell in row]) for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text if text == "**NOT MET**" else escape(text)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fold(title: str, blocks: Sequence[str]) -> str:
    present = [block for block in blocks if block]
    if not present:
        return ""
    body = "\n\n".join(present)
    return f"<details><summary>{html.escape(title)}</summary>\n\n{body}\n\n</details>"
