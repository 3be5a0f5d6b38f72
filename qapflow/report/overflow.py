"""What can overflow in a network, in words: accumulators never, quantizers only as written."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from qapflow.ir.fixed import Overflow
from qapflow.ir.interval import Interval, overflows
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Affine, Conv, Dense, Merge, Pool, Quantize, Reduce

Intervals = Mapping[str, Interval]


def overflow_of(net: Net, node: Node, intervals: Intervals) -> str:
    """Return "saturates" or "wraps" if some input makes this node's quantizer do so, else ""."""
    if not isinstance(node.op, Quantize):
        return ""
    (source,) = node.inputs
    if not overflows(node.op, net.edge(source), intervals[source]):
        return ""
    return "wraps" if node.op.overflow is Overflow.WRAP else "saturates"


def accumulates(node: Node) -> bool:
    """Tell whether a node sums products or elements."""
    if isinstance(node.op, Dense | Conv | Affine):
        return True
    if isinstance(node.op, Pool | Reduce):
        return node.op.kind == "sum"
    return isinstance(node.op, Merge) and node.op.kind in ("add", "sub", "mul")


def spare(node: Node, interval: Interval) -> Fraction:
    """Return the unused share of an accumulator's range; negative if it can overflow."""
    low, high = interval.hull
    kind = node.out.type
    above = Fraction(kind.hi - high, kind.hi)
    below = Fraction(low - kind.lo, -kind.lo) if kind.lo else Fraction(1 if low >= 0 else -1)
    return min(above, below)


def state_overflow(net: Net, intervals: Intervals) -> str:
    """Return the report's statement: accumulators with the narrowest margin, then quantizers."""
    sums = [node for node in net.nodes if accumulates(node)]
    margins = {node.name: spare(node, intervals[node.name]) for node in sums}
    broken = [name for name, margin in margins.items() if margin < 0]
    if broken:
        first = f"{len(broken)} of {len(sums)} accumulators can overflow: {_join(broken)}"
    elif sums:
        name = min(margins, key=lambda key: margins[key])
        low, high = intervals[name].hull
        kind = net.edge(name).type
        first = (
            f"no accumulator can overflow: each of {len(sums)} holds every partial sum of every "
            f"input. Narrowest margin: {name} reaches {low} to {high} of {kind.lo} to {kind.hi} "
            f"({kind}), {100 * float(margins[name]):.1f} % to spare"
        )
    else:
        first = "no accumulator can overflow: the network sums nothing"
    return f"{first}. {_state_quantizers(net, intervals)}."


def _state_quantizers(net: Net, intervals: Intervals) -> str:
    found: dict[str, list[str]] = {}
    for node in net.nodes:
        if kind := overflow_of(net, node, intervals):
            found.setdefault(kind, []).append(node.name)
    if not found:
        return "No quantizer can overflow either"
    parts = []
    for kind, names in sorted(found.items()):
        some = "1 quantizer" if len(names) == 1 else f"{len(names)} quantizers"
        verb = kind if len(names) == 1 else kind.removesuffix("s")
        parts.append(f"{some} {verb} on some inputs, as the model says: {_join(names)}")
    return "; ".join(parts)


def _join(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
