"""Leave out what no output needs."""

from __future__ import annotations

from qapflow.ir.net import Net
from qapflow.ir.ops import Input
from qapflow.passes.rebuild import in_bodies_too


@in_bodies_too
def drop_dead(net: Net) -> Net:
    """Drop nodes whose result reaches no output; inputs stay, they are the interface."""
    needed = set(net.outputs)
    for node in reversed(net.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    kept = tuple(n for n in net.nodes if n.name in needed or isinstance(n.op, Input))
    return Net(kept, net.outputs)
