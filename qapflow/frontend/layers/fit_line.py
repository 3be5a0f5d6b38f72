"""Straight lines before a quantizer, on the coarsest grids that decide every code as it should.

A quantizer tells s x + o apart only by its steps. All codes that it sends to one level bound o from
both sides, once s is chosen: any o between the bounds of all levels gives the same result for every
code that can arrive. So a float factor costs only the bits that the quantizer can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.quantizers import Quantizer
from qapflow.frontend.quantizers.emulate import emulate
from qapflow.frontend.quantizers.float32 import F32, single
from qapflow.frontend.quantizers.steps import FLOAT32_CODES
from qapflow.ir.ops import Const

MOST_RUNS = 1 << 16  # levels times channels
FIRST_BITS, LAST_BITS = 6, 26  # of the largest factor

Reals = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Lines:
    """y = scale x + offset for each channel in real numbers, and as float32 may compute it."""

    scale: Reals
    offset: Reals
    variants: tuple[Callable[[Codes, F32], F32], ...]  # (channels, x) -> y


@dataclass(frozen=True)
class Fitted:
    """Constants of the line, and how many steps float32 may send codes across."""

    scale: Const
    offset: Const
    close: int


@dataclass(frozen=True)
class Levels:
    """What a quantizer gives: whole multiples of 2**-frac from `low` to `high`, by nearest."""

    frac: int
    low: int
    high: int


def levels(quantizer: Quantizer) -> Levels | None:
    """Return the levels of a quantizer that rounds to nearest and saturates, None for others."""
    params = quantizer.params
    if quantizer.kind == "quantized_bits" and params["alpha"] in (None, 1, 1.0):
        keep = int(params["keep_negative"])
        bits = int(params["bits"]) - keep
        if bits < 1:
            return None
        low = keep * (int(params["symmetric"]) - 2**bits)
        return Levels(bits - int(params["integer"]), low, 2**bits - 1)
    if quantizer.kind == "quantized_relu" and not params["use_sigmoid"]:
        bits = int(params["bits"])
        bounded = params["relu_upper_bound"] is not None and not params["is_quantized_clip"]
        if params["negative_slope"] or bounded or bits < 1:
            return None
        return Levels(bits - int(params["integer"]), 0, 2**bits - 1)
    return None


def fit_lines(
    lines: Lines, quantizer: Quantizer, hull: tuple[int, int], frac: int
) -> Fitted | None:
    """Fit a line a channel for codes `hull` on the grid 2**-frac; None if there is no such line."""
    grid = levels(quantizer)
    if grid is None or max(map(abs, hull)) >= FLOAT32_CODES:
        return None
    if (grid.high - grid.low) * lines.scale.size > MOST_RUNS:
        return None
    runs, close = _runs(lines, quantizer, hull, frac, grid.frac)
    made = _search(runs, lines, grid, frac)
    return None if made is None else Fitted(*made, close)


@dataclass(frozen=True)
class _Runs:
    """First and last code of each run of codes with one level, as Python integers."""

    first: NDArray[Any]
    last: NDArray[Any]
    level: NDArray[Any]


def _runs(
    lines: Lines, quantizer: Quantizer, hull: tuple[int, int], frac: int, grid: int
) -> tuple[list[_Runs], int]:
    """Return the runs of each channel, and beside how many of their ends a variant differs."""

    def results(channel: Codes, code: Codes) -> tuple[F32, list[F32]]:
        x = np.ldexp(code.astype(np.float64), -frac)
        real = single(x * lines.scale[channel] + lines.offset[channel])
        return real, [variant(channel, single(x)) for variant in lines.variants]

    def levels_at(channel: Codes, code: Codes) -> Codes:
        values = emulate(quantizer, results(channel, code)[0]).values
        return np.ldexp(values.astype(np.float64), grid).astype(np.int64)

    def doubtful(channel: Codes, code: Codes) -> NDArray[np.bool_]:
        real, others = results(channel, code)
        values = emulate(quantizer, real).values
        differs = np.zeros(code.shape, np.bool_)
        for other in others:
            differs |= values != emulate(quantizer, other).values
        return differs

    channel, last, level = _changes(levels_at, lines.scale.size, hull)
    close = int(np.count_nonzero(doubtful(channel, last) | doubtful(channel, last + 1)))
    every = np.arange(lines.scale.size)
    ends = [doubtful(every, np.full(every.shape, code)) for code in hull]
    close += int(np.count_nonzero(ends[0] | ends[1]))
    starts = levels_at(every, np.full(every.shape, hull[0]))
    made = []
    for number, start in enumerate(starts):
        lasts = last[channel == number].astype(object)
        made.append(
            _Runs(
                np.concatenate([[hull[0]], lasts + 1]),
                np.concatenate([lasts, [hull[1]]]),
                np.concatenate([[int(start)], level[channel == number].astype(object)]),
            )
        )
    return made, close


def _changes(
    at: Callable[[Codes, Codes], Codes], channels: int, hull: tuple[int, int]
) -> tuple[Codes, Codes, Codes]:
    """Halve intervals of codes until each holds one change: channel, code before it, level after.

    Ordered by channel and code; a line and the rounding of it are monotone.
    """
    channel = np.arange(channels)
    left, right = np.full(channels, hull[0]), np.full(channels, hull[1])
    while (right - left).max() > 1:
        differs = at(channel, left) != at(channel, right)
        channel, left, right = channel[differs], left[differs], right[differs]
        if not left.size:
            break
        middle = left + (right - left) // 2
        channel = np.concatenate([channel, channel])
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
    differs = at(channel, left) != at(channel, right)
    channel, left, right = channel[differs], left[differs], right[differs]
    order = np.lexsort((left, channel))
    return channel[order], left[order], at(channel, right)[order]


def _search(runs: list[_Runs], lines: Lines, grid: Levels, frac: int) -> tuple[Const, Const] | None:
    """Take the coarsest factors that leave an offset for every channel, and coarse offsets."""
    peak = int(np.frexp(np.abs(lines.scale).max() or 1.0)[1])
    for bits in range(FIRST_BITS, LAST_BITS + 1):
        fine = bits - peak
        factors = np.rint(np.ldexp(lines.scale, fine)).astype(np.int64)
        total = max(grid.frac + 1, frac + fine, 0)
        bounds = [
            _bounds(r, int(f), grid, frac + fine, total) for r, f in zip(runs, factors, strict=True)
        ]
        if all(low is None or high is None or low + 1 < high for low, high in bounds):
            offsets = _offsets(bounds, lines.offset, total)
            return _exact(factors, fine), _exact(*offsets)
    return None


def _bounds(
    runs: _Runs, factor: int, grid: Levels, product: int, total: int
) -> tuple[int | None, int | None]:
    """Return the open interval of offsets in steps of 2**-total; None where it has no end."""
    smallest, largest = (runs.first, runs.last) if factor >= 0 else (runs.last, runs.first)
    half = 1 << (total - grid.frac - 1)
    unit = factor << (total - product)
    above, below = runs.level > grid.low, runs.level < grid.high
    even = 1 - runs.level % 2  # ties go to even levels
    low = ((2 * runs.level - 1) * half - even - unit * smallest)[above]
    high = ((2 * runs.level + 1) * half + even - unit * largest)[below]
    return (max(low) if len(low) else None), (min(high) if len(high) else None)


def _offsets(
    bounds: list[tuple[int | None, int | None]], wanted: Reals, total: int
) -> tuple[NDArray[Any], int]:
    """Choose an offset within each open interval, all on the coarsest grid that has them."""
    for frac in range(total + 1):
        drop = total - frac
        found = [
            _inside(low, high, round(float(np.ldexp(near, frac))), drop)
            for (low, high), near in zip(bounds, wanted.tolist(), strict=True)
        ]
        if None not in found:
            return np.array(found, object), frac
    raise AssertionError("an open interval of two steps holds a multiple of one")


def _inside(low: int | None, high: int | None, near: int, drop: int) -> int | None:
    """Return the multiple of 2**drop nearest to `near` strictly between both ends, if any."""
    first = near if low is None else max(near, (low >> drop) + 1)
    last = first if high is None else min(first, -((-high) >> drop) - 1)
    if low is not None and (last << drop) <= low:
        return None
    return last


def _exact(codes: NDArray[Any], frac: int) -> Const:
    """Hold codes on the grid 2**-frac."""
    return Const.exact(np.ldexp(codes.astype(np.float64), -frac))
