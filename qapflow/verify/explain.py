"""Find the cause of a difference at one layer, from the same input on both sides."""

from __future__ import annotations

import numpy as np

from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Conv, Dense, Quantize
from qapflow.verify.bisection import Blame, Cause, Finding
from qapflow.verify.compare import find_cause
from qapflow.verify.constants import compare_constants, compare_values, wrong_constants
from qapflow.verify.evidence import Evidence, to_codes
from qapflow.verify.float_proof import prove_keras_inexact
from qapflow.verify.rule_bound import rule_bound
from qapflow.verify.trials import AGAIN, SCALE_FIX, find_change

# Words of `find_cause` and what they mean here.
WORDS = (
    ("overflow", Cause.OVERFLOW),
    ("rounding", Cause.ROUNDING),
    ("binary point", Cause.SCALE),
    ("sign", Cause.SCALE),
    ("layout", Cause.LAYOUT),
)
ODD_SCALE = ("no power of two", "no powers of two")  # in the reason of a float layer
FIXES = {
    Cause.OVERFLOW: "more integer bits in the layer's quantizer, or --calibration with samples",
    Cause.ROUNDING: "give the layer a quantizer (quantized_bits(..., alpha=1)), which both share",
}


def explain(evidence: Evidence) -> Finding:
    """Return the cause of the difference at a layer, with the proof where there is one."""
    if found := prove_keras_inexact(evidence):
        return found
    if evidence.part.record.regime != "exact":
        return _saturated(evidence) or wrong_constants(evidence) or _announced(evidence)
    found = find_change(evidence) or compare_constants(evidence) or compare_values(evidence)
    return found or _guess(evidence)


def _saturated(evidence: Evidence) -> Finding | None:
    """Return a finding if a type that was chosen for a float layer is too narrow."""
    net = evidence.part.net
    edges = interpret(net, evidence.inputs, keep="all")
    for node in net.nodes:
        if not isinstance(node.op, Quantize) or node.name == node.origin:
            continue
        before = net.edge(node.inputs[0])
        codes, kind = edges[node.inputs[0]], node.out.type
        values = before.type.decode(codes)
        low, high = (float(code * kind.lsb) for code in (kind.lo, kind.hi))
        step = float(kind.lsb)
        beyond = (values < low - step) | (values > high + step)
        if beyond.any() and node.name.endswith("_chosen"):
            peak = float(np.abs(values[beyond]).max())
            what = (
                f"the type {kind} that was chosen for this float layer saturates on "
                f"{int(beyond.sum())} of {beyond.size} values, up to {peak:g}"
            )
            fix = "build with --calibration FILE: samples as large as these; or more --float-bits"
            return Finding(Cause.OVERFLOW, what, fix, "counted before the rounding to that type")
    return None


def _announced(evidence: Evidence) -> Finding:
    """Return the rule by which a float layer was rounded, unless that cannot move it so far."""
    record, kind = evidence.part.record, evidence.kind
    apart = np.abs(kind.decode(evidence.ours) - evidence.truth)
    bound = rule_bound(evidence)
    if bound is not None and not (apart <= bound).all():
        place = np.unravel_index(int(np.argmax(apart - bound)), apart.shape)
        what = (
            f"{apart[place]:.3g} apart, where the announced rounding ({record.reason}) moves a "
            f"value by at most {bound[place]:.3g}"
        )
        return Finding(Cause.ATTRIBUTE, what, f"check the layer's settings; {AGAIN}")
    proof = "no bound is derived for this layer: the distance is measured only"
    if bound is not None:
        proof = f"every value is within what that rounding can move it (up to {bound.max():.3g})"
    distance = float(apart.max())
    steps = distance / float(kind.lsb)
    what = f"{record.reason}; at most {distance:.3g} apart, {steps:.3g} steps of {kind}"
    cause, fix = _rule(evidence)
    return Finding(cause, what, fix, proof, Blame.RULE)


def _rule(evidence: Evidence) -> tuple[Cause, str]:
    """Return what made the rounding of a float layer necessary, and what avoids it."""
    if any(words in evidence.part.record.reason for words in ODD_SCALE):
        return Cause.ODD_SCALE, SCALE_FIX
    if "table" in evidence.part.record.reason:
        return Cause.TABLE, "nothing to do within that bound; more --float-bits makes it smaller"
    quantize = "put QActivation(quantized_bits(bits, integer, alpha=1)) behind it"
    if any(isinstance(node.op, Dense | Conv) for node in evidence.part.net.nodes):
        quantize = (
            "quantize the layer: kernel_quantizer and bias_quantizer quantized_bits(bits, integer, "
            "alpha=1) and a quantizer for its output"
        )
    return Cause.ROUNDING, f"{quantize}; or more --float-bits, --calibration with samples"


def _guess(evidence: Evidence) -> Finding:
    """Describe a difference that no single change explains."""
    codes, known = to_codes(evidence.truth, evidence.kind.frac)
    codes = codes.reshape(evidence.ours.shape)
    if not known.all():
        what = (
            f"{int((~known).sum())} of {known.size} values of Keras are not on the grid of "
            f"{evidence.kind}: the layer does something the network does not"
        )
        return Finding(Cause.ATTRIBUTE, what, f"quantize the layer's output, or {AGAIN}")
    net = evidence.part.net
    edges = interpret(net, evidence.inputs, keep="all")
    text = find_cause(net, net.by_name[evidence.part.edge], edges, evidence.ours, codes)
    for word, cause in WORDS:
        if text.startswith(word):
            return Finding(cause, f"Keras, seen from the network: {text}", FIXES.get(cause, AGAIN))
    return Finding(Cause.UNKNOWN, f"Keras, seen from the network: {text}", AGAIN)
