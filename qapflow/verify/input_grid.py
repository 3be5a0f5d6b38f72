"""What the grid of an input does to the values that a user gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import Codes, Fixed
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Const
from qapflow.verify.bisection import Blame, Cause, Finding, LayerCheck, Place
from qapflow.verify.evidence import unequal

WIDEST = 32  # bits of a type worth proposing for an input

Array = NDArray[Any]


def check_inputs(
    net: Net, codes: Mapping[str, Codes], given: Mapping[str, Array]
) -> Iterator[LayerCheck]:
    """Yield one row an input: how many of the given values [n, *shape] are not on its grid."""
    for node in net.inputs:
        kind, values = node.out.type, given[node.name]
        wrong = unequal(codes[node.name], kind, values)
        count = int(np.count_nonzero(wrong))
        apart = float(np.abs(kind.decode(codes[node.name]) - values).max(initial=0.0))
        finding = place = None
        if count:
            finding = _explain(node, values, count)
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            ours = float(kind.decode(codes[node.name])[where])
            place = Place(node.name, where[0], where[1:], float(values[where]), ours)
        yield LayerCheck(
            node.name,
            "InputLayer",
            node.name,
            "exact",
            wrong.size,
            count,
            apart,
            count,
            place,
            finding,
        )


def _explain(node: Node, values: Array, count: int) -> Finding:
    kind = node.out.type
    low, high = (float(code * kind.lsb) for code in (kind.lo, kind.hi))
    outside = int(np.count_nonzero((values < low) | (values > high)))
    what = (
        f"{count} of {values.size} input values are not on the grid of {kind} "
        f"({low:g} to {high:g}, steps of {float(kind.lsb):g}): {outside} saturated, "
        f"{count - outside} rounded"
    )
    fix = (
        f"--input-type '{node.name}={_spell(needed)}' holds them all"
        if (needed := _holding(values))
        else (
            "begin the model with QActivation(quantized_bits(bits, integer, alpha=1)), so that "
            f"Keras rounds the input too; or --input-type with a range of {np.abs(values).max():g}"
        )
    )
    return Finding(Cause.INPUT, what, fix, blame=Blame.INPUT)


def _holding(values: Array) -> Fixed | None:
    """Return the narrowest type that holds all values exactly, None beyond `WIDEST` bits."""
    kind = Const.exact(np.asarray(values, np.float64)).type
    return kind if kind.width <= WIDEST and kind.frac >= 0 else None


def _spell(kind: Fixed) -> str:
    return f"{'' if kind.signed else 'u'}fixed<{kind.width},{kind.integer}>"
