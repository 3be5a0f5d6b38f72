"""Grow a network node by node, deriving every shape and every width.

The type of an edge is never chosen by hand: `infer` gives shape and grid, the interval of the
inputs gives the narrowest width. Calibration samples, if given, flow along, so that code that must
choose a type for a float layer can look at what really arrives there.
"""

from __future__ import annotations

from collections.abc import Mapping

from qapflow.ir.fast import run_node
from qapflow.ir.fixed import Codes, Fixed
from qapflow.ir.interval import Interval, bound, infer_edge
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Input, Op


class NetBuilder:
    """Collects nodes; `finish` returns the immutable network."""

    def __init__(self, samples: Mapping[str, Codes] | None = None) -> None:
        self.nodes: list[Node] = []
        self.edges: dict[str, Edge] = {}
        self.intervals: dict[str, Interval] = {}
        self.codes: dict[str, Codes] = dict(samples or {})

    def add_input(
        self, name: str, shape: tuple[int, ...], kind: Fixed, codes: Codes | None = None
    ) -> str:
        """Add an input edge; `codes` are calibration samples [n, *shape] on its grid."""
        name = self._unique(name)
        self._append(Node(name, Input(), (), Edge(shape, kind), name))
        self.intervals[name] = Interval.full(Edge(shape, kind))
        if codes is not None:
            self.codes[name] = codes
        return name

    def add(self, name: str, op: Op, *inputs: str, origin: str = "") -> str:
        """Add an operation and return the name of its edge (made unique if taken)."""
        name = self._unique(name)
        edges = tuple(self.edges[i] for i in inputs)
        interval = bound(op, edges, tuple(self.intervals[i] for i in inputs))
        edge = infer_edge(op, edges, interval)
        node = Node(name, op, inputs, edge, origin or name)
        self._append(node)
        self.intervals[name] = interval
        if inputs and all(i in self.codes for i in inputs):
            self.codes[name] = run_node(node, edges, tuple(self.codes[i] for i in inputs))
        return name

    def finish(self, outputs: tuple[str, ...]) -> Net:
        """Return the network with these output edges."""
        return Net(tuple(self.nodes), outputs)

    def _append(self, node: Node) -> None:
        self.nodes.append(node)
        self.edges[node.name] = node.out

    def _unique(self, name: str) -> str:
        name = name or "node"
        if name not in self.edges:
            return name
        number = 2
        while f"{name}_{number}" in self.edges:
            number += 1
        return f"{name}_{number}"
