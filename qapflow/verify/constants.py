"""Compare a layer's constants with those that Keras uses, and its values by ratio and offset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.net import Node
from qapflow.ir.ops import Affine, Const, Conv, Dense, Op
from qapflow.verify.bisection import Cause, Finding
from qapflow.verify.evidence import Evidence
from qapflow.verify.trials import AGAIN, SCALE_FIX, rebuilt

Array = NDArray[Any]
DOUBLE_NOISE = 2.0**-40  # relative, of a ratio of two doubles after a few operations
SINGLE_NOISE = 2.0**-18
CONSTANT_FIX = f"{AGAIN}; weights changed after the build need a new build"


def compare_constants(evidence: Evidence) -> Finding | None:
    """Return a finding if Keras's own weights, put in, give Keras's values."""
    changed: dict[str, Op] = {}
    found: list[tuple[Node, str, Const, Array]] = []
    for node in evidence.part.net.nodes:
        for name, const in _weights(node.op):
            theirs = _match(const, evidence.constants, bias=name == "bias")
            if theirs is None or np.array_equal(const.type.decode(const.codes), theirs):
                continue
            found.append((node, name, const, theirs))
            op = changed.get(node.name, node.op)
            changed[node.name] = replace(op, **{name: Const.exact(theirs)})  # type: ignore[arg-type]
    if not found or (net := rebuilt(evidence, changed)) is None or not evidence.gives_truth(net):
        return None
    node, name, const, theirs = found[0]
    said = _say_constants(evidence, name, const.type.decode(const.codes), theirs)
    proof = f"with Keras's own weights all {evidence.ours.size} values equal Keras"
    return replace(said, proof=proof)


def wrong_constants(evidence: Evidence) -> Finding | None:
    """Return a finding if a float layer's constants are more than a step from those of Keras.

    The rule rounds to nearest and may saturate the largest, so that one step is the most it moves.
    """
    for node in evidence.part.net.nodes:
        for name, const in _weights(node.op):
            theirs = _match(const, evidence.constants, bias=name == "bias")
            if theirs is None:
                continue
            ours = const.type.decode(const.codes)
            far = np.abs(ours - theirs) > float(const.type.lsb)
            if far.any():
                return _say_constants(evidence, name, ours, np.where(far, theirs, ours))
    return None


def _weights(op: Op) -> Iterator[tuple[str, Const]]:
    if isinstance(op, Dense | Conv):
        yield "weight", op.weight
        if op.bias is not None:
            yield "bias", op.bias


def _match(const: Const, constants: Any, *, bias: bool) -> Array | None:
    """Return Keras's array of the same size, in the shape of the constant."""
    for array in constants:
        if array.size == const.codes.size and (array.ndim == 1) == bias:
            return np.asarray(array, np.float64).reshape(const.codes.shape)
    return None


def _say_constants(evidence: Evidence, name: str, ours: Array, theirs: Array) -> Finding:
    proof = "read from the layer in Keras"
    wrong = np.argwhere(ours != theirs)
    place = tuple(int(i) for i in wrong[0])
    factor = _ratio(theirs.ravel(), ours.ravel(), 0.0)
    if factor is not None and len(wrong) > 1:
        return replace(_say_ratio(factor, f"the {name} is"), proof=proof)
    what = (
        f"{len(wrong)} of {ours.size} values of the {name} are others in Keras: {list(place)} is "
        f"{theirs[place]:g}, in the network {ours[place]:g}"
    )
    return Finding(Cause.CONSTANT, what, CONSTANT_FIX, proof)


def compare_values(evidence: Evidence) -> Finding | None:
    """Return a finding if Keras's values are the network's times a factor, or plus a constant."""
    ours = evidence.kind.decode(evidence.ours)
    theirs = np.asarray(evidence.truth, np.float64).reshape(ours.shape)
    noise = SINGLE_NOISE if evidence.double is None else DOUBLE_NOISE
    return _by_ratio(ours, theirs, noise) or _by_offset(ours, theirs, evidence)


def _by_ratio(ours: Array, theirs: Array, noise: float) -> Finding | None:
    channels = ours.shape[-1] if ours.ndim > 1 else 1
    flat, other = ours.reshape(-1, channels), theirs.reshape(-1, channels)
    factors = [_ratio(other[:, c], flat[:, c], noise) for c in range(channels)]
    live = [f for c, f in enumerate(factors) if flat[:, c].any() or other[:, c].any()]
    if not live or any(factor is None for factor in live):
        return None
    different = [factor for factor in live if factor is not None and factor != 1]
    if not different:
        return None
    where = "values are" if len(set(live)) == 1 else f"{len(different)} channels are, the first by"
    proof = f"the ratio is the same for all {ours.size} values (of each channel)"
    return replace(_say_ratio(different[0], where), proof=proof)


def _ratio(theirs: Array, ours: Array, noise: float) -> float | None:
    """Return the one factor between two arrays, None if there is none."""
    known = ours != 0
    if not known.any() or not np.isfinite(theirs).all() or np.any(theirs[~known] != 0):
        return None
    ratios = theirs[known] / ours[known]
    middle = float(np.median(ratios))
    if middle == 0 or np.any(np.abs(ratios - middle) > noise * abs(middle)):
        return None
    return middle


def _say_ratio(factor: float, where: str) -> Finding:
    mantissa, exponent = np.frexp(factor)
    if mantissa == 0.5:
        what = f"{where} 2**{int(exponent) - 1} times larger in Keras than in the network"
        return Finding(Cause.SCALE, what, f"{SCALE_FIX}; if it has one, {AGAIN}")
    what = f"{where} {factor:.9g} times those of the network in Keras, no power of two"
    return Finding(Cause.ODD_SCALE, what, f"{SCALE_FIX}; if it has one, {AGAIN}")


def _by_offset(ours: Array, theirs: Array, evidence: Evidence) -> Finding | None:
    """Return a finding if each channel is off by a constant."""
    if len(ours) < 2 or not np.isfinite(theirs).all():
        return None
    channels = ours.shape[-1] if ours.ndim > 1 else 1
    off = (theirs - ours).reshape(-1, channels)
    if np.any(off != off[0]):
        return None
    wrong = np.flatnonzero(off[0])
    what = (
        f"{len(wrong)} of {channels} channels are off by a constant: channel {wrong[0]} by "
        f"{off[0, wrong[0]]:g}"
    )
    kinds = {type(node.op) for node in evidence.part.net.nodes}
    name = "offset" if Affine in kinds else "bias"
    proof = f"the {name} explains all {ours.size} values"
    return Finding(Cause.CONSTANT, what, CONSTANT_FIX, proof)
