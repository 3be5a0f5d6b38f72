"""Changes to a layer that would make it compute what Keras does.

A change that gives Keras's values in all samples names the cause. They are tried one at a time,
the most specific first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from qapflow.errors import UsageError
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Clip, Const, Conv, Op, Pool, Quantize
from qapflow.passes.rebuild import add_again, rebuild
from qapflow.verify.bisection import Cause, Finding
from qapflow.verify.evidence import Evidence, to_codes

MORE_BITS = 32  # integer bits that no value of a real layer leaves
FINER = range(1, 17)

AGAIN = "build the model file again: the network is not the one it gives"
ROUNDING_FIX = (
    "quantizers round to nearest, ties to even (no use_stochastic_rounding, no noise); if the "
    f"model's does so, {AGAIN}"
)
SCALE_FIX = "give the quantizer alpha=1, or alpha='auto_po2', which keeps scales powers of two"


@dataclass(frozen=True)
class Trial:
    """The node to change, its other operation, and what it means if that gives Keras's values."""

    node: str
    op: Op
    finding: Finding


def find_change(evidence: Evidence) -> Finding | None:
    """Return the first change that gives Keras's values, None if no single one does."""
    few = evidence.fewer()
    for node in evidence.part.net.nodes:
        for trial in _trials(node, few):
            if few.gives_truth(other := _changed(few.part.net, trial)):
                whole = f"with this one change all {evidence.ours.size} values equal Keras"
                if evidence.gives_truth(other):
                    return replace(trial.finding, proof=whole)
    return None


def _changed(net: Net, trial: Trial) -> Net:
    def rule(builder: NetBuilder, node: Node, inputs: tuple[str, ...]) -> str:
        op = trial.op if node.name == trial.node else node.op
        return add_again(builder, replace(node, op=op), inputs)

    return rebuild(net, rule)


def _trials(node: Node, evidence: Evidence) -> Iterator[Trial]:
    op = node.op
    if isinstance(op, Quantize):
        yield from _modes(node, op)
        yield from _types(node, op, evidence)
    if isinstance(op, Clip):
        yield from _bounds(node, op)
    if isinstance(op, Conv | Pool):
        yield from _attributes(node, op)


def _modes(node: Node, op: Quantize) -> Iterator[Trial]:
    """Yield other rounding, then other overflow, then both."""
    other = [mode for mode in Rounding if mode is not op.rounding]
    for mode in other:
        what = f"the network rounds with {op.rounding}, Keras with {mode}"
        yield Trial(
            node.name, replace(op, rounding=mode), Finding(Cause.ROUNDING, what, ROUNDING_FIX)
        )
    for end in (end for end in Overflow if end is not op.overflow):
        what = f"beyond {op.type} the network does {op.overflow}, Keras {end}"
        fix = (
            "values leave the type: give the quantizer more integer bits; QKeras saturates, "
            f"symmetric=1 leaves out the lowest code; if the model says so, {AGAIN}"
        )
        yield Trial(node.name, replace(op, overflow=end), Finding(Cause.OVERFLOW, what, fix))
    for mode, end in product(other, Overflow):
        if end is not op.overflow:
            what = f"the network does {op.rounding}, {op.overflow}, Keras {mode}, {end}"
            yield Trial(
                node.name,
                replace(op, rounding=mode, overflow=end),
                Finding(Cause.ROUNDING, what, ROUNDING_FIX),
            )


def _types(node: Node, op: Quantize, evidence: Evidence) -> Iterator[Trial]:
    """Yield a type without limits on the same grid, then finer and coarser ones."""
    kind = op.type
    low, high = _ends(evidence, kind)
    need = Fixed.holding(min(low, kind.lo), max(high, kind.hi), kind.frac)
    what = f"values leave the type {kind}: Keras has {_real(low, kind)} to {_real(high, kind)}"
    fix = (
        f"more integer bits: a type that holds {need} (ap_{'' if need.signed else 'u'}fixed<"
        f"{need.width},{need.integer}>); in quantized_bits(bits, integer) raise both by "
        f"{max(need.width - kind.width, 1)}, or give typical samples (--calibration)"
    )
    for wide in (*(replace(kind, width=kind.width + bits) for bits in FINER), _unlimited(kind)):
        yield Trial(node.name, replace(op, type=wide), Finding(Cause.OVERFLOW, what, fix))
    for bits in FINER:
        what = f"Keras keeps {bits} more fraction bits than {kind}"
        fix = (
            f"bits={kind.width + bits} in the layer's quantizer says what Keras does; else {AGAIN}"
        )
        finer = Fixed(kind.signed, kind.width + bits, kind.frac + bits)
        yield Trial(node.name, replace(op, type=finer), Finding(Cause.ROUNDING, what, fix))
        if bits < kind.width:
            what = f"Keras keeps {bits} fraction bits fewer than {kind}"
            coarser = Fixed(kind.signed, kind.width - bits, kind.frac - bits)
            yield Trial(node.name, replace(op, type=coarser), Finding(Cause.ROUNDING, what, AGAIN))


def _unlimited(kind: Fixed) -> Fixed:
    return Fixed(True, kind.width + MORE_BITS, kind.frac)


def _ends(evidence: Evidence, kind: Fixed) -> tuple[int, int]:
    codes, _ = to_codes(evidence.truth, kind.frac)
    return int(codes.min()), int(codes.max())


def _real(code: int, kind: Fixed) -> str:
    return f"{float(code * kind.lsb):g}"


def _bounds(node: Node, op: Clip) -> Iterator[Trial]:
    for lower, upper in ((op.lower, None), (None, op.upper), (None, None)):
        if (lower, upper) != (op.lower, op.upper):
            ends = " to ".join(
                "no limit" if c is None else f"{float(c.type.decode(c.codes)):g}"
                for c in (op.lower, op.upper)
            )
            what = f"the network limits values to {ends}, Keras does not"
            finding = Finding(Cause.OVERFLOW, what, f"check the layer's max_value; else {AGAIN}")
            yield Trial(node.name, Clip(lower, upper), finding)


def _attributes(node: Node, op: Conv | Pool) -> Iterator[Trial]:
    for padding in product(*({(a, b), (b, a), (0, a + b), (a + b, 0)} for a, b in op.padding)):
        if padding != op.padding:
            what = f"Keras pads with {padding} zeros (before, after), the network with {op.padding}"
            yield _attribute(node, replace(op, padding=padding), what)
    if isinstance(op, Conv):
        axes = tuple(range(op.weight.codes.ndim - 2))
        flipped = Const(np.flip(op.weight.codes, axes), op.weight.type)
        yield _attribute(
            node, replace(op, weight=flipped), "Keras has the kernel the other way round"
        )


def _attribute(node: Node, op: Op, what: str) -> Trial:
    return Trial(
        node.name, op, Finding(Cause.ATTRIBUTE, what, f"check the layer's settings; {AGAIN}")
    )


def rebuilt(evidence: Evidence, ops: dict[str, Op]) -> Net | None:
    """Return the part with other operations at some nodes, None if they do not fit."""

    def rule(builder: NetBuilder, node: Node, inputs: tuple[str, ...]) -> str:
        return add_again(builder, replace(node, op=ops.get(node.name, node.op)), inputs)

    try:
        return rebuild(evidence.part.net, rule)
    except UsageError:
        return None
