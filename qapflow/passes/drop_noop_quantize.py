"""Leave out casts that provably change no value."""

from __future__ import annotations

from qapflow.ir.builder import NetBuilder
from qapflow.ir.interval import overflows
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Quantize
from qapflow.passes.rebuild import add_again, in_bodies_too, rebuild


@in_bodies_too
def drop_noop_quantize(net: Net) -> Net:
    """Drop each Quantize onto the grid of its input whose range is never left.

    A finer grid stays, the types behind it depend on it; and so does an output, whose type is
    part of the network's interface.
    """

    def rule(builder: NetBuilder, node: Node, inputs: tuple[str, ...]) -> str:
        if isinstance(node.op, Quantize) and node.name not in net.outputs:
            edge, interval = builder.edges[inputs[0]], builder.intervals[inputs[0]]
            same_grid = node.op.type.frac == edge.type.frac and node.op.divisor == 1
            if same_grid and not overflows(node.op, edge, interval):
                return inputs[0]
        return add_again(builder, node, inputs)

    return rebuild(net, rule)
