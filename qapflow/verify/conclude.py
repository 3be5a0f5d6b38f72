"""From the judgement of every layer to the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.net import Net
from qapflow.verify.bisection import (
    Bisection,
    Blame,
    LayerCheck,
    Place,
    Verdict,
)


def conclude(
    net: Net,
    checks: Sequence[LayerCheck],
    places: Mapping[str, Place],
    samples: NDArray[np.intp],
    model: str,
    notes: tuple[str, ...],
) -> Bisection:
    """Return the bisection; `samples` are the numbers of the rows that places speak of."""

    def number(place: Place | None) -> Place | None:
        return None if place is None else replace(place, sample=int(samples[place.sample]))

    checks = tuple(replace(check, own_first=number(check.own_first)) for check in checks)
    first = next((c for c in checks if c.differing or c.finding), None)
    where = None
    if first is not None:
        where = number(places.get(first.layer)) or first.own_first
    shown = {check.edge for check in checks}
    if unseen := [name for name in net.outputs if name not in shown]:
        notes = (*notes, f"Keras does not show {', '.join(unseen)}: not compared")
    return Bisection(_verdict(net, checks), model, net.digest, len(samples), checks, where, notes)


def _verdict(net: Net, checks: Sequence[LayerCheck]) -> Verdict:
    blames = {check.finding.blame for check in checks if check.finding is not None}
    changed = any(check.differing for check in checks if check.edge in net.outputs)
    if Blame.NETWORK in blames or (Blame.INPUT in blames and changed):
        return "different"
    if Blame.RULE in blames:
        return "rounded by rule"
    if any(check.state == "not judged" for check in checks):
        return "different"
    return "Keras inexact" if Blame.KERAS in blames else "equal"
