"""The table as text, JSON and one HTML page."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.corpus.rows import BAD, Row, to_json
from bench.corpus.summary import summarize
from qapflow.report.html import render_page

WIDTH = 170
NAME = 46  # columns of a file name
COLOURS = {
    "exact": "green",
    "equal": "green",
    "exact+": "green",
    "chosen": "yellow",
    "unverified": "yellow",
    **dict.fromkeys(BAD, "red"),
}
TAGS = {
    "exact": "exact", "equal": "exact", "exact+": "exact", "chosen": "chosen",
    "unverified": "chosen",
    **dict.fromkeys(BAD, "bad"), "timeout": "bad", "tool failed": "bad", "tool missing": "bad",
}  # fmt: skip
COLUMNS = ("file", "family", "verdict", "Keras", "off by", "C sim.", "s", "MiB", "hls4ml")
FIGURES = range(3, 8)


def render_text(rows: Sequence[Row], title: str, *, color: bool = False) -> str:
    """Return table, reasons and summary."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=WIDTH, highlight=False, markup=False, emoji=False,
        force_terminal=color, color_system="standard" if color else None, no_color=not color,
    )  # fmt: skip
    table = Table(title=title, box=None, pad_edge=False, header_style="bold")
    lines = [cells(row) for row in rows]
    for number, name in enumerate(COLUMNS):
        whole = number in FIGURES or name == "verdict"  # names may be cut, figures never
        table.add_column(
            name, justify="right" if number in FIGURES else "left", no_wrap=True,
            min_width=max((len(line[number]) for line in lines), default=0) if whole else None,
        )  # fmt: skip
    for row, shown in zip(rows, lines, strict=True):
        table.add_row(*shown, style=COLOURS.get(row.verdict, ""))
    console.print(table)
    console.print()
    for row in rows:
        if text := row.reason or row.note:
            console.print(f"{row.file}: {text}")
    console.print()
    for line in summarize(rows):
        console.print(line)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a row, in the order of `COLUMNS`."""
    return (
        row.file if len(row.file) <= NAME else f"{row.file[: NAME - 3]}...",
        row.family,
        row.verdict,
        share(row.mismatches, row.values),
        "" if row.max_error is None else f"{row.max_error:.2g}",
        share(row.csim_mismatches, row.csim_values),
        f"{row.seconds:.0f}",
        f"{row.peak_mib:.0f}",
        hls4ml(row),
    )


def share(part: int | None, total: int | None) -> str:
    """Return "part of total", "" where nothing was compared."""
    return "" if not total else f"{part} of {total}"


def hls4ml(row: Row) -> str:
    """Say what hls4ml makes of the model."""
    distance = row.hls4ml_max_error
    far = "" if row.hls4ml != "differs" or distance is None else f", off by {distance:.2g}"
    return f"{row.hls4ml}{far}"


def render_json(rows: Sequence[Row], title: str) -> str:
    """Return everything that is known."""
    data = {"title": title, "summary": summarize(rows), "rows": [to_json(row) for row in rows]}
    return json.dumps(data, indent=1) + "\n"


def render_html(rows: Sequence[Row], title: str) -> str:
    """Return one page that needs no other file."""
    bad = sum(row.bad for row in rows)
    exact = sum(row.verdict in ("exact", "equal", "exact+") for row in rows)
    cards = [
        ("models", len(rows)),
        ("built", sum(row.built for row in rows)),
        ("equal to Keras", exact),
        ("chosen", sum(row.verdict == "chosen" for row in rows)),
        ("refused", sum(row.verdict in ("refused", "bad file") for row in rows)),
        ("silent mismatches and tracebacks", bad),
    ]
    return render_page(
        "corpus.html.j2",
        rows=rows,
        title=title,
        cards=cards,
        bad=bad,
        lines=summarize(rows),
        share=share,
        hls4ml=hls4ml,
        tags=TAGS,
    )
