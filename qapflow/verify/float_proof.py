"""Prove that a difference is Keras's own rounding and none of the network's.

The network's integers are the exact real result of a layer if its constants and attributes are
those of the layer. Two independent ways to show that:

- Keras's own code for the layer, run in double precision on the same input, gives the network's
  result bit for bit, while its float32 does not.
- The layer is one sum of products, the network holds exactly the constants that Keras uses, and
  Keras's float32 result lies within the error that float32 summation can have, (n + 1) 2**-24 times
  the sum of magnitudes (N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 3.1,
  with one term more for the bias and the bound doubled to cover second order). No other stride,
  padding or constant gives values that close to the exact ones throughout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import Codes, widen
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Const, Conv, Dense, Input, Pad, Reshape, Transpose
from qapflow.ir.semantics import run_op
from qapflow.verify.bisection import Blame, Cause, Finding
from qapflow.verify.evidence import Evidence, unequal
from qapflow.verify.parts import between

FLOAT32_BITS = 24  # float32 holds every integer below 2**24, in whatever order they are added
MOVES = (Input, Reshape, Transpose, Pad)
FIX = "nothing to do: the firmware computes the exact result; {advice}"
NARROWER = (
    "for Keras to give the same, let the sums fit 24 bits: fewer bits in kernel_quantizer or in "
    "the quantizer of the layer's input"
)


def prove_keras_inexact(evidence: Evidence) -> Finding | None:
    """Return the finding that Keras itself is inexact at this layer, None without a proof."""
    bits = max((peak.bit_length() for _, peak in sum_peaks(evidence)), default=0)
    proof = _by_double(evidence) or _by_integers(evidence)
    if not proof:
        return None
    wrong = unequal(evidence.ours, evidence.kind, evidence.single)
    counted = f"on {int(np.count_nonzero(wrong))} of {wrong.size} values"
    if bits > FLOAT32_BITS:
        what = (
            f"Keras sums in float32, which is exact up to 2**{FLOAT32_BITS}; these sums need "
            f"{bits} bits, and Keras rounds {counted}"
        )
        return Finding(Cause.FLOAT32_SUM, what, FIX.format(advice=NARROWER), proof, Blame.KERAS)
    what = f"Keras computes in float32 and rounds {counted}"
    advice = "a scale that is a power of two (alpha=1 or alpha='auto_po2') avoids the rounding"
    return Finding(Cause.FLOAT32, what, FIX.format(advice=advice), proof, Blame.KERAS)


def _by_double(evidence: Evidence) -> str:
    if evidence.double is None or unequal(evidence.ours, evidence.kind, evidence.double).any():
        return ""
    return (
        "from the same input, Keras's own layer in double precision equals the network's integers "
        f"in all {evidence.ours.size} values; its float32 does not"
    )


def _by_integers(evidence: Evidence) -> str:
    """Prove it by equal constants and the error bound of float32 sums, for plain products."""
    nodes = [node for node in evidence.part.net.nodes if not isinstance(node.op, MOVES)]
    if len(nodes) != 1 or not isinstance(op := nodes[0].op, Dense | Conv):
        return ""
    for const in filter(None, (op.weight, op.bias)):
        if not any(same_constant(const, theirs) for theirs in evidence.constants):
            return ""
    net = between(evidence.part.net, set(evidence.inputs), nodes[0].name)
    total = sum_of_magnitudes(net, nodes[0], _magnitude_op(op), evidence.inputs)
    terms = prod(op.weight.codes.shape[:-1]) + 2
    error = np.abs(evidence.kind.decode(evidence.ours) - evidence.single)
    bound = total.reshape(error.shape) * (2 * terms * 2.0**-FLOAT32_BITS)
    if not (error <= bound).all():
        return ""
    return (
        "the network holds exactly the constants that Keras uses and adds whole numbers; Keras's "
        f"float32 lies within the error of its own summation (largest: {float(error.max()):.3g})"
    )


def same_constant(const: Const, theirs: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
    """Tell whether a constant holds exactly these values, whatever the shape."""
    if const.codes.size != theirs.size:
        return False
    return not unequal(const.codes.ravel(), const.type, theirs.ravel()).any()


def sum_peaks(evidence: Evidence) -> Iterator[tuple[Node, int]]:
    """Yield each sum of products with the largest sum of magnitudes on this input, in steps.

    A step is the smallest unit that products and bias are multiples of.
    """
    net = evidence.part.net
    edges = interpret(net, evidence.inputs, keep="all")
    for node in net.nodes:
        if isinstance(node.op, Dense | Conv):
            source = net.edge(node.inputs[0])
            op = _magnitude_op(node.op)
            codes = (np.abs(widen(edges[node.inputs[0]])),)
            frac = node.out.type.frac
            total = run_op(op, frac, node.out.shape, (source,), codes)
            zeros = _zeros(codes[0]) + _zeros(op.weight.codes)
            zeros += frac - source.type.frac - op.weight.type.frac
            if op.bias is not None and op.bias.codes.any():
                zeros = min(zeros, _zeros(op.bias.codes) + frac - op.bias.type.frac)
            yield node, int(total.max()) >> max(zeros, 0) if total.size else 0


def _zeros(codes: Codes) -> int:
    """Count the zero bits at the end of all codes."""
    divisor = math.gcd(*(int(code) for code in np.unique(widen(codes))))
    return (divisor & -divisor).bit_length() - 1 if divisor else 0


def _magnitude_op(op: Dense | Conv) -> Dense | Conv:
    bias = None if op.bias is None else _magnitudes(op.bias)
    return replace(op, weight=_magnitudes(op.weight), bias=bias)


def _magnitudes(const: Const) -> Const:
    kind = replace(const.type, signed=False)
    return Const(np.abs(const.codes), kind)


def sum_of_magnitudes(
    net: Net, target: Node, op: Dense | Conv, inputs: Mapping[str, Codes]
) -> NDArray[np.float64]:
    """Return what the last node, a sum of products, gives as `op` on the inputs' magnitudes."""
    nodes = []
    for node in net.nodes:
        kind = replace(node.out.type, signed=False, width=node.out.type.width + 1)
        if node.name == target.name:
            kind = replace(kind, width=kind.width + 64)  # beyond any sum: integers of any width
        made = op if node.name == target.name else node.op
        nodes.append(replace(node, op=made, out=replace(node.out, type=kind)))
    positive = Net(tuple(nodes), (target.name,))
    codes = interpret(positive, {name: np.abs(codes) for name, codes in inputs.items()})
    return positive.edge(target.name).type.decode(codes[target.name])
