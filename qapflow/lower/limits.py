"""What cannot be lowered exactly, found before anything is built."""

from __future__ import annotations

from qapflow.errors import Unsupported
from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Affine, Clip, Const, Conv, Dense, Input, Leaky, Scan, Table, Threshold
from qapflow.lower import kernels
from qapflow.lower.build import live_nodes
from qapflow.lower.layers import is_depthwise, multiplier_shape
from qapflow.lower.moves import LoopsTooDeep
from qapflow.lower.program import Wire
from qapflow.plan import Choice, Plan, inside

PORT_BITS = 63
CONST_BITS = 53  # doubles carry constants through hls4ml and the HLS front end
MAX_BITS = 1024  # widest ap_int without a compiler definition


def unsupported(net: Net, plan: Plan) -> list[Unsupported]:
    """List everything in `net` that has no exact form under `plan`, with the way out."""
    ports = {node.name for node in net.inputs} | set(net.outputs)
    return _unsupported(net, plan, ports)


def _unsupported(net: Net, plan: Plan, ports: set[str]) -> list[Unsupported]:
    found: list[Unsupported] = []
    for node in live_nodes(net):
        if isinstance(node.op, Scan):
            found += _unsupported(node.op.body, inside(plan, node.name), set())
        for reason, hint in _problems(net, node, plan, node.name in ports):
            found.append(
                Unsupported(node.origin or node.name, type(node.op).__name__, reason, hint)
            )
    return found


def _problems(net: Net, node: Node, plan: Plan, port: bool) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    width = node.out.type.width
    if port and width > PORT_BITS:
        hint = "quantize the inputs and outputs of the model"
        found.append((f"a port has {width} bits; {PORT_BITS} is the most", hint))
    if width > MAX_BITS:
        hint = "quantize before this layer"
        found.append((f"{width} bits are more than the {MAX_BITS} of ap_fixed", hint))
    if not all(map(all, (node.out.shape, *(net.edge(name).shape for name in node.inputs)))):
        found.append((f"the shape {node.out.shape} holds no element", "remove this layer"))
    for const in _constants(node):
        if bits := _too_wide(const):
            hint = f"quantize the weights to at most {CONST_BITS} bits"
            found.append((f"a constant needs {bits} bits; {CONST_BITS} is the most", hint))
    if isinstance(node.op, Dense | Conv):
        choice = plan.choices.get(node.name)
        found += _choice_problems(node.op, choice) if choice else []
    elif not isinstance(node.op, Input | Scan) and not found:
        found += _kernel_problems(net, node, plan)
    return found


def _kernel_problems(net: Net, node: Node, plan: Plan) -> list[tuple[str, str]]:
    wires = tuple(Wire(name, net.edge(name).shape, net.edge(name).type) for name in node.inputs)
    try:
        out = Wire(node.name, node.out.shape, node.out.type)
        kernels.kernel(node.op, wires, out, plan.io_type == "io_stream")
    except LoopsTooDeep:
        hint = "reshape so that fewer axes are moved at once"
        return [(f"too many independent axes in shape {node.out.shape}", hint)]
    return []


def _choice_problems(op: Dense | Conv, choice: Choice) -> list[tuple[str, str]]:
    if choice.strategy == "distributed_arithmetic":
        hint = "use strategy 'latency'"
        return [("this version builds no 'distributed_arithmetic'", hint)]
    if choice.reuse_factor < 1:
        return [(f"reuse factor {choice.reuse_factor} is not positive", "use reuse factor 1")]
    if choice.strategy == "latency":
        return []
    valid = valid_reuse_factors(op)
    if choice.reuse_factor in valid:
        return []
    nearest = min(valid, key=lambda rf: (abs(rf - choice.reuse_factor), rf))
    reason = f"reuse factor {choice.reuse_factor} does not divide this layer's work evenly"
    return [(reason, f"use reuse factor {nearest}")]


def valid_reuse_factors(op: Dense | Conv) -> tuple[int, ...]:
    """Return the reuse factors that hls4ml's resource kernels compute correctly, ascending.

    They need `n_in * n_out` divided evenly and whole columns a turn; the depthwise ones hold one
    column only.
    """
    n_in, n_out = multiplier_shape(op)
    small = [rf for rf in range(1, n_in + 1) if n_in % rf == 0]
    if isinstance(op, Conv) and is_depthwise(op):
        return tuple(small)
    return tuple(small + [n_in * k for k in range(2, n_out + 1) if n_out % k == 0])


def _constants(node: Node) -> list[Const]:
    op = node.op
    values: tuple[Const | None, ...] = ()
    if isinstance(op, Dense | Conv):
        values = (op.weight, op.bias)
    elif isinstance(op, Affine):
        values = (op.scale, op.offset)
    elif isinstance(op, Clip):
        values = (op.lower, op.upper)
    elif isinstance(op, Leaky):
        values = (op.slope, op.threshold)
    elif isinstance(op, Table | Threshold):
        values = (op.values,)
    elif isinstance(op, Scan):
        values = op.initial
    return [const for const in values if const is not None]


def _too_wide(const: Const) -> int:
    codes = const.codes.reshape(-1)
    kind = Fixed.holding(min(codes), max(codes), 0) if codes.size else const.type
    return kind.width if kind.width > CONST_BITS else 0
