"""Walk an integer network over symbolic values: what comes out is its combinational logic.

Everything is exact: a symbolic value knows its range, so sums and products never overflow, and
only `Quantize` rounds. What was traced is compared with the interpreter before it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qapflow.errors import ModelUnsupported, ToolMissing, Unsupported
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Input, Scan
from qapflow.rtl.operations import Site, run_symbols
from qapflow.rtl.repair import TooWide, repair_tracer
from qapflow.rtl.symbols import Fabric, Symbols, constant, each, reals

WIDEST_BITS = 50
"""Values are traced as doubles: 53 bits, three spare for rounding."""


@dataclass(frozen=True, eq=False)
class Traced:
    """Combinational logic of a network: all inputs in order, row-major, then all outputs.

    `logic` is alkaid's CombLogic; `cost_lut` is its own estimate, `delay` its depth in alkaid's
    units (an adder is 1.1 and 0.025 a bit of carry). `owners` holds for each operation of the logic
    the number of the layer in `layers` that needs it first: operands never belong to a later one.
    """

    logic: Any
    cost_lut: float
    delay: float
    layers: tuple[str, ...] = ()
    owners: tuple[int, ...] = ()


def trace(net: Net, fabric: Fabric) -> Traced:
    """Return the logic of `net`.

    Raises:
        ToolMissing: alkaid is not installed.
        ModelUnsupported: values wider than a double; every such node is listed.
    """
    try:
        from alkaid.trace import FVArrayInput
    except ImportError as error:
        raise ToolMissing(
            f"alkaid cannot be imported: {error}", hint="pip install alkaid"
        ) from error
    repair_tracer()
    refuse_wide(net)
    inputs, edges = [], {}
    for node in net.inputs:
        kind, shape = node.out.type, node.out.shape
        source = FVArrayInput(shape, hwconf=fabric.prices)
        inputs.append(source.ravel())
        integer = kind.integer - kind.signed
        edges[node.name] = np.asarray(source.quantize(int(kind.signed), integer, kind.frac))
    walk(net, edges, fabric)
    return gather(net, np.concatenate(inputs), edges)


def gather(net: Net, inputs: Symbols, edges: dict[str, Symbols]) -> Traced:
    """Return the optimised logic from `inputs` to the outputs, and which layer needs what.

    Every edge of the network is an output of the logic at first, so that each operation is known to
    be needed for one; those that only such an edge needs are dropped at the end.
    """
    from alkaid.trace import trace as optimise
    from alkaid.trace.passes import add_surrogate, dead_code_elimin

    names, layers = [], list[str]()
    for node in net.nodes:
        if isinstance(node.op, Input):
            continue
        origin = node.origin or node.name
        if not layers or layers[-1] != origin:
            layers.append(origin)
        names.append((node.name, len(layers) - 1))
    results = [*net.outputs, *(name for name, _ in names)]
    flat = [edges[name].reshape(-1) for name in results]
    full = optimise(inputs, np.concatenate(flat), keep_dead_inputs=True)
    ends = np.cumsum([len(part) for part in flat])
    wanted = int(ends[len(net.outputs) - 1])
    parts = np.split(np.asarray(full.out_idxs), ends[:-1])[len(net.outputs) :]
    owners = assign(full.ops, zip(parts, (owner for _, owner in names), strict=True), len(layers))
    heads = {
        "shape": (full.shape[0], wanted),
        "out_idxs": full.out_idxs[:wanted],
        "out_shifts": full.out_shifts[:wanted],
        "out_negs": full.out_negs[:wanted],
    }
    cut = full._replace(**heads)
    live = needed(cut.ops, cut.out_idxs)
    logic = add_surrogate(dead_code_elimin(cut))
    kept = tuple(o for o, alive in zip(owners, live, strict=True) if alive)
    assert len(kept) == len(logic.ops)
    delay = float(max(logic.out_latency, default=0.0))
    return Traced(logic, float(logic.cost), delay, tuple(layers), kept)


def assign(ops: Sequence[Any], parts: Iterable[tuple[Any, int]], last: int) -> list[int]:
    """Return for each operation the first of the ascending owners of the results it leads to."""
    owners = [last] * len(ops)
    for places, owner in parts:
        for place in places:
            owners[place] = min(owners[place], owner)
    for place in range(len(ops) - 1, -1, -1):
        for operand in ops[place].input_ids:
            owners[operand] = min(owners[operand], owners[place])
    return owners


def needed(ops: Sequence[Any], results: Iterable[int]) -> list[bool]:
    """Tell for each operation whether a result needs it."""
    live = [False] * len(ops)
    for place in results:
        live[place] = True
    for place in range(len(ops) - 1, -1, -1):
        if live[place]:
            for operand in ops[place].input_ids:
                live[operand] = True
    return live


def refuse_wide(net: Net) -> None:
    """Raise for all edges that a double does not hold.

    Raises:
        ModelUnsupported: listing each such node.
    """
    items = [
        Unsupported(
            node.origin or node.name,
            type(node.op).__name__,
            f"its values have {node.out.type.width} bits, RTL is traced with at most {WIDEST_BITS}",
            "fewer bits in the weights or activations before it",
        )
        for node in net.nodes
        if node.out.type.width > WIDEST_BITS
    ]
    if items:
        raise ModelUnsupported(items, at="--rtl")


def walk(net: Net, edges: dict[str, Symbols], fabric: Fabric) -> None:
    """Add the symbols of every edge of `net` to those of its inputs."""
    for node in net.nodes:
        if not isinstance(node.op, Input):
            sources = [edges[name] for name in node.inputs]
            made = np.asarray(_step(net, node, sources, fabric), dtype=object)
            edges[node.name] = made.reshape(node.out.shape)


def _step(net: Net, node: Node, sources: list[Symbols], fabric: Fabric) -> Symbols:
    try:
        if isinstance(node.op, Scan):
            return unroll(node.op, sources, fabric)
        site = Site(node.out, tuple(net.edge(name) for name in node.inputs), fabric)
        return run_symbols(node.op, site, sources)
    except TooWide as error:
        item = Unsupported(node.origin or node.name, type(node.op).__name__, f"{error} in its RTL")
        raise ModelUnsupported([item], at="--rtl") from error


def unroll(op: Scan, sources: list[Symbols], fabric: Fabric) -> Symbols:
    """Write the turns of a loop one after the other."""
    body, count = op.body, len(op.initial)
    states = [
        each(
            lambda v: constant(v, fabric),
            np.broadcast_to(reals(first), node.out.shape).astype(object),
        )
        for first, node in zip(op.initial, body.inputs[:count], strict=True)
    ]
    results = []
    for turn in range(sources[0].shape[0]):
        taken = [*states, *(np.asarray(source[turn], dtype=object) for source in sources)]
        edges = {node.name: x for node, x in zip(body.inputs, taken, strict=True)}
        walk(body, edges, fabric)
        *states, result = (edges[name] for name in body.outputs)
        results.append(result)
    return np.stack(results) if op.emit == "all" else results[-1]
