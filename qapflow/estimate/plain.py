"""What nodes without weights cost, by counting the bits they add, compare, select or store."""

from __future__ import annotations

import math
from dataclasses import replace

from qapflow.estimate.kernel import ceil_div
from qapflow.estimate.resources import DSP_INPUT_BITS, Cost, bram18_of
from qapflow.ir.digits import count_digits
from qapflow.ir.fixed import Overflow, Rounding
from qapflow.ir.net import Edge, Node
from qapflow.ir.ops import (
    Affine,
    Clip,
    Const,
    Conv,
    Leaky,
    MatMul,
    Merge,
    Pool,
    Quantize,
    Reduce,
    Table,
    Threshold,
)
from qapflow.plan import IoType

# LUT a result bit, where `elements` has no reports. ReLU with rounding and saturation to 8 bits
# takes 43 LUT in the one source with Vitis HLS at 5 ns, of which 21 compare and choose:
# 8 * (1.3 + 1.45) are left.
ROUND_BIT = 1.3
SATURATE_BIT = 1.45
COMPARE_BIT = 1.5
FIFO_ROWS = 32  # one LUT stores this many bits of a shift register (SRL32, AMD UG574)


def plain_cost(node: Node, sources: tuple[Edge, ...], io_type: IoType) -> Cost:
    """Return the cost of a node: built once a channel in io_stream, else once an element."""
    copies = _copies(node.out, io_type)
    match node.op:
        case Quantize():
            return _quantize(node.op, sources[0], copies)
        case Clip(lower=lower, upper=upper):
            zero = lower is not None and not lower.codes.any()
            lut = (0.5 if zero else COMPARE_BIT) * (lower is not None)
            return _bits("clip", (lut + COMPARE_BIT * (upper is not None)), node.out, copies)
        case Leaky(slope=slope):
            return _constants("affine", slope, sources[0], node.out, copies)
        case Affine(scale=scale):
            return _constants("affine", scale, sources[0], node.out, copies)
        case Merge():
            return _merge(node.op, sources, node.out, copies)
        case MatMul():
            return _matmul(sources, node.out, io_type)
        case Table():
            return _table(node.op, copies)
        case Threshold():
            return _threshold(node.op, sources[0], copies)
        case Pool() | Reduce():
            return _window(node.op, sources[0], node.out, copies, io_type)
        case _:
            return Cost("wiring")


def fifo_cost(edge: Edge) -> Cost:
    """Return the cost of the stream behind a node in io_stream: one word a position."""
    depth = math.prod(edge.shape[:-1]) if edge.shape else 1
    width = edge.type.width * (edge.shape[-1] if edge.shape else 1)
    memory = bram18_of(width, depth) if depth > FIFO_ROWS else 0
    if memory:
        return Cost("fifo", 60.0, 60.0, 0, memory)
    return Cost("fifo", width * ceil_div(depth, FIFO_ROWS) + 20.0, width + 10.0)


def line_buffer_cost(source: Edge, kernel: tuple[int, ...]) -> Cost:
    """Return the cost of the shift registers that keep the rows a window spans (io_stream)."""
    rows, width = (kernel[0] - 1, source.shape[-2]) if len(kernel) == 2 else (0, 1)
    row_bits = source.type.width * source.shape[-1]
    window = row_bits * math.prod(kernel)
    return Cost("line buffer", rows * row_bits * ceil_div(width, FIFO_ROWS), float(window))


def window_cost(source: Edge, out: Edge, op: Conv) -> Cost:
    """Return the multiplexers that choose the window of each position in turn (io_parallel)."""
    places = math.prod(out.shape[:-1])
    bits = source.type.width * op.weight.codes.shape[-2] * op.groups
    bits *= math.prod(op.weight.codes.shape[:-2])
    return Cost("window", bits * places / 3, float(bits))  # one LUT6 is a 4:1 multiplexer


def _copies(edge: Edge, io_type: IoType) -> int:
    if not edge.shape:
        return 1
    return edge.shape[-1] if io_type == "io_stream" else math.prod(edge.shape)


def _bits(kind: str, lut_a_bit: float, out: Edge, copies: int) -> Cost:
    lut = lut_a_bit * out.type.width * copies
    return Cost(kind, lut, 0.3 * lut)


def _quantize(op: Quantize, source: Edge, copies: int) -> Cost:
    drops = source.type.frac > op.type.frac or op.divisor > 1
    rounds = drops and op.rounding is not Rounding.TRN
    saturates = op.overflow is not Overflow.WRAP and not op.type.contains(source.type)
    lut = op.type.width * (ROUND_BIT * rounds + SATURATE_BIT * saturates) * copies
    if op.divisor > 1:  # a multiplication by the reciprocal, wide enough to be exact
        lut += source.type.width**2 * copies
    return Cost("quantize", lut, 0.6 * op.type.width * copies * (lut > 0))


def _constants(kind: str, scale: Const, source: Edge, out: Edge, copies: int) -> Cost:
    digits = count_digits(scale.codes)
    share = copies / max(scale.codes.size, 1)
    many = float((digits >= 3).sum()) * share if source.type.width >= DSP_INPUT_BITS else 0.0
    adders = float((digits - 1).clip(min=0)[digits < 3].sum()) * share
    if not many:
        adders = float((digits - 1).clip(min=0).sum()) * share
    lut = (adders + copies) * out.type.width
    return Cost(kind, lut, 0.5 * lut, math.ceil(many))


def _merge(op: Merge, sources: tuple[Edge, ...], out: Edge, copies: int) -> Cost:
    if op.kind != "mul":
        return _bits("merge", COMPARE_BIT if op.kind in ("max", "min") else 1.0, out, copies)
    small, large = sorted(edge.type.width for edge in sources)
    if small < 5 or small + large < 16:
        return Cost("merge", 1.1 * small * large * copies, float(out.type.width * copies))
    return Cost("merge", 0.0, float(copies), ceil_div(small, 17) * ceil_div(large, 26) * copies)


def _matmul(sources: tuple[Edge, ...], out: Edge, io_type: IoType) -> Cost:
    """Multipliers of two variables and the adders behind them; one output at a time in streams."""
    outputs = 1 if io_type == "io_stream" else math.prod(out.shape)
    terms = sources[0].shape[-1]
    product = _merge(Merge("mul"), sources, out, outputs * terms)
    return replace(
        product, kind="matrix product", lut=product.lut + terms * out.type.width * outputs
    )


def _table(op: Table, copies: int) -> Cost:
    entries, width = len(op.values.codes), op.values.type.width
    memory = bram18_of(width, entries)
    if not memory:  # one LUT6 holds 64 entries of one bit
        return Cost("table", ceil_div(entries, 64) * width * copies, float(width * copies))
    # two ports a memory; 130 LUT an element for the index, as in public csynth reports
    return Cost("table", 130.0 * copies, 3.0 * copies, 0, ceil_div(copies * memory, 2))


def _threshold(op: Threshold, source: Edge, copies: int) -> Cost:
    count = op.thresholds.codes.shape[-1]
    width = op.values.type.width
    lut = count * (0.5 * source.type.width + 1) + ceil_div(count + 1, 64) * width
    return Cost("threshold", lut * copies, float(width * copies))


def _window(op: Pool | Reduce, source: Edge, out: Edge, copies: int, io_type: IoType) -> Cost:
    if isinstance(op, Pool):
        terms = math.prod(op.size)
    else:
        terms = math.prod(source.shape[axis] for axis in op.axes)
        terms = 2 if io_type == "io_stream" else terms  # one running value a channel
    lut = (terms - 1) * (COMPARE_BIT if op.kind == "max" else 1.0)
    return _bits("pool", lut, out, copies)
