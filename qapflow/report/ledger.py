"""The pruning ledger: how much of a layer's sparsity becomes hardware that is not there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from qapflow.frontend.model import LayerRecord
from qapflow.ir.net import Net, Node, count_turns, with_bodies
from qapflow.ir.ops import Conv, Dense
from qapflow.plan import Choice, Plan
from qapflow.report.figures import LedgerRow


def folds_zeros(choice: Choice) -> bool:
    """Tell whether zero weights vanish: constants of their own do, words of a memory do not.

    With the resource strategy and a reuse factor above 1 a multiplier is fed from block RAM, zeros
    included.
    """
    return choice.strategy != "resource" or choice.reuse_factor <= 1


def make_ledger(net: Net, plan: Plan, records: Sequence[LayerRecord]) -> tuple[LedgerRow, ...]:
    """Return one row for each Keras layer with kernel weights."""
    turns = count_turns(net)
    nodes: dict[str, list[Node]] = {}
    for node in with_bodies(net).nodes:
        if isinstance(node.op, Dense | Conv):
            nodes.setdefault(node.origin, []).append(node)
    return tuple(
        _row(record, nodes.get(record.name, []), plan, turns)
        for record in records
        if record.weights
    )


def _row(record: LayerRecord, nodes: list[Node], plan: Plan, turns: Mapping[str, int]) -> LedgerRow:
    total = removed = 0
    kept: list[Choice] = []
    for node in nodes:
        choice = plan.choices.get(node.name, Choice("latency", 1))
        count, zeros = _multiplications(node, turns[node.name])
        total += count
        if folds_zeros(choice):
            removed += zeros
        elif zeros:
            kept.append(choice)
    return LedgerRow(
        layer=record.name,
        weights=record.weights,
        zeros_float=record.zeros_float,
        zeros_quantized=record.zeros_quantized,
        multiplications=total,
        multiplications_removed=removed,
        warning="; ".join(_warnings(record, kept, removed, bool(nodes))),
    )


def _multiplications(node: Node, turns: int) -> tuple[int, int]:
    """Return multiplications a sample, zeros included, and those with a zero weight."""
    assert isinstance(node.op, Dense | Conv)
    codes = node.op.weight.codes
    places = math.prod(node.out.shape[:-1]) * turns
    return codes.size * places, int(np.count_nonzero(codes == 0)) * places


def _warnings(record: LayerRecord, kept: list[Choice], removed: int, lowered: bool) -> list[str]:
    warnings = []
    if kept:
        choice = max(kept, key=lambda c: c.reuse_factor)
        share = "0 %" if not removed else "only a part"
        warnings.append(
            f"{share} of this sparsity reaches the hardware: reuse factor {choice.reuse_factor}, "
            f"{choice.strategy} strategy (zeros are read from memory and multiplied). "
            "Use reuse factor 1 with the latency strategy"
        )
    if record.zeros_quantized < record.zeros_float:
        lost = record.zeros_float - record.zeros_quantized
        warnings.append(
            f"the quantizer makes {lost} zero weights non-zero; use a quantizer that has a zero"
        )
    if record.zeros_mask is not None and record.zeros_float < record.zeros_mask:
        warnings.append(
            f"the pruning mask has {record.zeros_mask} zeros, the weights only "
            f"{record.zeros_float}: train with the UpdatePruningStep callback, then strip_pruning"
        )
    if not lowered:
        warnings.append("the layer is no longer in the network: its result is not used")
    return warnings
