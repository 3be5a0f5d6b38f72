"""Read the text tables of vendor reports: lines of cells between bars, framed by `+---+`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qapflow.errors import ToolFailed

_RULE = re.compile(r"^\s*\+[-=+]+\+\s*$")


@dataclass(frozen=True)
class Table:
    """Header cells (several header lines are joined by a blank) and rows of cells."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, *names: str) -> int | None:
        """Return the index of the first column with one of these names, None if absent."""
        for name in names:
            for index, title in enumerate(self.header):
                if title.casefold() == name.casefold():
                    return index
        return None


def read_report(path: Path, kind: str) -> str:
    """Return the text of a report.

    Raises:
        ToolFailed: it is missing or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        what = f"the {kind} report cannot be read: {error.strerror or error}"
        hint = "run the stage again; the tool's log tells why it stopped"
        raise ToolFailed(what, str(path), hint) from error


def cells(line: str) -> tuple[str, ...]:
    """Split `| a | b |` into its cells."""
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def tables(lines: Iterable[str]) -> list[Table]:
    """Return every complete table: rule, header, rule, rows (with rules between), rule."""
    found: list[Table] = []
    blocks: list[list[tuple[str, ...]]] | None = None
    for line in lines:
        if _RULE.match(line):
            blocks = [[]] if blocks is None else [*blocks, []]
        elif line.lstrip().startswith("|") and blocks is not None:
            blocks[-1].append(cells(line))
        elif blocks is not None:
            found += _table(blocks)
            blocks = None
    if blocks is not None:
        found += _table(blocks)
    return found


def _table(blocks: list[list[tuple[str, ...]]]) -> list[Table]:
    """Make a table of the blocks between rules; one that is cut off has no rule at its end."""
    if len(blocks) < 3 or blocks[-1] or not blocks[0]:
        return []
    width = len(blocks[0][-1])
    lines = [row for row in blocks[0] if len(row) == width]
    header = tuple(" ".join(filter(None, parts)) for parts in zip(*lines, strict=True))
    rows = tuple(row for block in blocks[1:] for row in block)
    return [Table(header, rows)]
