"""Walk an integer network over symbolic values: what comes out is its combinational logic.

Everything is exact: a symbolic value knows its range, so sums and products never overflow, and
only `Quantize` rounds. What was traced is compared with the interpreter before it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qapflow.errors import ModelUnsupported, ToolMissing, Unsupported
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Input, Scan
from qapflow.rtl.operations import Site, run_symbols
from qapflow.rtl.symbols import Fabric, Symbols, TooWide, constant, each, reals

WIDEST_BITS = 50
"""Values are traced as doubles: 53 bits, three spare for rounding."""


@dataclass(frozen=True, eq=False)
class Traced:
    """Combinational logic of a network: all inputs in order, row-major, then all outputs.

    `logic` is alkaid's CombLogic; `cost_lut` is its own estimate, `delay` its depth in adders.
    """

    logic: Any
    cost_lut: float
    delay: float


def trace(net: Net, fabric: Fabric) -> Traced:
    """Return the logic of `net`.

    Raises:
        ToolMissing: alkaid is not installed.
        ModelUnsupported: values wider than a double; every such node is listed.
    """
    try:
        from alkaid.trace import FVArrayInput
        from alkaid.trace import trace as gather
    except ImportError as error:
        raise ToolMissing(
            f"alkaid cannot be imported: {error}", hint="pip install alkaid"
        ) from error
    refuse_wide(net)
    inputs, edges = [], {}
    for node in net.inputs:
        kind, shape = node.out.type, node.out.shape
        source = FVArrayInput(shape, hwconf=fabric.prices)
        inputs.append(source.ravel())
        integer = kind.integer - kind.signed
        edges[node.name] = np.asarray(source.quantize(int(kind.signed), integer, kind.frac))
    walk(net, edges, fabric)
    outputs = [edges[name].reshape(-1) for name in net.outputs]
    logic = gather(np.concatenate(inputs), np.concatenate(outputs), keep_dead_inputs=True)
    return Traced(logic, float(logic.cost), float(max(logic.out_latency, default=0.0)))


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
