"""Grow a network anew with some nodes left out or replaced; types are derived again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps

from qapflow.ir.builder import NetBuilder
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Input, Scan

# Gets the new builder, a node, and the new names of its inputs; returns the name of its result.
Rule = Callable[[NetBuilder, Node, tuple[str, ...]], str]


def add_again(builder: NetBuilder, node: Node, inputs: tuple[str, ...]) -> str:
    """Keep a node as it is."""
    return builder.add(node.name, node.op, *inputs, origin=node.origin)


def rebuild(net: Net, rule: Rule) -> Net:
    """Apply `rule` to every node in order; inputs and outputs keep their names."""
    builder, renamed = NetBuilder(), dict[str, str]()
    for node in net.nodes:
        if isinstance(node.op, Input):
            renamed[node.name] = builder.add_input(node.name, node.out.shape, node.out.type)
        else:
            inputs = tuple(renamed[name] for name in node.inputs)
            renamed[node.name] = rule(builder, node, inputs)
    return builder.finish(tuple(renamed[name] for name in net.outputs))


def in_bodies_too(rewrite: Callable[[Net], Net]) -> Callable[[Net], Net]:
    """Let a pass rewrite the bodies of loops before the network around them."""

    @wraps(rewrite)
    def rewrite_all(net: Net) -> Net:
        nodes = tuple(
            replace(node, op=replace(node.op, body=rewrite_all(node.op.body)))
            if isinstance(node.op, Scan)
            else node
            for node in net.nodes
        )
        return rewrite(Net(nodes, net.outputs))

    return rewrite_all
