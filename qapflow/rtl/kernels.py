"""The same constant matrix as hardware in two ways: shared shifts and adds, or plain products.

Both are modules with x (all inputs, row-major codes) and y (all sums, each of the same width),
combinational, so that nothing but the arithmetic differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolMissing
from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Net, Node, with_bodies
from qapflow.ir.ops import Const, Conv, Dense
from qapflow.rtl.symbols import Fabric, multiply, pair_up

Matrix = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Kernel:
    """Sums y[m] = x[k] @ codes[k, m] of whole codes; `places` is how often a sample needs them."""

    name: str
    layer: str
    codes: Matrix
    source: Fixed
    places: int

    @property
    def width(self) -> int:
        """Bits that hold every sum, with a sign."""
        ends = (np.minimum(self.codes * self.source.lo, self.codes * self.source.hi),
                np.maximum(self.codes * self.source.lo, self.codes * self.source.hi))  # fmt: skip
        low, high = int(ends[0].sum(0).min(initial=0)), int(ends[1].sum(0).max(initial=0))
        return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1


def kernels_of(net: Net) -> tuple[Kernel, ...]:
    """Return the constant matrices of a network: every dense and convolution layer."""
    flat = with_bodies(net)
    found = []
    for number, node in enumerate(flat.nodes):
        if isinstance(node.op, Dense | Conv):
            codes, places = _matrix(node, flat.edge(node.inputs[0]).shape)
            kind = flat.edge(node.inputs[0]).type
            source = Fixed(kind.signed, kind.width, 0)
            layer = node.origin or node.name
            found.append(Kernel(f"k{number}", layer, codes, source, places))
    return tuple(found)


def _matrix(node: Node, shape: tuple[int, ...]) -> tuple[Matrix, int]:
    """Return the matrix of one place and the number of places; groups become blocks."""
    op = node.op
    assert isinstance(op, Dense | Conv)
    codes = np.asarray(op.weight.codes, np.int64)
    places = int(np.prod(node.out.shape[:-1], dtype=int))
    if isinstance(op, Dense) or op.groups == 1:
        return codes.reshape(-1, codes.shape[-1]), places
    taps = int(np.prod(codes.shape[:-2]))
    channels, filters = codes.shape[-2], codes.shape[-1] // op.groups
    blocks = np.zeros((taps, op.groups, channels, op.groups, filters), np.int64)
    for group in range(op.groups):
        block = codes[..., group * filters : (group + 1) * filters]
        blocks[:, group, :, group] = block.reshape(taps, channels, filters)
    return blocks.reshape(taps * shape[-1], -1), places


def plain_kernel(kernel: Kernel, name: str) -> bytes:
    """Return Verilog with one constant product for every weight that is not zero, and adder trees.

    This is what a C++ loop over products becomes when it is unrolled: no sum is shared between
    outputs. The synthesiser turns constant products into shifts and adds.
    """
    wide, bits = kernel.width, kernel.source.width
    inputs, outputs = kernel.codes.shape
    lines = [
        f"module {name}(input wire [{inputs * bits - 1}:0] x, "
        f"output wire [{outputs * wide - 1}:0] y);"
    ]
    used = np.flatnonzero(kernel.codes.any(axis=1))
    for i in used:
        taken = f"x[{(i + 1) * bits - 1}:{i * bits}]"
        value = taken if kernel.source.signed else f"{{1'b0, {taken}}}"
        lines.append(f"  wire signed [{bits}:0] x{i} = $signed({value});")
    for j in range(outputs):
        terms = []
        for i in np.flatnonzero(kernel.codes[:, j]):
            weight = int(kernel.codes[i, j])
            size = wide + 1
            literal = f"{'-' * (weight < 0)}{size}'sd{abs(weight)}"
            lines.append(f"  wire signed [{wide - 1}:0] p{i}_{j} = x{i} * {literal};")
            terms.append(f"p{i}_{j}")
        total = pair_up(lambda a, b: f"({a} + {b})", terms) if terms else f"{wide}'sd0"
        lines.append(f"  wire signed [{wide - 1}:0] y{j} = {total};")
        lines.append(f"  assign y[{(j + 1) * wide - 1}:{j * wide}] = y{j};")
    return ("\n".join([*lines, "endmodule"]) + "\n").encode()


def shared_kernel(kernel: Kernel, name: str) -> tuple[float, Mapping[str, bytes]]:
    """Return the tracer's estimate in LUT and Verilog of distributed arithmetic, by file name.

    Raises:
        ToolMissing: alkaid is not installed.
    """
    try:
        from alkaid.codegen.rtl.verilog.comb import comb_logic_gen
    except ImportError as error:
        what = f"alkaid cannot be imported: {error}"
        raise ToolMissing(what, hint="pip install alkaid") from error
    logic = _logic(kernel)
    folder = resources("alkaid") / "codegen" / "rtl" / "verilog" / "source"
    files = {f"alkaid/{n}.v": (folder / f"{n}.v").read_bytes() for n in ("shift_adder", "negative")}
    grids = [(int(k), int(i), int(f)) for k, i, f in logic.out_kifs.T]
    read = [(int(k + i + f), -int(f)) for k, i, f in logic.inp_kifs.T]
    inner = f"{name}_logic"
    if any(map(sum, grids)):
        files[f"{inner}.v"] = comb_logic_gen(logic, inner).encode()
    files[f"{name}.v"] = _extend(kernel, name, _slices(kernel, read), grids)
    return float(logic.cost), files


def _logic(kernel: Kernel) -> Any:
    from alkaid.trace import FVArrayInput
    from alkaid.trace import trace as gather

    fabric, kind = Fabric(), kernel.source
    start = FVArrayInput((1, kernel.codes.shape[0]), hwconf=fabric.prices)
    rows = start.quantize(int(kind.signed), kind.width - kind.signed, 0)
    bits = int(np.abs(kernel.codes).max(initial=1)).bit_length() + 1
    weight = Const(kernel.codes, Fixed(True, bits, 0))
    sums = multiply(np.asarray(rows), weight, fabric)
    return gather(start.ravel(), sums.ravel(), keep_dead_inputs=True)


def _slices(kernel: Kernel, read: Sequence[tuple[int, int]]) -> str:
    """Return the bits of x that the logic reads; `read` has width and lowest bit of each input."""
    places = ((i * kernel.source.width + low, width) for i, (width, low) in enumerate(read))
    parts = [f"x[{low + width - 1}:{low}]" for low, width in places if width]
    return f"{{{', '.join(reversed(parts))}}}"


def _extend(kernel: Kernel, name: str, read: str, grids: Sequence[tuple[int, int, int]]) -> bytes:
    """Return the module around the logic: every sum has as few bits there as it needs."""
    wide, bits = kernel.width, sum(map(sum, grids))
    inputs = kernel.source.width * kernel.codes.shape[0]
    lines = [
        f"module {name}(input wire [{inputs - 1}:0] x, output wire [{len(grids) * wide - 1}:0] y);"
    ]
    if bits:
        lines += [
            f"  wire [{bits - 1}:0] z;",
            f"  {name}_logic logic_i(.model_inp({read}), .model_out(z));",
        ]
    place = 0
    for j, (signed, whole, frac) in enumerate(grids):
        width = signed + whole + frac
        value = f"{wide}'d0"
        if width:
            sign = f"z[{place + width - 1}]" if signed else "1'b0"
            parts = [f"{{{wide - width + frac}{{{sign}}}}}"] if wide - width + frac else []
            parts += [f"z[{place + width - 1}:{place}]"]
            parts += [f"{-frac}'d0"] if frac else []
            value = f"{{{', '.join(parts)}}}"
        lines.append(f"  assign y[{(j + 1) * wide - 1}:{j * wide}] = {value};")
        place += width
    return ("\n".join([*lines, "endmodule"]) + "\n").encode()
