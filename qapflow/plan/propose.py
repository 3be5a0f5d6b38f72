"""Propose how each layer is built: fast where it fits, never across a known wall.

Walls, in multiplications unrolled side by side in one layer: in 2,099 public runs of hls4ml dense
layers with Vivado HLS 2020.1 every one of 2,048 was synthesised, every latency one of 3,072 or
more failed; with Vitis HLS 4,096 pass (2023.2). Every element of an array in registers counts
against `config_array_partition -maximum_size 4096`. A dense layer whose products are each a line
of code has no loop to unroll; the same numbers bound its weights that are not zero, of which no
public run is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from qapflow.errors import UsageError
from qapflow.ir.net import Net, Node, with_bodies
from qapflow.ir.ops import Conv, Pool, Upsample
from qapflow.plan import Backend, Choice, IoType, Plan, Strategy
from qapflow.plan.absurd import stop_absurd
from qapflow.plan.match import match_overrides
from qapflow.plan.overrides import LayerOverride, Overrides, read_overrides
from qapflow.plan.reuse import (
    can_be_written_out,
    check_choice,
    has_weights,
    multiplications,
    multiplier_shape,
    nonzero_products,
    parallel_multiplications,
    valid_reuse_factors,
)
from qapflow.plan.rough_cost import RoughCost, rough_cost
from qapflow.target import Target

Goal = Literal["latency", "resources"]

UNROLL_LIMIT: Mapping[str, int] = {"vitis": 4096, "vivado": 2048}
PARTITION_LIMIT = 4096  # array elements that can become registers
MAP_LIMIT = 1024  # elements of a feature map that io_parallel should hold in registers
UNCERTAINTY: Mapping[str, float] = {"vitis": 27.0, "vivado": 12.5}  # the tools' own defaults
LUT_SHARE, DSP_SHARE, BRAM_SHARE = 0.7, 0.8, 0.8  # FINN's limits for designs that still route


def propose(
    net: Net,
    target: Target,
    *,
    io_type: IoType | None = None,
    backend: Backend = "vitis",
    clock_ns: float | None = None,
    clock_uncertainty_percent: float | None = None,
    strategy: Strategy | None = None,
    reuse_factor: int | None = None,
    overrides: Overrides | Path | None = None,
    goal: Goal = "latency",
) -> Plan:
    """Return a complete plan; what is not given is chosen, with the reason beside it.

    A setting of one layer beats an argument, an argument beats a global key of `overrides`.
    Goal `latency` takes the fastest design that fits the board; `resources` takes one multiplier
    an output.

    Raises:
        UsageError: an unknown layer, an impossible reuse factor, two back ends asked for, or far
            more side by side than any tool finishes.
    """
    net = with_bodies(net)
    given = _read(overrides, backend)
    wanted = LayerOverride(
        strategy or given.model.strategy,
        reuse_factor or given.model.reuse_factor,
        given.model.at if reuse_factor is None else "--reuse-factor",
    )
    fixed = match_overrides(net, given, wanted)
    io_type = io_type or given.io_type
    io_reason = "" if io_type else _io_reason(net)
    chosen_io: IoType = io_type or ("io_stream" if io_reason else "io_parallel")
    choices = {
        node.name: _choose(node, fixed[node.name], backend, goal)
        for node in net.nodes
        if has_weights(node)
    }
    working = {name: _fastest(net.by_name[name], UNROLL_LIMIT[backend]) for name in choices}
    stop_absurd(net, choices, working, chosen_io)
    free = {name for name, choice in choices.items() if choice.reason}
    choices, notes = _fit(net, target, choices, free)
    return Plan(
        backend=backend,
        io_type=chosen_io,
        clock_ns=clock_ns or given.clock_ns or target.clock_ns,
        clock_uncertainty_percent=_first(
            clock_uncertainty_percent, given.clock_uncertainty_percent, UNCERTAINTY[backend]
        ),
        choices=choices,
        notes=(*((io_reason,) if io_reason else ()), *_walls(net, choices, backend), *notes),
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _read(overrides: Overrides | Path | None, backend: Backend) -> Overrides:
    if overrides is None:
        return Overrides("")
    given = read_overrides(overrides) if isinstance(overrides, Path) else overrides
    if given.backend and given.backend != backend:
        what = f"the plan file asks for the {given.backend} back end, the build for {backend}"
        raise UsageError(what, given.source, f"give --backend {given.backend}")
    return given


def _io_reason(net: Net) -> str:
    """Say why this network should stream; "" when registers are better."""
    for node in net.nodes:
        for edge in (node.out, *(net.edge(name) for name in node.inputs)):
            size = math.prod(edge.shape)
            if size > PARTITION_LIMIT:
                return (
                    f"io_stream: {node.name} has {size} values, and io_parallel would need a "
                    f"register for each (the tools stop at {PARTITION_LIMIT})"
                )
            if isinstance(node.op, Conv | Pool | Upsample) and size > MAP_LIMIT:
                return (
                    f"io_stream: the feature map of {node.name} has {size} values; io_parallel "
                    f"would multiplex that many registers for every pixel"
                )
    return ""


def _choose(node: Node, fixed: LayerOverride, backend: Backend, goal: Goal) -> Choice:
    """Return the user's choice if there is one (reason ""), else the best within the walls."""
    if fixed.strategy is None and fixed.reuse_factor is None:
        return _resources(node) if goal == "resources" else _fastest(node, UNROLL_LIMIT[backend])
    factor = fixed.reuse_factor or 1
    if fixed.strategy is None:
        # Latency would unroll everything all the same; sharing is what the factor asks for.
        choice = Choice("resource" if factor > 1 else "latency", factor)
    elif fixed.strategy == "resource" and fixed.reuse_factor is None:
        factor = _fastest(node, UNROLL_LIMIT[backend], shared=True).reuse_factor
        choice = Choice("resource", factor)
    else:
        many = multiplications(node) > UNROLL_LIMIT[backend]
        written = fixed.strategy == "latency" and many and can_be_written_out(node)
        choice = Choice(fixed.strategy, factor, written_out=written)
    check_choice(node, choice)
    return choice


def _fastest(node: Node, limit: int, shared: bool = False) -> Choice:
    """Unroll everything if the tools can, else share as little as they need."""
    total = multiplications(node)
    if total <= limit and not shared:
        reason = f"{total} products, all at once (the tools unroll up to {limit})"
        return Choice("latency", 1, reason)
    left = nonzero_products(node)
    if left <= limit and can_be_written_out(node) and not shared:
        reason = f"{left} of {total} products have a weight that is not zero; each is written out"
        return Choice("latency", 1, reason, written_out=True)
    for factor in valid_reuse_factors(node):
        choice = Choice("resource", factor)
        lanes = parallel_multiplications(node, choice)
        if lanes <= limit:
            reason = (
                f"{total} products are more than the {limit} that the tools unroll; "
                f"{lanes} at once, {factor} times"
            )
            return replace(choice, reason=reason)
    factor = valid_reuse_factors(node)[-1]
    return Choice("resource", factor, f"{total} products; the largest reuse factor there is")


def _resources(node: Node) -> Choice:
    """One multiplier an output."""
    n_in, n_out = multiplier_shape(node)
    factor = max(f for f in valid_reuse_factors(node) if f <= n_in)
    lanes = parallel_multiplications(node, Choice("resource", factor))
    reason = f"goal resources: {lanes} multipliers for {n_out} outputs"
    return Choice("resource", factor, reason)


def _fit(
    net: Net, target: Target, choices: dict[str, Choice], free: set[str]
) -> tuple[dict[str, Choice], tuple[str, ...]]:
    """Raise reuse factors of the free layers, the costliest first, until the board is enough."""
    choices = dict(choices)
    costs = {n: rough_cost(net, net.by_name[n], c) for n, c in choices.items()}
    slower: set[str] = set()
    while True:
        total = sum(costs.values(), RoughCost())
        resource, share = _tightest(total, target)
        if share <= 1:
            break
        best = _best_step(net, choices, free, costs, resource)
        if best is None:
            note = (
                f"needs roughly {share:.1f} times the {resource} that may be used on "
                f"{target.name}, and no reuse factor is left to raise"
            )
            return choices, (note,)
        name, choice = best
        choices[name] = choice
        costs[name] = rough_cost(net, net.by_name[name], choice)
        slower.add(name)
    if not slower:
        return choices, ()
    names = ", ".join(sorted(slower))
    return choices, (f"reuse factors raised so that the design fits {target.name}: {names}",)


def _tightest(total: RoughCost, target: Target) -> tuple[str, float]:
    room = target.resources
    shares = {
        "lut": total.lut / (room.lut * LUT_SHARE),
        "dsp": total.dsp / max(room.dsp * DSP_SHARE, 1e-9),
        "bram18": total.bram18 / max(room.bram18 * BRAM_SHARE, 1e-9),
    }
    name = max(shares, key=lambda key: shares[key])
    return name, shares[name]


def _best_step(
    net: Net,
    choices: Mapping[str, Choice],
    free: set[str],
    costs: Mapping[str, RoughCost],
    resource: str,
) -> tuple[str, Choice] | None:
    """Find the costliest free layer that a larger reuse factor makes smaller, and that factor."""
    for name in sorted(free, key=lambda n: (-getattr(costs[n], resource), n)):
        node, now = net.by_name[name], choices[name]
        for factor in valid_reuse_factors(node):
            if factor < 2 * now.reuse_factor:
                continue
            reason = f"reuse factor {factor}, so that all layers together fit the board"
            choice = Choice("resource", factor, reason)
            if getattr(rough_cost(net, node, choice), resource) < getattr(costs[name], resource):
                return name, choice
    return None


def _walls(net: Net, choices: Mapping[str, Choice], backend: Backend) -> tuple[str, ...]:
    """Warn about choices that unroll more than the tools can."""
    limit = UNROLL_LIMIT[backend]
    notes = []
    for name, choice in choices.items():
        lanes = parallel_multiplications(net.by_name[name], choice)
        if lanes > limit and choice.strategy != "distributed_arithmetic":
            notes.append(
                f"{name}: {lanes} multiplications at once; synthesis usually fails above {limit}"
            )
    return tuple(notes)
