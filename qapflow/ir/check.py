"""The rules a network obeys, one message for each that is broken."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qapflow.errors import CheckFailed, UsageError
from qapflow.ir import ops
from qapflow.ir.fixed import Fixed
from qapflow.ir.infer import infer_frac
from qapflow.ir.interval import Interval, bound, infer_edge
from qapflow.ir.net import Edge, Net, Node

ARITY: dict[type[ops.Op], tuple[int, int]] = {
    ops.Input: (0, 0),
    ops.Merge: (2, 2),
    ops.MatMul: (2, 2),
    ops.Concat: (1, 10_000),
    ops.Scan: (1, 10_000),
}


def require_sound(net: Net) -> None:
    """Raise unless the network obeys every rule.

    Raises:
        CheckFailed: naming all broken rules.
    """
    broken = check(net)
    if broken:
        raise CheckFailed(
            "the network breaks its own rules: " + "; ".join(broken),
            hint="this is a bug in qapflow: please report it with the model",
        )


def check(net: Net) -> list[str]:
    """Return one message for each broken rule; an empty list means the network is sound."""
    messages = list(_check_names(net))
    if messages:
        return messages  # nothing below can be trusted
    intervals: dict[str, Interval] = {}
    for node in net.nodes:
        if isinstance(node.op, ops.Input):
            intervals[node.name] = Interval.full(node.out)
            continue
        edges = tuple(net.edge(name) for name in node.inputs)
        inside = tuple(intervals[name] for name in node.inputs)
        problems = list(_check_op(node, edges, inside))
        if not problems:
            intervals[node.name], problems = _check_edge(node, edges, inside)
        else:
            intervals[node.name] = Interval.full(node.out)
        messages += [f"{node.name}: {problem}" for problem in problems]
    return messages


def _check_names(net: Net) -> Iterator[str]:
    seen: set[str] = set()
    for node in net.nodes:
        if node.name in seen:
            yield f"{node.name}: the name is used twice"
        for name in node.inputs:
            if name not in seen:
                yield f"{node.name}: reads {name!r}, which no earlier node drives"
        low, high = ARITY.get(type(node.op), (1, 1))
        if not low <= len(node.inputs) <= high:
            yield f"{node.name}: {type(node.op).__name__} has {len(node.inputs)} inputs"
        seen.add(node.name)
    for name in net.outputs:
        if name not in seen:
            yield f"output {name!r} is driven by no node"
    if not net.outputs:
        yield "the network has no output"


def _check_op(
    node: Node, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]
) -> Iterator[str]:
    op = node.op
    if isinstance(op, ops.Quantize) and op.divisor < 1:
        yield f"divisor {op.divisor} is not positive"
    if isinstance(op, ops.Table):
        last = op.first + len(op.values.codes) - 1
        if intervals[0].low < op.first or intervals[0].high > last:
            yield (
                f"codes {intervals[0].low} to {intervals[0].high} reach a table of "
                f"{op.first} to {last}"
            )
    if isinstance(op, ops.Scan):
        yield from _check_scan(op, edges)
    if isinstance(op, ops.Threshold):
        if (np.diff(op.thresholds.codes, axis=-1) < 0).any():
            yield "the thresholds do not ascend"
        if op.values.codes.shape[-1] != op.thresholds.codes.shape[-1] + 1:
            yield "there must be one value more than thresholds"
    if isinstance(op, ops.Clip) and op.lower is not None and op.upper is not None:
        shift = op.upper.type.frac - op.lower.type.frac
        low, high = int(op.lower.codes), int(op.upper.codes)
        if low << max(shift, 0) > high << max(-shift, 0):
            yield "the lower bound is above the upper"


def _check_scan(op: ops.Scan, edges: tuple[Edge, ...]) -> Iterator[str]:
    body, count = op.body, len(op.initial)
    if len(body.outputs) != count + 1 or len(body.inputs) != count + len(edges):
        yield (
            f"the body of a loop with {count} states takes {len(body.inputs)} inputs and gives "
            f"{len(body.outputs)} outputs"
        )
        return
    yield from (f"body: {message}" for message in check(body))
    states = zip(body.inputs, body.outputs, op.initial, strict=False)
    for node, name, initial in states:
        given, kind = body.edge(name), node.out.type
        if given.shape != node.out.shape:
            yield f"state {node.name} of shape {node.out.shape} becomes {given.shape}"
        if given.type.frac != kind.frac or not kind.contains(given.type):
            yield f"state {node.name} of type {kind} becomes {given.type}"
        if initial.type.frac != kind.frac or not _inside(initial, kind):
            yield f"state {node.name} of type {kind} starts outside it"
    for node, edge in zip(body.inputs[count:], edges, strict=True):
        if edge.type.frac != node.out.type.frac or not node.out.type.contains(edge.type):
            yield f"slices of type {edge.type} enter the body as {node.out.type}"


def _inside(const: ops.Const, kind: Fixed) -> bool:
    return bool(kind.lo <= const.codes.min() and const.codes.max() <= kind.hi)


def _check_edge(
    node: Node, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]
) -> tuple[Interval, list[str]]:
    try:
        interval = bound(node.op, edges, intervals)
        right = infer_edge(node.op, edges, interval)
    except UsageError as error:
        return Interval.full(node.out), [error.what]
    problems = []
    if node.out.shape != right.shape:
        problems.append(f"shape {node.out.shape} should be {right.shape}")
    if node.out.type.frac != infer_frac(node.op, edges):
        problems.append(f"type {node.out.type} should have {right.type.frac} fraction bits")
    elif not node.out.type.contains(right.type):
        problems.append(f"type {node.out.type} does not hold the proved {right.type}")
    return interval, problems
