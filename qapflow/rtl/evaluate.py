"""What traced logic computes, for many samples at once, in doubles that hold every value exactly.

alkaid's compiled interpreter computes in 32 bits and its Python one takes a sample at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import CheckFailed
from qapflow.ir.fixed import Codes
from qapflow.ir.net import Net
from qapflow.rtl.rounding import wrap
from qapflow.rtl.trace import Traced

F64 = NDArray[np.float64]
HELD = 1 << 24  # values in memory at a time: 128 MB


def evaluate(logic: Any, x: F64) -> list[F64]:
    """Return the value [n] of every operation for inputs x [n, inputs]."""
    values: list[F64] = []
    for op in logic.ops:
        values.append(_OPERATIONS[op.opcode](logic, op, values, x))
    return values


def outputs(logic: Any, values: list[F64], samples: int) -> F64:
    """Return the outputs [n, outputs] among the values of all operations."""
    rows = [
        np.ldexp(values[place], shift) * (-1 if negative else 1)
        for place, shift, negative in zip(
            logic.out_idxs, logic.out_shifts, logic.out_negs, strict=True
        )
    ]
    return np.stack(rows, axis=1) if rows else np.zeros((samples, 0))


def _bits(kif: tuple[int, int, int]) -> int:
    return int(sum(kif))


def _as_whole(x: F64, step: float) -> NDArray[np.int64]:
    return np.asarray(np.rint(x / step).astype(np.int64))


def _add(logic: Any, op: Any, v: list[F64], x: F64) -> F64:
    sign = -1.0 if op.opcode == 1 else 1.0
    return np.asarray(v[op.addr[0]] + sign * np.ldexp(v[op.addr[1]], op.data[0]))


def _mux(logic: Any, op: Any, v: list[F64], x: F64) -> F64:
    first, second, key = op.addr
    kind = logic.ops[key].qint
    top = v[key] < 0 if kind.min < 0 else v[key] >= 2.0 ** (kind.kif[1] - 1)
    return wrap(np.where(top, v[first], np.ldexp(v[second], op.data[0])), op.qint.kif)


def _table(logic: Any, op: Any, v: list[F64], x: F64) -> F64:
    kind = logic.ops[op.addr[0]].qint
    found = logic.lookup_tables[op.data[0]].float_table
    return np.asarray(found[_as_whole(v[op.addr[0]] - kind.min, kind.step)])


def _unary(logic: Any, op: Any, v: list[F64], x: F64) -> F64:
    kind = logic.ops[op.addr[0]].qint
    code = _as_whole(v[op.addr[0]], kind.step)
    if op.data[0] == 0:
        raw = np.mod(~code, 1 << _bits(kind.kif)).astype(np.float64)
        signed, integer, frac = op.qint.kif
        return wrap(np.ldexp(raw, -frac), (signed, integer, frac))
    if op.data[0] == 1:
        return np.asarray(code != 0, np.float64)
    return np.asarray(code == (-1 if kind.min < 0 else round(kind.max / kind.step)), np.float64)


def _binary(logic: Any, op: Any, v: list[F64], x: F64) -> F64:
    shift, which = op.data
    one, other = (logic.ops[i].qint.step for i in op.addr)
    step = min(one, other * 2.0**shift)
    a, b = _as_whole(v[op.addr[0]], step), _as_whole(np.ldexp(v[op.addr[1]], shift), step)
    return np.asarray((a & b, a | b, a ^ b)[which] * step, np.float64)


_OPERATIONS: dict[int, Callable[[Any, Any, list[F64], F64], F64]] = {
    -2: lambda logic, op, v, x: -v[op.addr[0]],
    -1: lambda logic, op, v, x: np.ldexp(x[:, op.data[0]], logic.inp_shifts[op.data[0]]),
    0: _add,
    1: _add,
    2: lambda logic, op, v, x: wrap(np.maximum(v[op.addr[0]], 0), op.qint.kif),
    3: lambda logic, op, v, x: wrap(np.ldexp(v[op.addr[0]], op.data[0]), op.qint.kif),
    4: lambda logic, op, v, x: v[op.addr[0]] + np.ldexp(float(op.data[0]), -op.data[1]),
    5: lambda logic, op, v, x: np.full(len(x), op.data[0] * op.qint.step),
    6: _mux,
    7: lambda logic, op, v, x: v[op.addr[0]] * v[op.addr[1]],
    8: _table,
    9: _unary,
    10: _binary,
}


def input_values(net: Net, codes: Mapping[str, Codes]) -> F64:
    """Return the real values [n, inputs] of input codes, in the order of the traced logic."""
    parts = [node.out.type.decode(codes[node.name]) for node in net.inputs]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def check_trace(
    net: Net, traced: Traced, inputs: Mapping[str, Codes], expected: Mapping[str, Codes]
) -> int:
    """Hold the logic against the interpreter's `expected` codes; return how many values agree.

    Raises:
        CheckFailed: naming the first output that differs.
    """
    x = input_values(net, inputs)
    seen = 0
    chunk = max(HELD // max(len(traced.logic.ops), 1), 1)
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        found = outputs(traced.logic, evaluate(traced.logic, part), len(part))
        place = 0
        for name in net.outputs:
            kind = net.edge(name).type
            wanted = kind.decode(expected[name][start : start + chunk]).reshape(len(part), -1)
            got = found[:, place : place + wanted.shape[1]]
            place += wanted.shape[1]
            wrong = np.argwhere(got != wanted)
            if len(wrong):
                row, column = (int(i) for i in wrong[0])
                raise CheckFailed(
                    f"the traced logic gives {got[row, column]:g} for value {column} of output "
                    f"{name!r} in sample {start + row}, the interpreter {wanted[row, column]:g}",
                    at="--rtl",
                    hint="nothing was written; please report this network",
                )
            seen += wanted.size
    return seen
