"""Divide scheduled logic into pieces: what one layer does within one pipeline stage.

Values are numbered by the operation that makes them. A piece is combinational; every value that a
later stage or an output needs is kept in registers between the stages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qapflow.rtl.schedule import Schedule
from qapflow.rtl.trace import Traced

INPUT, CONSTANT = -1, 5  # alkaid's operation codes


@dataclass(frozen=True, eq=False)
class Piece:
    """Operations of one layer in one stage; `reads` and `makes` are values at its border.

    `logic` is alkaid's CombLogic, `numbers` the value of each of its operations.
    """

    stage: int
    layer: int
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    logic: Any
    numbers: tuple[int, ...]
    cost_lut: float


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Pieces in order, and for each value between stages the last stage that needs it.

    Stage `count` is what stands behind the last register: the outputs.
    """

    traced: Traced
    schedule: Schedule
    pieces: tuple[Piece, ...]
    last: dict[int, int]

    @property
    def register_bits(self) -> int:
        """Bits of all data registers."""
        spans = ((v, end - self.schedule.stages[v]) for v, end in self.last.items())
        return sum(self.width(value) * span for value, span in spans if span > 0)

    def width(self, value: int) -> int:
        """Bits of a value."""
        return int(sum(self.traced.logic.ops[value].qint.kif))


def in_layers(traced: Traced, found: Schedule) -> tuple[Traced, Schedule]:
    """Return logic and schedule with operations sorted by layer, then by stage.

    Operands come before what reads them still, and a layer keeps its numbers, and so its files,
    when a later one changes.
    """
    logic = traced.logic
    keys = list(zip(traced.owners, found.stages, range(len(logic.ops)), strict=True))
    order = [index for _, _, index in sorted(keys)]
    place = {index: number for number, index in enumerate(order)}
    ops = [logic.ops[i]._replace(addr=tuple(place[a] for a in logic.ops[i].addr)) for i in order]
    sorted_logic = logic._replace(ops=ops, out_idxs=[place[i] for i in logic.out_idxs])
    owners, stages = (tuple(xs[i] for i in order) for xs in (traced.owners, found.stages))
    return (
        replace(traced, logic=sorted_logic, owners=owners),
        replace(found, stages=stages),
    )


def divide(traced: Traced, found: Schedule) -> Pipeline:
    """Return the pieces of the logic under a schedule."""
    traced, found = in_layers(traced, found)
    ops, stages = traced.logic.ops, found.stages
    last = _last_stages(traced.logic, found)
    members: dict[tuple[int, int], list[int]] = defaultdict(list)
    for value, op in enumerate(ops):
        if op.opcode not in (INPUT, CONSTANT):
            members[stages[value], traced.owners[value]].append(value)
    home = {value: key for key, values in members.items() for value in values}
    outside: set[int] = {value for value, end in last.items() if end > stages[value]}
    for value, key in home.items():
        outside.update(i for i in ops[value].input_ids if home.get(i) not in (None, key))
    pieces = [_piece(traced.logic, key, values, outside) for key, values in sorted(members.items())]
    return Pipeline(traced, found, tuple(pieces), last)


def _last_stages(logic: Any, found: Schedule) -> dict[int, int]:
    """Return for each value that is no constant the last stage in which it is read."""
    last: dict[int, int] = {}
    for value, op in enumerate(logic.ops):
        for operand in op.input_ids:
            last[operand] = max(last.get(operand, 0), found.stages[value])
    for value in logic.out_idxs:
        last[value] = found.count
    return {v: end for v, end in last.items() if logic.ops[v].opcode != CONSTANT}


def _piece(logic: Any, key: tuple[int, int], values: Sequence[int], outside: set[int]) -> Piece:
    inside = set(values)
    operands = sorted({i for v in values for i in logic.ops[v].input_ids} - inside)
    reads = tuple(i for i in operands if logic.ops[i].opcode != CONSTANT)
    constants = [i for i in operands if logic.ops[i].opcode == CONSTANT]
    makes = tuple(v for v in values if v in outside)
    numbers = (*reads, *constants, *values)
    place = {number: i for i, number in enumerate(numbers)}
    ops = [
        op._replace(addr=(), opcode=INPUT, data=(i,), cost=0.0)
        for i, op in enumerate(logic.ops[v] for v in reads)
    ]
    ops += [logic.ops[v] for v in constants]
    ops += [
        op._replace(addr=tuple(place[i] for i in op.addr)) for op in (logic.ops[v] for v in values)
    ]
    part = logic._replace(
        shape=(len(reads), len(makes)),
        inp_shifts=[0] * len(reads),
        out_idxs=[place[v] for v in makes],
        out_shifts=[0] * len(makes),
        out_negs=[False] * len(makes),
        ops=ops,
    )
    cost = float(sum(logic.ops[v].cost for v in values))
    return Piece(key[0], key[1], reads, makes, part, numbers, cost)
