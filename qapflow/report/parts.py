"""The pieces every text is made of: sections, sentences and tables, at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from qapflow.report.words import printable

NAME = 26  # columns for the name of a layer, the middle of longer ones left out
SHORT_NAME = 18  # where there are many columns


def section(title: str, *parts: RenderableType | None) -> Iterable[RenderableType]:
    """Yield a title with its parts below, nothing where all are None."""
    present = [part for part in parts if part is not None]
    if present:
        yield Text(f"\n{title}", style="bold")
        yield Padding(Group(*present), (0, 0, 0, 2))


def say(text: str) -> Text | None:
    """Return a sentence, None for none."""
    return Text(printable(text)) if text else None


def make_table(*columns: tuple[str, str]) -> Table:
    """Return a table; a column is (title, alignment), "left!" may wrap."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    for title, align in columns:
        wraps = align.endswith("!")
        justify = "right" if align == "right" else "left"
        table.add_column(
            title,
            justify=justify,  # type: ignore[arg-type]
            no_wrap=not wraps,
            overflow="fold" if wraps else "ellipsis",
            min_width=14 if title == "layer" else None,
            max_width=NAME if title == "layer" else None,
        )
    return table


def add_row(table: Table, cells: Sequence[str], style: str | None = None) -> None:
    """Add a row of plain text."""
    table.add_row(*(Text(printable(cell)) for cell in cells), style=style)
