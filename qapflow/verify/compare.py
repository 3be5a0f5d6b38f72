"""Compare two computations of a network code by code, and explain the first difference."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.ir.fixed import Codes, Overflow, Rounding
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Quantize
from qapflow.ir.semantics import evaluate
from qapflow.report.figures import Comparison, Difference
from qapflow.verify.csim import run_csim

INTERPRETER = "interpreter"
CSIM = "C simulation"
TRACED_SAMPLES = 16  # differing samples that are run again to find the first differing edge

Tracer = Callable[[NDArray[np.intp]], tuple[Mapping[str, Codes], Mapping[str, Codes]]]


def compare(
    left_name: str,
    right_name: str,
    net: Net,
    left: Mapping[str, Codes],
    right: Mapping[str, Codes],
    *,
    seconds: float = 0.0,
    trace: Tracer | None = None,
    note: str = "",
) -> Comparison:
    """Compare every output code [n, *shape] of two computations, exactly.

    `trace` is called on a difference with the numbers of some differing samples; it returns the
    codes of all edges of both sides for these samples, and the first edge in topological order
    that differs is reported. `seconds` is passed on to the result.

    Raises:
        UsageError: the two sides do not have the same outputs, shapes or numbers of samples.
    """
    names = tuple(dict.fromkeys(net.outputs))
    for name in names:
        if left[name].shape != right[name].shape:
            raise UsageError(
                f"{left_name} gives {name!r} as {left[name].shape}, "
                f"{right_name} as {right[name].shape}",
                name,
            )
    masks = [np.asarray(left[name] != right[name], bool) for name in names]
    samples = len(masks[0])
    values, mismatches = (sum(map(f, masks)) for f in (np.size, np.count_nonzero))
    equal = Comparison(left_name, right_name, "equal", samples, values, seconds=seconds, note=note)
    if not mismatches:
        return equal
    rows = [mask.reshape(samples, -1).any(axis=1) for mask in masks]
    first = _explain(net, left, right, np.flatnonzero(np.any(rows, axis=0)), trace)
    return replace(equal, verdict="different", mismatches=int(mismatches), first=first)


def compare_csim(
    net: Net,
    project: Path,
    inputs: Mapping[str, Codes],
    *,
    expected: Mapping[str, Codes] | None = None,
    jobs: int | None = None,
    timeout: float = 1800.0,
) -> Comparison:
    """Compare the interpreter with the compiled C simulation on codes [n, *shape].

    `expected` are the interpreter's outputs where they are known already.

    Raises:
        ToolFailed: the C simulation did not run to its end.
    """
    left = interpret(net, inputs) if expected is None else expected
    start = time.monotonic()
    right = run_csim(project, net, inputs, jobs=jobs, timeout=timeout)
    seconds = time.monotonic() - start

    def trace(samples: NDArray[np.intp]) -> tuple[Mapping[str, Codes], Mapping[str, Codes]]:
        some = {name: codes[samples] for name, codes in inputs.items()}
        full = run_csim(project, net, some, trace=True, jobs=jobs, timeout=timeout)
        return interpret(net, some, keep="all"), full

    return compare(INTERPRETER, CSIM, net, left, right, seconds=seconds, trace=trace)


def _explain(
    net: Net,
    left: Mapping[str, Codes],
    right: Mapping[str, Codes],
    wrong: NDArray[np.intp],
    trace: Tracer | None,
) -> Difference:
    some = wrong[:TRACED_SAMPLES]
    seen = first_difference(
        net,
        {name: left[name][some] for name in net.outputs},
        {name: right[name][some] for name in net.outputs},
        some,
    )
    assert seen is not None
    if trace is None:
        return seen
    full_left, full_right = trace(some)
    found = first_difference(net, full_left, full_right, some)
    lost = "not deterministic: a second run of the same samples agrees"
    return found or replace(seen, cause=lost)


def first_difference(
    net: Net, left: Mapping[str, Codes], right: Mapping[str, Codes], samples: NDArray[np.intp]
) -> Difference | None:
    """Return the first differing element of the first differing edge, None if all agree.

    Both sides hold codes [n, *shape] by edge; `samples` are the numbers of their rows. Edges that
    one side lacks are passed over.
    """
    for node in net.nodes:
        if node.name not in left or node.name not in right:
            continue
        expected, actual = left[node.name], right[node.name]
        differs = np.argwhere(np.asarray(expected != actual, bool))
        if not len(differs):
            continue
        place = tuple(int(i) for i in differs[0])
        codes = int(expected[place]), int(actual[place])
        values = node.out.type.decode(np.array(codes, object))
        return Difference(
            edge=node.name,
            layer=node.origin,
            sample=int(samples[place[0]]),
            index=place[1:],
            expected_code=codes[0],
            actual_code=codes[1],
            expected=float(values[0]),
            actual=float(values[1]),
            cause=find_cause(net, node, left, expected, actual),
        )
    return None


def find_cause(
    net: Net, node: Node, left: Mapping[str, Codes], expected: Codes, actual: Codes
) -> str:
    """Say in words what would turn `expected` [n, *shape] into `actual` at this node."""
    known = isinstance(node.op, Quantize) and node.inputs[0] in left
    if known and (mode := _other_mode(net, node, left[node.inputs[0]], actual)):
        return mode
    error = (np.asarray(actual).astype(object) - np.asarray(expected).astype(object)).ravel()
    error = error[error != 0]
    kind = node.out.type
    if all(e % (1 << kind.width) == 0 for e in error):
        return f"overflow: off by a multiple of 2**{kind.width}, the type {kind} wraps"
    if not np.any(actual):
        return "all zero: never computed, or not connected"
    if all(e in (-1, 1) for e in error):
        return "rounding: off by one in the last place"
    if np.array_equal(actual, -expected):
        return "sign: every value is negated"
    for bits in range(1, 64):
        for finer, coarser in ((expected, actual), (actual, expected)):
            if np.array_equal(np.asarray(coarser).astype(object) * (1 << bits), finer):
                return f"binary point: shifted by {bits} bits"
    rows = len(expected)
    one, other = (np.sort(np.asarray(x).reshape(rows, -1), axis=1) for x in (expected, actual))
    if np.array_equal(one, other):
        return "layout: the same values in another order"
    low, high = kind.lo, kind.hi
    if np.isin(np.asarray(actual)[np.asarray(expected != actual, bool)], (low, high)).all():
        return f"overflow: stuck at an end of {kind}"
    return "this node computes something else from equal inputs"


def _other_mode(net: Net, node: Node, before: Codes, actual: Codes) -> str:
    """Name the rounding and overflow mode of a quantizer that would give `actual`, if one does."""
    op = node.op
    assert isinstance(op, Quantize)
    edges = (net.edge(node.inputs[0]),)
    for rounding in (op.rounding, *Rounding):
        for overflow in (op.overflow, *Overflow):
            other = replace(op, rounding=rounding, overflow=overflow)
            if np.array_equal(evaluate(other, node.out, edges, (before,)), actual):
                word = "rounding" if overflow is op.overflow else "overflow"
                wrong = f"{rounding}, {overflow}"
                return f"{word}: computed with {wrong} instead of {op.rounding}, {op.overflow}"
    return ""
