"""Networks as text: `print_net` for people, `write_net` and `read_net` for files.

The file form is one JSON array a line, so that a difference of two networks is a difference of
lines: a header, the nodes, the outputs, then the constants.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from enum import StrEnum
from typing import Any, get_args

import numpy as np

from qapflow.errors import UsageError
from qapflow.ir import ops
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.net import Edge, Net, Node

FORMAT = "qapflow network 1"
OPS: dict[str, type[Any]] = {op.__name__.lower(): op for op in get_args(ops.Op)}


def print_net(net: Net) -> str:
    """Return the network for reading; constants appear as type and shape."""
    width = max((len(node.name) for node in net.nodes), default=0)
    lines = []
    for node in net.nodes:
        lines.append(_print_node(node, width))
        if isinstance(node.op, ops.Scan):
            lines += [f"    {line}" for line in print_net(node.op.body).splitlines()]
    lines.append("return " + ", ".join(f"%{name}" for name in net.outputs))
    return "\n".join(lines) + "\n"


def _print_node(node: Node, width: int) -> str:
    arguments = [f"%{name}" for name in node.inputs]
    for item in fields(node.op):
        value = getattr(node.op, item.name)
        if value is None or value == item.default:
            continue
        arguments.append(f"{item.name}={_show(value)}")
    call = f"{type(node.op).__name__.lower()}({', '.join(arguments)})"
    origin = f"  # {node.origin}" if node.origin not in ("", node.name) else ""
    return f"%{node.name:<{width}} = {call} : {node.out}{origin}"


def _show(value: Any) -> str:
    if isinstance(value, ops.Const):
        shape = ",".join(map(str, value.codes.shape))
        return f"{value.type}[{shape}]" if shape else f"{value.type}:{int(value.codes)}"
    if isinstance(value, Net):
        return f"<{len(value.nodes)}nodes>"
    if isinstance(value, tuple):
        return f"({','.join(map(_show, value))}{',' if len(value) == 1 else ''})"
    return str(value).replace(" ", "")


def write_net(net: Net) -> str:
    """Return the lossless text form."""
    constants: dict[ops.Const, int] = {}
    lines = [json.dumps(FORMAT)]
    for node in net.nodes:
        attributes = {
            item.name: _encode(getattr(node.op, item.name), constants) for item in fields(node.op)
        }
        kind = type(node.op).__name__.lower()
        edge = (list(node.out.shape), str(node.out.type))
        lines.append(
            json.dumps([kind, node.name, attributes, list(node.inputs), *edge, node.origin])
        )
    lines.append(json.dumps(["return", list(net.outputs)]))
    for const, number in constants.items():
        codes = [int(code) for code in const.codes.ravel()]
        lines.append(json.dumps(["const", number, str(const.type), list(const.codes.shape), codes]))
    return "\n".join(lines) + "\n"


def _encode(value: Any, constants: dict[ops.Const, int]) -> Any:
    if isinstance(value, ops.Const):
        return f"@{constants.setdefault(value, len(constants))}"
    if isinstance(value, Fixed | StrEnum):
        return str(value)
    if isinstance(value, tuple):
        return [_encode(item, constants) for item in value]
    if isinstance(value, Net):
        return {"net": write_net(value)}
    return value


def read_net(text: str) -> Net:
    """Read what `write_net` wrote.

    Raises:
        UsageError: it is something else, or damaged.
    """
    try:
        rows = [json.loads(line) for line in text.splitlines()]
        if not rows or rows[0] != FORMAT:
            raise UsageError("this is no network file", hint=f"the first line must be {FORMAT!r}")
        constants = {row[1]: _read_const(row) for row in rows[1:] if row[0] == "const"}
        nodes = [_read_node(row, constants) for row in rows[1:] if row[0] in OPS]
        (outputs,) = [tuple(row[1]) for row in rows[1:] if row[0] == "return"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UsageError(f"the network file is damaged: {error}") from error
    return Net(tuple(nodes), outputs)


def _read_const(row: list[Any]) -> ops.Const:
    _, _, kind, shape, values = row
    codes = np.empty(len(values), object)
    codes[:] = values
    return ops.Const(codes.reshape(shape), Fixed.parse(kind))


def _read_node(row: list[Any], constants: dict[int, ops.Const]) -> Node:
    kind, name, attributes, inputs, shape, edge_type, origin = row
    values = {key: _decode(value, constants) for key, value in attributes.items()}
    edge = Edge(tuple(shape), Fixed.parse(edge_type))
    return Node(name, OPS[kind](**values), tuple(inputs), edge, origin)


def _decode(value: Any, constants: dict[int, ops.Const]) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item, constants) for item in value)
    if isinstance(value, dict):
        return read_net(value["net"])
    if isinstance(value, str):
        if value.startswith("@"):
            return constants[int(value[1:])]
        if re.fullmatch(r"[su]\d+\.-?\d+", value):
            return Fixed.parse(value)
        for modes in (Rounding, Overflow):
            if value in modes.__members__:
                return modes(value)
    return value
