"""A grid of its own for every element, from operations that have one grid for all.

Element e has the grid 2**-f[e] and, if it wraps or saturates, b[e] bits. Shifted by f[e], rounding
is to whole numbers for all; shifted further until its highest bit is the highest of all, overflow
is that of one type for all. The shifts are constants, which cost nothing where elements have
hardware of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.work import Work
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Affine, Clip, Const, Quantize

Whole = NDArray[np.int64]
ZERO = Const(np.array(0), Fixed(False, 1, 0))


@dataclass(frozen=True, eq=False)
class Grids:
    """Signs, bits and fraction bits of each element, broadcast to the shape of the edge."""

    signed: Whole
    bits: Whole
    frac: Whole

    def uniform(self) -> Fixed | None:
        """Return the type, if all elements have the same."""
        kinds = {(int(s), int(b), int(f)) for s, b, f in np.stack(
            [self.signed.ravel(), self.bits.ravel(), self.frac.ravel()], 1)}  # fmt: skip
        if len(kinds) > 1:
            return None
        signed, bits, frac = kinds.pop()
        return Fixed(bool(signed), bits, frac) if bits else None


def quantize_each(
    work: Work, edge: str, grids: Grids, rounding: Rounding, overflow: Overflow
) -> str:
    """Quantize each element to its own type; no bits give zero."""
    if not grids.bits.any():
        return work.add(Clip(ZERO, ZERO), edge)
    kind = grids.uniform()
    if kind is not None:
        return work.add(Quantize(kind, rounding, overflow), edge)
    kept = grids.bits > 0
    frac = np.where(kept, grids.frac, 0)
    edge = round_each(work, edge, frac, rounding, kept)
    edge = _overflow_each(work, edge, grids, overflow)
    return _scale(work, edge, np.where(kept, np.ldexp(1.0, -frac), 0.0), "value")


def round_each(
    work: Work, edge: str, frac: Whole, rounding: Rounding, kept: NDArray[np.bool_]
) -> str:
    """Return x * 2**frac rounded to whole numbers, 0 for elements that are not kept."""
    edge = _scale(work, edge, np.where(kept, np.ldexp(1.0, frac), 0.0), "shifted")
    op = Quantize(holding(work, edge, 0), rounding, Overflow.SAT)
    return work.add(op, edge, suffix="whole")


def holding(work: Work, edge: str, frac: int) -> Fixed:
    """Return a type on the grid 2**-frac in which no value of an edge overflows."""
    interval, kind = work.builder.intervals[edge], work.builder.edges[edge].type
    shift = frac - kind.frac
    ends = [
        (end << shift if shift >= 0 else end >> -shift) for end in (interval.low, interval.high)
    ]
    return Fixed.holding(ends[0] - 1, ends[1] + 1, frac)


def _overflow_each(work: Work, edge: str, grids: Grids, overflow: Overflow) -> str:
    interval = work.builder.intervals[edge]
    reach = np.ldexp(1.0, grids.bits - grids.signed)
    if ((interval.lo >= -reach * grids.signed) & (interval.hi <= reach - 1)).all():
        return edge
    width = int(grids.bits.max())
    up = width - grids.bits
    half = np.where(grids.signed == 1, 0.0, np.ldexp(1.0, width - 1))
    lifted = Affine(Const.exact(np.ldexp(1.0, up)), Const.exact(-half))
    edge = work.add(lifted, edge, suffix="lifted")
    edge = work.add(Quantize(Fixed(True, width, 0), Rounding.TRN, overflow), edge, suffix="inside")
    down = np.ldexp(1.0, -up)
    edge = work.add(Affine(Const.exact(down), Const.exact(half * down)), edge, suffix="lowered")
    low, high = -int((reach * grids.signed).max()), int(reach.max()) - 1
    kind = Fixed.holding(low, high, 0)
    return work.add(Quantize(kind, Rounding.TRN, Overflow.SAT), edge, suffix="inside")


def _scale(work: Work, edge: str, factor: NDArray[np.float64], suffix: str) -> str:
    return work.add(Affine(Const.exact(factor)), edge, suffix=suffix)
