"""What can overflow, in words: the theorem, the margins behind it, and every quantizer's ends."""

from __future__ import annotations

from collections.abc import Sequence

from qapflow.ir.fixed import Fixed
from qapflow.report.figures import Loss, Margin, OverflowProof
from qapflow.report.words import count, plural, real, share

MARGIN_TITLES = ("accumulator", "type", "proved sums (codes)", "of", "spare bits", "spare")
LOSS_TITLES = ("quantizer", "type", "end", "what happens there", "how known", "of values")
DONE = {"wraps": "wraps", "clips": "clips by design", "rectifies": "becomes 0 by design"}


def state_overflow(proof: OverflowProof) -> str:
    """Return the report's statement: accumulators with the narrowest margin, then quantizers."""
    return f"{_state_accumulators(proof.margins)}. {_state_quantizers(proof)}."


def _state_accumulators(margins: Sequence[Margin]) -> str:
    broken = [item.node for item in margins if item.percent < 0]
    if broken:
        return f"{len(broken)} of {len(margins)} accumulators can overflow: {_join(broken)}"
    if not margins:
        return "no accumulator can overflow: the network sums nothing"
    item = min(margins, key=lambda margin: margin.bits)
    kind = Fixed.parse(item.type)
    return (
        f"no accumulator can overflow: each of {len(margins)} holds every partial sum of every "
        f"input. Narrowest margin: {item.node} reaches {item.low} to {item.high} of {kind.lo} to "
        f"{kind.hi} ({item.type}), {bits_text(item.bits)} or {item.percent:.1f} % to spare"
    )


def _state_quantizers(proof: OverflowProof) -> str:
    parts = []
    for kind, verb in (("wraps", "wrap"), ("clips", "saturate"), ("rectifies", "rectify")):
        for verdict, some in (("does", "on some inputs"), ("not excluded", "")):
            names = _nodes(proof.losses, kind, verdict)
            if verdict == "not excluded":
                names = [name for name in names if name not in _nodes(proof.losses, kind, "does")]
            if names:
                parts.append(_say(names, verb, some, by_design=kind != "wraps"))
    if not parts:
        return "No quantizer can overflow either"
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def _say(names: list[str], verb: str, some: str, by_design: bool) -> str:
    who = plural(len(names), "quantizer")
    if not some:
        return f"whether {who} can {verb} is not excluded, and no input was found: {_join(names)}"
    verb += "s" * (len(names) == 1) if verb != "rectify" else ""
    verb = "rectifies" if verb == "rectify" and len(names) == 1 else verb
    design = ", as the model says" if by_design else ", which changes values altogether"
    return f"{who} {verb} {some}{design}: {_join(names)}"


def _nodes(losses: Sequence[Loss], kind: str, verdict: str) -> list[str]:
    found = (item.node for item in losses if item.kind == kind and item.verdict == verdict)
    return list(dict.fromkeys(found))


def overflow_of(proof: OverflowProof, node: str) -> str:
    """Return what a node's quantizer does at its ends, the worst of it; "" if nothing is lost."""
    for kind, verb in (("wraps", "wrap"), ("clips", "saturate")):
        if node in _nodes(proof.losses, kind, "does"):
            return f"{verb}s"
        if node in _nodes(proof.losses, kind, "not excluded"):
            return f"may {verb}"
    return ""


def bits_text(bits: float) -> str:
    """Return 0.41 bits."""
    return f"{bits:.2f} bits"


def margin_rows(proof: OverflowProof, most: int | None = None) -> list[tuple[str, ...]]:
    """Return the rows of the table of margins, the narrowest first."""
    order = sorted(proof.margins, key=lambda item: item.bits)
    rows: list[tuple[str, ...]] = []
    for item in order[:most]:
        kind = Fixed.parse(item.type)
        reach, limits = f"{item.low} to {item.high}", f"{kind.lo} to {kind.hi}"
        spare = f"{item.bits:.2f}", f"{item.percent:.1f} %"
        rows.append((item.node, item.type, reach, limits, *spare))
    return rows


def loss_rows(proof: OverflowProof, most: int | None = None) -> list[tuple[str, ...]]:
    """Return the rows of the table of quantizers, wraps first."""
    worst = ("wraps", "clips", "rectifies")
    order = sorted(proof.losses, key=lambda item: (worst.index(item.kind), item.verdict != "does"))
    return [
        (item.node, item.type, item.end, DONE[item.kind], _known(item), share(item.share))
        for item in order[:most]
    ]


def _known(item: Loss) -> str:
    if item.verdict == "not excluded" or item.before is None or item.after is None:
        return f"not excluded: {real(item.bound)} against {real(item.limit)}, no input found"
    where = f"sample {item.row}: " if item.row is not None else ""
    return f"{where}{real(item.before)} becomes {real(item.after)}"


def warnings(proof: OverflowProof) -> list[str]:
    """Return what a user should look at: every quantizer that wraps or may."""
    found = []
    for item in proof.losses:
        if item.kind == "wraps":
            verb = "wraps" if item.verdict == "does" else "may wrap"
            found.append(f"{item.node} {verb} {item.end} its range: {_known(item)}")
    return found


def about(proof: OverflowProof) -> list[str]:
    """Return the sentences under the tables: premises, where the samples are, what was counted."""
    found = [f"premises: {'; '.join(proof.premises)}"] if proof.premises else []
    if proof.witness:
        found.append(
            f"samples are those of {proof.witness}; `qapflow verify --inputs` runs them; "
            "shares are of the verification vectors"
        )
    if proof.counts:
        found.append(proof.counts)
    return found


def more(shown: int, total: int) -> str:
    """Return how many rows a shortened table leaves out, "" for none."""
    return f"and {count(total - shown)} more in report.json" if total > shown else ""


def _join(names: list[str], most: int = 6) -> str:
    left_out = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + left_out
