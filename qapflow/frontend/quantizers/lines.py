"""Smooth functions by short straight lines: two small tables and one multiplication.

A loop feeds its errors back, so that gates need finer functions than one table can hold. Both
tables are read at the leading bits of the input; the line's slope multiplies the bits below them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, log, log2

import numpy as np

from qapflow.frontend.quantizers.emulate_functions import real_sigmoid
from qapflow.frontend.quantizers.site import Activated, Site
from qapflow.frontend.quantizers.tables import TABLE_BITS, Curve, Reals, tabulate
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Clip, Const, Merge, Quantize, Table

FEWEST_BITS = 6  # pieces to begin with, as a power of two
POINTS = 32  # intervals between points at which a piece is compared with its function


@dataclass(frozen=True)
class Smooth:
    """A function that grows from `low` to 1, and bounds of its first two derivatives.

    Beyond `per_bit` times n it is closer than 2**-n to its ends.
    """

    function: Callable[[Reals], Reals]
    low: float
    slope: float
    bend: float
    per_bit: float


SMOOTH: Mapping[str, Smooth] = {
    "sigmoid": Smooth(real_sigmoid, 0.0, 0.25, 0.0963, log(2)),
    "tanh": Smooth(np.tanh, -1.0, 1.0, 0.7699, log(2) / 2),
}


@dataclass(frozen=True)
class Lines:
    """Pieces [first, first + len) on the grid 2**-grid: where they begin, how steep they are."""

    first: int
    grid: int
    base: Const
    slope: Const
    error: float


def add_lines(site: Site, name: str, frac: int) -> Activated:
    """Add sigmoid or tanh, rounded to the grid 2**-frac; the reason says how far off it can be."""
    smooth = SMOOTH[name]
    reach = 2.0 ** ceil(log2(smooth.per_bit * (frac + 2)))
    grid = min(site.type.frac, frac)
    step = 2.0**-grid
    low, high = (code * float(site.type.lsb) for code in site.hull())
    reached = 2.0 ** ceil(log2(max(-low, high + step)))
    flat = reached > reach  # inputs beyond the reach act like its end
    reached = min(reached, reach)
    if 2 * reached / step <= 1 << TABLE_BITS:
        made = tabulate(site, Curve(smooth.function, -reach, reach), frac)
        return _say(made.site, name, f"a table of {made.entries} entries", made.error)
    kind = Fixed(True, 1 + int(log2(reached)) + grid, grid)
    narrow = site.add(Quantize(kind, Rounding.RND_CONV, Overflow.SAT))
    lines = _fit(smooth, narrow, frac)
    out = _evaluate(narrow, lines, smooth, frac)
    rounding = 0.0 if grid == site.type.frac else smooth.slope * step / 2
    tail = 1 - float(smooth.function(np.array([reach - step]))[0]) if flat else 0.0
    error = lines.error + rounding + tail + 2.0**-frac / 2
    return _say(out, name, f"lines of {len(lines.base.codes)} pieces", error)


def _say(out: Site, name: str, how: str, error: float) -> Activated:
    return out.done(False, f"{name} from {how}, {out.type} out; error at most {error:.2g}")


def _fit(smooth: Smooth, site: Site, frac: int) -> Lines:
    """Take the fewest pieces whose lines are closer than 2**-frac, or as many as a table has."""
    codes = site.hull()
    width = site.type.width
    for bits in range(FEWEST_BITS, TABLE_BITS + 1):
        lines = _lines(smooth, codes, site.type.frac, width - bits, frac)
        if lines.error <= 2.0**-frac:
            break
    return lines


def _lines(smooth: Smooth, codes: tuple[int, int], frac: int, below: int, out: int) -> Lines:
    """Fit lines over pieces of 2**below codes: through both ends, then moved half way back."""
    first, last = (code >> below for code in codes)
    grid, size = frac - below, 2.0 ** (below - frac)
    start = (np.arange(first, last + 1) * size).astype(np.float64)
    left, right = smooth.function(start), smooth.function(start + size)
    middle = smooth.function(start + size / 2) - (left + right) / 2
    slope_frac = out + 3 - grid
    base = _round(left + middle / 2, out + 3)
    slope = _round((right - left) / size, slope_frac)
    at = (np.linspace(0.0, 1.0, POINTS + 1) * size).astype(np.float64)
    exact = smooth.function(start[:, None] + at)
    error = np.abs(base[:, None] + slope[:, None] * at - exact).max()
    between = smooth.bend * (size / POINTS) ** 2 / 8  # how far it can bend between two points
    return Lines(first, grid, Const.exact(base), Const.exact(slope), float(error) + between)


def _round(values: Reals, frac: int) -> Reals:
    return np.asarray(np.ldexp(np.rint(np.ldexp(values, frac)), -frac), np.float64)


def _evaluate(site: Site, lines: Lines, smooth: Smooth, frac: int) -> Site:
    """Return base[piece] + slope[piece] * (x - piece), inside the function's range."""
    grid = site.type.frac
    leading = Fixed(True, site.type.width - (grid - lines.grid), lines.grid)
    piece = site.add(Quantize(leading, Rounding.TRN, Overflow.SAT), suffix="piece")
    rest = site.add(Merge("sub"), piece, suffix="below")
    rest = rest.add(
        Quantize(Fixed(False, grid - lines.grid, grid), Rounding.TRN, Overflow.SAT), suffix="rest"
    )
    base = piece.add(Table(lines.first, lines.base), suffix="base")
    slope = piece.add(Table(lines.first, lines.slope), suffix="slope")
    line = base.add(Merge("add"), slope.add(Merge("mul"), rest, suffix="rise"), suffix="line")
    ends = (Const.exact(np.array(smooth.low)), Const.exact(np.array(1.0)))
    inside = line.add(Clip(*ends), suffix="ends")
    signed = smooth.low < 0
    kind = Fixed(signed, frac + 1 + signed, frac)
    return inside.add(Quantize(kind, Rounding.RND, Overflow.SAT), suffix="out")
