"""The types of the states of a loop, and the loop itself.

States lie on fixed grids. If every gate and state is quantized, the grids of the states settle:
starting from zero, each step's result types feed the next step until nothing grows. Then the loop
is exact. Where they never settle (floats, or cell states that no quantizer rounds) the states are
rounded in every step to chosen types.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

import numpy as np

from qapflow.frontend.layers.cells import FLOAT32_BITS, Cell, Gate, Step, Stepped, peak_of
from qapflow.frontend.layers.work import Work
from qapflow.frontend.quantizers import UnsupportedQuantizer
from qapflow.ir import kernels
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fast import compile_net
from qapflow.ir.fixed import Codes, Fixed, Overflow, Rounding
from qapflow.ir.net import Net
from qapflow.ir.ops import Affine, Const, Dense, Merge, Quantize, Scan
from qapflow.ir.semantics import run_scan

ROUNDS = 6  # steps after which a grid that still grows is taken to grow for ever
WIDEST = 40
CALIBRATION_RUNS = 64
CALIBRATION_ROWS = 512
ROOM = 16  # integer bits of states whose range is still to be measured
SMALL = 1 << 8  # a proved range up to which states are not measured
EXACT_OPS = (Dense, Merge, Affine)


@dataclass(frozen=True)
class Loop:
    """What a loop needs: its layer, the sequences it reads, and how they start.

    `sequences` are edges [steps, *shape]: the input, then initial states that other layers give,
    zero behind the first step.
    """

    work: Work
    cell: Cell
    gates: tuple[Gate, ...]
    sequences: tuple[str, ...]
    units: int

    @property
    def steps(self) -> int:
        """Number of time steps."""
        return self.work.shape(self.sequences[0])[0]


@dataclass(frozen=True)
class Body:
    """The step as a network, why it is not exact, and the types its states would need."""

    net: Net
    work: Work
    next_types: tuple[Fixed, ...]
    bounds: tuple[Fraction, ...]


Samples = dict[str, Codes]


def add_loop(loop: Loop, emit_all: bool, suffix: str = "") -> str:
    """Add the loop and return the edge of its results."""
    body, kinds = _settled(loop) or _chosen(loop)
    loop.work.reasons += body.work.reasons
    loop.work.notes += body.work.notes
    op = Scan(body.net, _zeros(kinds), "all" if emit_all else "last")
    return loop.work.add(op, *loop.sequences, suffix=suffix)


def _zeros(kinds: tuple[Fixed, ...]) -> tuple[Const, ...]:
    return tuple(Const(np.zeros((), np.int64), kind) for kind in kinds)


def build_body(
    loop: Loop, kinds: tuple[Fixed, ...], samples: Samples | None = None, rounds: bool = False
) -> Body:
    """Translate one step; with `rounds` the next states are cast to the types of the states."""
    builder = NetBuilder()
    given = samples or {}
    states = [
        builder.add_input(f"state{k}", (loop.units,), kind, given.get(f"state{k}"))
        for k, kind in enumerate(kinds)
    ]
    slices = []
    for k, edge in enumerate(loop.sequences):
        outer = loop.work.builder.edges[edge]
        name = "x" if not k else f"initial{k - 1}"
        slices.append(builder.add_input(name, outer.shape[1:], outer.type, given.get(name)))
    work = replace(loop.work, builder=builder, inputs=(slices[0],), reasons=[], notes=[])
    for k, first in enumerate(slices[1:]):
        states[k] = work.add(Merge("add"), states[k], first, suffix=f"start{k}")
    quantizer = work.config.get("state_quantizer")
    states = [work.activate(s, quantizer, f"state{k}_quantized") for k, s in enumerate(states)]
    stepped = loop.cell.step(Step(work, loop.gates, slices[0], tuple(states), rounds))
    return _close(loop, work, stepped, kinds, rounds)


def _close(
    loop: Loop, work: Work, stepped: Stepped, kinds: tuple[Fixed, ...], rounds: bool
) -> Body:
    builder, after = work.builder, stepped.states
    next_types = tuple(builder.edges[edge].type for edge in after)
    starts = [peak_of(loop.work, edge) for edge in loop.sequences[1:]] or [Fraction(0)] * len(after)
    bounds = []
    for edge, bound, start in zip(after, stepped.bounds, starts, strict=True):
        if bound is None:
            bounds.append(peak_of(work, edge))
        else:
            bounds.append(start + bound * loop.steps if stepped.per_step else max(start, bound))
    if not loop.work.reasons:
        _check_float32(work)
    if rounds:
        after = tuple(
            work.add(Quantize(kind, Rounding.RND, Overflow.SAT), edge, suffix=f"next{k}")
            for k, (edge, kind) in enumerate(zip(after, kinds, strict=True))
        )
        names = ", ".join(str(kind) for kind in kinds)
        work.reasons.append(
            f"states rounded to {names} in each of {loop.steps} steps; the errors add up"
        )
    return Body(builder.finish((*after, after[0])), work, next_types, tuple(bounds))


def _check_float32(work: Work) -> None:
    """Note sums and products of more bits than float32 holds, in which Keras computes."""
    types = [node.out.type for node in work.builder.nodes if isinstance(node.op, EXACT_OPS)]
    widest = max(kind.width - kind.signed for kind in types)
    if widest > FLOAT32_BITS and not work.reasons:
        work.reasons.append(
            f"its sums have up to {widest} bits, more bits than float32 has ({FLOAT32_BITS}), in "
            "which Keras computes"
        )


def _settled(loop: Loop) -> tuple[Body, tuple[Fixed, ...]] | None:
    """Return the body on whose grids the states settle, None if they never do."""
    kinds = (Fixed(False, 1, 0),) * loop.cell.states
    for _ in range(ROUNDS):
        try:
            body = build_body(loop, kinds)
        except UnsupportedQuantizer:  # perhaps only because the states have grown too wide
            return None
        pairs = list(zip(kinds, body.next_types, strict=True))
        if all(kind.frac == made.frac and kind.contains(made) for kind, made in pairs):
            return body, kinds
        kinds = tuple(_join(kind, made) for kind, made in pairs)
        if max(kind.width for kind in kinds) > WIDEST:
            return None
    return None


def _join(first: Fixed, second: Fixed) -> Fixed:
    frac = max(first.frac, second.frac) if first.width > 1 else second.frac
    low = min(first.lo << max(frac - first.frac, 0), second.lo << (frac - second.frac))
    high = max(first.hi << max(frac - first.frac, 0), second.hi << (frac - second.frac))
    if first.width == 1:
        low, high = second.lo, second.hi
    return Fixed.holding(min(low, 0), high, frac)


def _chosen(loop: Loop) -> tuple[Body, tuple[Fixed, ...]]:
    """Choose types for the states: proved ranges if small, else twice what samples reach."""
    frac = loop.work.options.float_bits - 2
    kinds = (Fixed(True, 1 + ROOM + frac, frac),) * loop.cell.states
    body = build_body(loop, kinds, rounds=True)
    seen, peaks = _run(loop, body, kinds)
    kinds = tuple(
        _choose(bound, peaks.get(f"state{k}"), frac) for k, bound in enumerate(body.bounds)
    )
    for k, kind in enumerate(kinds):
        if f"state{k}" in seen:
            seen[f"state{k}"] = np.clip(seen[f"state{k}"], kind.lo, kind.hi)
    return build_body(loop, kinds, seen, rounds=True), kinds


def _choose(bound: Fraction, seen: int | None, frac: int) -> Fixed:
    """Choose a type that holds a proved bound if it is small, else twice what was seen."""
    peak = ceil(bound * Fraction(2) ** frac)
    if seen is not None and bound > SMALL:
        peak = min(peak, max(seen << 1, 1))
    width = 1 + peak.bit_length()
    return Fixed(True, width, frac)


def _run(loop: Loop, body: Body, kinds: tuple[Fixed, ...]) -> tuple[Samples, dict[str, int]]:
    """Run the body over the calibration samples; return some of what enters a step, and peaks."""
    outer = loop.work.builder
    if not all(edge in outer.codes for edge in loop.sequences):
        return {}, {}
    program, keep = compile_net(body.net), frozenset(body.net.outputs)
    pooled: dict[str, list[Codes]] = {}

    def step(values: dict[str, Codes]) -> dict[str, Codes]:
        for name, codes in values.items():
            pooled.setdefault(name, []).append(np.asarray(codes, np.int64))
        return program.run(values, keep)

    codes = tuple(outer.codes[edge][:CALIBRATION_RUNS] for edge in loop.sequences)
    run_scan(Scan(body.net, _zeros(kinds), "last"), codes, step)
    rows = {name: np.concatenate(parts) for name, parts in pooled.items()}
    peaks = {name: kernels.peak(array) for name, array in rows.items()}
    stride = max(1, len(next(iter(rows.values()))) // CALIBRATION_ROWS)
    return {name: array[::stride] for name, array in rows.items()}, peaks
