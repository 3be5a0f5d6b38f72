"""What can overflow in a network: accumulators by proof, quantizers by proof or by a witness.

The intervals of `qapflow.ir.interval` hold for every input, so what they exclude cannot happen.
They may be too wide where values depend on common inputs; there a concrete input is searched for,
and run through the interpreter before anything is said about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ldexp, log2

import numpy as np

from qapflow.ir.fixed import Codes, Fixed, Overflow, cast
from qapflow.ir.interval import Interval, bound_net
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Affine, Conv, Dense, MatMul, Merge, Pool, Quantize, Reduce, Scan
from qapflow.report.figures import Loss, Margin, OverflowProof
from qapflow.verify.losses import INSIDE, Losses, count_losses, every_edge, exceed
from qapflow.verify.vectors import Flat
from qapflow.verify.witness import Goal, promising, search

WORK = 6_000_000_000  # multiplications all searches of one network may spend
STARTS = 8

PREMISES = (
    "each input takes any code of its type (values beyond it are saturated when they are read, "
    "and counted)",
    "weights and other constants are those of the network",
    "sums are formed in any order",
)
LOOPS = "the state of a loop takes any code of its type in every step"


@dataclass(frozen=True, eq=False)
class Place:
    """A node, the network it is in, and the intervals there; `name` has the loops around it."""

    name: str
    net: Net
    node: Node
    intervals: Mapping[str, Interval]
    layer: str


def places(net: Net) -> Iterator[Place]:
    """Return every node with its intervals, those in bodies of loops too."""
    yield from _places(net, bound_net(net), "", "")


def _places(
    net: Net, intervals: Mapping[str, Interval], prefix: str, origin: str
) -> Iterator[Place]:
    for node in net.nodes:
        layer = origin or node.origin
        yield Place(prefix + node.name, net, node, intervals, layer)
        if isinstance(node.op, Scan):
            slices = node.op.body.inputs[len(node.op.initial) :]
            known = {
                inner.name: Interval(intervals[name].lo.min(axis=0), intervals[name].hi.max(axis=0))
                for inner, name in zip(slices, node.inputs, strict=True)
            }
            body = bound_net(node.op.body, known)
            yield from _places(node.op.body, body, f"{prefix}{node.name}{INSIDE}", layer)


def prove_overflow(
    net: Net, vectors: Mapping[str, Codes], work: int = WORK
) -> tuple[OverflowProof, dict[str, Codes]]:
    """Return the proof, and the input codes [n, *shape] of its witnesses.

    `vectors` are codes [n, *shape] by input: the share of values beyond each end is measured on
    them, and searches start from them. `work` bounds what all searches may spend.
    """
    known = list(places(net))
    margins = tuple(_margin(place) for place in known if accumulates(place.node))
    found = [place for place in known if isinstance(place.node.op, Quantize)]
    open_ends = [(place, end) for place in found for end in (1, -1) if _may_leave(place, end)]
    counts = count_losses(net, vectors) if open_ends and vectors else {}
    rows = _Witnesses(net, vectors, counts, work // max(1, len(open_ends)))
    losses = tuple(rows.judge(place, end) for place, end in open_ends)
    loops = (LOOPS,) if any(isinstance(place.node.op, Scan) for place in known) else ()
    proof = OverflowProof((*PREMISES, *loops), margins, len(found), losses, "")
    return proof, rows.codes()


def accumulates(node: Node) -> bool:
    """Tell whether a node sums products or elements."""
    if isinstance(node.op, Dense | Conv | Affine | MatMul):
        return True
    if isinstance(node.op, Pool | Reduce):
        return node.op.kind == "sum"
    return isinstance(node.op, Merge) and node.op.kind in ("add", "sub", "mul")


def _margin(place: Place) -> Margin:
    low, high = place.intervals[place.node.name].hull
    kind = place.node.out.type
    free = 100 * float(spare(kind, low, high))
    bits = spare_bits(kind, low, high)
    return Margin(place.name, place.layer, str(kind), low, high, bits, free)


def spare(kind: Fixed, low: int, high: int) -> Fraction:
    """Return the unused share of a type's range; negative if codes lie outside."""
    above = Fraction(kind.hi - high, kind.hi) if kind.hi else Fraction(-high)
    below = Fraction(low - kind.lo, -kind.lo) if kind.lo else Fraction(1 if low >= 0 else low)
    return min(above, below)


def spare_bits(kind: Fixed, low: int, high: int) -> float:
    """Return how often codes `low` to `high` can double inside a type; negative if outside.

    An unsigned type that would have to hold a negative code lacks at least its sign bit.
    """
    bits = [float(kind.width)]
    if high > 0:
        bits.append(log2(kind.hi + 1) - log2(high + 1))
    if low < 0:
        bits.append(log2(-kind.lo) - log2(-low) if kind.lo else -1.0)
    return min(bits)


def _before(place: Place) -> tuple[Interval, int]:
    (source,) = place.node.inputs
    return place.intervals[source], place.net.edge(source).type.frac


def _may_leave(place: Place, end: int) -> bool:
    """Tell whether the interval leaves it open that the range is left at this end."""
    interval, frac = _before(place)
    op = place.node.op
    assert isinstance(op, Quantize)
    codes = np.asarray(interval.hi if end > 0 else interval.lo)
    return bool((exceed(op, codes, frac) == end).any())


def kind_of(op: Quantize, end: int) -> str:
    """Return what leaving the range at this end means."""
    if op.overflow is Overflow.WRAP:
        return "wraps"
    return "rectifies" if end < 0 and not op.type.signed else "clips"


class _Witnesses:
    """The samples found so far, each checked by the interpreter; one may serve several ends."""

    def __init__(
        self, net: Net, vectors: Mapping[str, Codes], counts: Mapping[str, Losses], work: int
    ) -> None:
        self.net = net
        self.vectors = vectors
        self.counts = counts
        self.work = work
        self.rows: list[dict[str, Codes]] = []
        self.keys: list[object] = []

    def codes(self) -> dict[str, Codes]:
        """Return all samples [n, *shape] by input."""
        if not self.rows:
            return {}
        return {name: np.concatenate([row[name] for row in self.rows]) for name in self.rows[0]}

    def judge(self, place: Place, end: int) -> Loss:
        """Return what is known about one end of one quantizer."""
        op = place.node.op
        assert isinstance(op, Quantize)
        counted = self.counts.get(place.name, Losses())
        hits = counted.above if end > 0 else counted.below
        first = counted.first_above if end > 0 else counted.first_below
        interval, frac = _before(place)
        limit = op.type.hi if end > 0 else op.type.lo
        furthest = interval.high if end > 0 else interval.low
        sample = self._known(first) if first is not None else self._search(place, end)
        seen = None if sample is None else self._check(place, end, sample)
        return Loss(
            node=place.name,
            layer=place.layer,
            type=str(op.type),
            kind=kind_of(op, end),  # type: ignore[arg-type]
            end="above" if end > 0 else "below",
            verdict="not excluded" if seen is None else "does",
            bound=float(Fraction(furthest, op.divisor) / Fraction(2) ** frac),
            limit=ldexp(limit, -op.type.frac),
            share=100 * hits / counted.values if counted.values else 0.0,
            **(seen or {}),  # type: ignore[arg-type]
        )

    def _known(self, first: int) -> dict[str, Codes]:
        return {name: codes[first : first + 1] for name, codes in self.vectors.items()}

    def _search(self, place: Place, end: int) -> dict[str, Codes] | None:
        op = place.node.op
        assert isinstance(op, Quantize)
        interval, frac = _before(place)
        if not self.work:
            return None
        prefix = place.name.removesuffix(place.node.name)
        ends = interval.hi if end > 0 else interval.lo
        goal = Goal(
            place.name, op, prefix + place.node.inputs[0], frac, end,
            promising(end * np.asarray(ends), ()),
        )  # fmt: skip
        starts = {name: codes[:STARTS] for name, codes in self.vectors.items()}
        row = search(self.net, goal, starts, self.work)
        if row is None:
            return None
        return Flat(self.net).split(row[None])

    def _check(self, place: Place, end: int, sample: dict[str, Codes]) -> dict[str, object] | None:
        """Run one sample through the interpreter; None if it does not leave the range."""
        op = place.node.op
        assert isinstance(op, Quantize)
        prefix = place.name.removesuffix(place.node.name)
        _, frac = _before(place)
        before = every_edge(self.net, sample)[prefix + place.node.inputs[0]][0]
        side = np.argwhere(exceed(op, before, frac) == end)
        if not len(side):
            return None
        index = tuple(int(i) for i in side[0])
        code = int(before[index])
        whole = np.array([code], object)
        after = int(cast(whole, frac, op.type, op.rounding, op.overflow, op.divisor)[0])
        return {
            "row": self._row(sample),
            "index": index,
            "before": float(Fraction(code, op.divisor) / Fraction(2) ** frac),
            "after": ldexp(after, -op.type.frac),
        }

    def _row(self, sample: dict[str, Codes]) -> int | None:
        """Return the row of a sample in the file, None where its real values need over 53 bits."""
        for node in self.net.inputs:
            codes, kind = sample[node.name], node.out.type
            if not np.array_equal(kind.encode(kind.decode(codes))[0], codes):
                return None
        key = {name: codes.tolist() for name, codes in sample.items()}
        if key not in self.keys:
            self.keys.append(key)
            self.rows.append(sample)
        return self.keys.index(key)
