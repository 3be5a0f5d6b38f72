"""Verilog expressions that move bits between fixed-point grids, without logic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qapflow.ir.fixed import Fixed

Grid = tuple[int, int, int]
"""Sign bits (0 or 1), integer bits without sign, fraction bits; the width may be 0."""


def grid_of(kind: Fixed) -> Grid:
    """Return the grid of a type."""
    return int(kind.signed), kind.integer - kind.signed, kind.frac


def width(grid: Grid) -> int:
    """Bits of one value."""
    return sum(grid)


def refit(name: str, low: int, source: Grid, target: Grid) -> list[str]:
    """Return bits [low, low + width) of `name`, on grid `source`, on grid `target`; high first.

    Bits beyond the source are its sign or zero, bits that the target lacks are dropped.
    """
    have, frac, parts = width(source), source[2], []
    first, end = frac - target[2], frac - target[2] + width(target)  # places in the source
    if end <= first:
        return []
    above = end - max(have, first)
    if above > 0:
        sign = f"{name}[{low + have - 1}]" if source[0] and have else "1'b0"
        parts.append(f"{{{above}{{{sign}}}}}")
    top, bottom = min(end, have), max(first, 0)
    if top > bottom:
        parts.append(f"{name}[{low + top - 1}:{low + bottom}]")
    below = min(end, 0) - first
    if below > 0:
        parts.append(f"{below}'b0")
    return parts


def join(parts: Iterable[str], indent: str = "        ") -> str:
    """Return the concatenation of parts, the first lowest."""
    items = list(parts)[::-1]
    return "{" + f",\n{indent}".join(items) + "}" if items else "1'b0"


def refit_all(name: str, sources: Sequence[Grid], targets: Sequence[Grid]) -> list[str]:
    """Return the parts of a vector moved from grids to grids, the lowest first."""
    parts, low = [], 0
    for source, target in zip(sources, targets, strict=True):
        parts += refit(name, low, source, target)[::-1]
        low += width(source)
    return parts
