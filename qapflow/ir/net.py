"""The integer network: immutable, printable, with a fixed-point type on every edge."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Input, Op, Scan


@dataclass(frozen=True)
class Edge:
    """What flows out of a node: a shape without the batch, and a type."""

    shape: tuple[int, ...]
    type: Fixed

    def __str__(self) -> str:
        return f"[{','.join(map(str, self.shape))}] {self.type}"


@dataclass(frozen=True)
class Node:
    """One operation. `origin` is the Keras layer it came from, for errors and reports."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    out: Edge
    origin: str = ""


@dataclass(frozen=True)
class Net:
    """Nodes in topological order and the names of the output edges.

    `qapflow.ir.text` prints and reads a network, `qapflow.ir.check` lists broken rules and
    `qapflow.ir.interpret` defines what it computes.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def inputs(self) -> tuple[Node, ...]:
        """Input nodes in order."""
        return tuple(node for node in self.nodes if isinstance(node.op, Input))

    @cached_property
    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """Nodes that read each edge."""
        readers: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers[name].append(node)
        return {name: tuple(nodes) for name, nodes in readers.items()}

    def edge(self, name: str) -> Edge:
        """Return the edge a node drives."""
        return self.by_name[name].out

    def __str__(self) -> str:
        from qapflow.ir.text import print_net

        return print_net(self)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the printed network with its constants."""
        from qapflow.ir.text import write_net

        return hashlib.sha256(write_net(self).encode()).hexdigest()


def with_bodies(net: Net) -> Net:
    """Return the network with the nodes of every loop body in line before their loop.

    A view for reading, not for running: nodes of a body are named `loop/node`, and its inputs stay
    inputs.
    """
    nodes: list[Node] = []
    for node in net.nodes:
        if isinstance(node.op, Scan):
            nodes += [
                replace(
                    part,
                    name=f"{node.name}/{part.name}",
                    inputs=tuple(f"{node.name}/{name}" for name in part.inputs),
                    origin=part.origin or node.origin,
                )
                for part in with_bodies(node.op.body).nodes
            ]
        nodes.append(node)
    return Net(tuple(nodes), net.outputs)


def count_turns(net: Net) -> dict[str, int]:
    """Return how often each node of `with_bodies(net)` runs for one sample."""
    turns = {}
    for node in net.nodes:
        turns[node.name] = 1
        if isinstance(node.op, Scan):
            (steps,) = {net.edge(name).shape[0] for name in node.inputs}
            inner = count_turns(node.op.body)
            turns |= {f"{node.name}/{name}": steps * count for name, count in inner.items()}
    return turns
