"""What a set of vectors exercises: ranges seen, ends reached, ties and saturations a quantizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import INT64_BITS, Codes, round_ratio, widen
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Net
from qapflow.ir.ops import Quantize

CHUNK_VALUES = 4_000_000  # edge values of one chunk kept at once


@dataclass(frozen=True)
class Coverage:
    """How often the values of one quantizer hit its edge cases."""

    node: str
    origin: str
    values: int
    minimum: int  # results equal to the smallest code of the type
    maximum: int  # results equal to the largest code
    ties: int  # inputs exactly between two results
    saturated: int  # inputs beyond the range; below an unsigned type is a rectifier, not counted


@dataclass(frozen=True)
class Measured:
    """Ranges of codes seen on every edge, and the coverage of every quantizer."""

    ranges: Mapping[str, tuple[int, int]]
    coverage: tuple[Coverage, ...]


def coverage(net: Net, codes: Mapping[str, Codes]) -> tuple[Coverage, ...]:
    """Return for each `Quantize` node how often its edge cases were hit by inputs [n, *shape]."""
    return measure(net, codes).coverage


def measure(net: Net, codes: Mapping[str, Codes]) -> Measured:
    """Run the network on inputs [n, *shape] and collect ranges and coverage."""
    ranges: dict[str, tuple[int, int]] = {}
    counts = {n.name: np.zeros(5, np.int64) for n in net.nodes if isinstance(n.op, Quantize)}
    samples = min((len(array) for array in codes.values()), default=0)
    for part in chunks(net, samples):
        edges = interpret(net, {name: array[part] for name, array in codes.items()}, keep="all")
        for name, array in edges.items():
            low, high = int(array.min()), int(array.max())
            before = ranges.get(name, (low, high))
            ranges[name] = (min(low, before[0]), max(high, before[1]))
        for name in counts:
            node = net.by_name[name]
            assert isinstance(node.op, Quantize)
            frac = net.edge(node.inputs[0]).type.frac
            counts[name] += _count(node.op, edges[node.inputs[0]], edges[name], frac)
    rows = (Coverage(n, net.by_name[n].origin, *map(int, total)) for n, total in counts.items())
    return Measured(ranges, tuple(rows))


def _count(op: Quantize, before: Codes, after: Codes, frac: int) -> NDArray[np.int64]:
    found = (
        np.ones(after.shape, bool),
        after == op.type.lo,
        after == op.type.hi,
        tie_mask(op, before, frac),
        will_saturate(op, before, frac),
    )
    return np.array([np.count_nonzero(mask) for mask in found], np.int64)


def ratio(op: Quantize, codes: Codes, frac: int) -> tuple[Codes, int]:
    """Return numerator and divisor whose rounded quotient the quantizer takes."""
    shift = op.type.frac - frac
    codes = np.asarray(codes)
    peak = max((abs(int(codes.min())), abs(int(codes.max())))) if codes.size else 0
    if max(peak.bit_length(), op.divisor.bit_length()) + abs(shift) + 1 > INT64_BITS:
        codes = widen(codes)
    if shift >= 0:
        return codes * (1 << shift), op.divisor
    return codes, op.divisor << -shift


def tie_mask(op: Quantize, codes: Codes, frac: int) -> NDArray[np.bool_]:
    """Tell which codes on the grid `2**-frac` lie exactly between two results."""
    above, divisor = ratio(op, codes, frac)
    if divisor % 2:
        return np.zeros(above.shape, bool)
    return np.asarray(above % divisor == divisor // 2, bool)


def will_saturate(op: Quantize, codes: Codes, frac: int) -> NDArray[np.bool_]:
    """Tell which codes are beyond the range of the type once rounded (saturate or wrap).

    What an unsigned type cuts off below zero is its rectifying and does not count.
    """
    above, divisor = ratio(op, codes, frac)
    rounded = round_ratio(above, divisor, op.rounding)
    below = (rounded < op.type.lo) & op.type.signed
    return np.asarray(below | (rounded > op.type.hi), bool)


def chunks(net: Net, samples: int) -> Iterator[slice]:
    """Cut samples so that all edges of one cut stay within `CHUNK_VALUES`."""
    values = sum(prod(node.out.shape) for node in net.nodes)
    step = max(1, min(1024, CHUNK_VALUES // max(1, values)))
    for start in range(0, samples, step):
        yield slice(start, min(start + step, samples))
