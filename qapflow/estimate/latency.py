"""Cycles of one node: latency and initiation interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qapflow.estimate.kernel import Kernel, levels
from qapflow.estimate.module import SEVEN, UNROLLED, Module, family_group
from qapflow.estimate.resources import resource_cycles
from qapflow.ir.fixed import Overflow, Rounding
from qapflow.ir.net import Edge, Node
from qapflow.ir.ops import (
    Affine,
    Conv,
    Dense,
    MatMul,
    Merge,
    Pool,
    Quantize,
    Reduce,
    Table,
    Threshold,
)
from qapflow.plan import Plan
from qapflow.target import Target

# Cycles a pixel in io_stream, from csynth reports of hls4ml's line-buffer convolutions: latency
# strategy 3 to 6, resource strategy RF + 5 to RF + 11 where an output is made; pooling 1 to 2.
STREAM_LATENCY_PIXEL = 3
STREAM_RESOURCE_PIXEL = 9
STREAM_IDLE_PIXEL = 3
STREAM_POOL_PIXEL = 2


@dataclass(frozen=True)
class Cycles:
    """Cycles from first input to last output, and between two inputs."""

    latency: float
    interval: float


def positions(edge: Edge) -> int:
    """Return how many channel vectors an edge carries: what io_stream sends one by one."""
    return math.prod(edge.shape[:-1]) if edge.shape else 1


def is_fast(family: str) -> bool:
    """Tell 16 nm and 20 nm parts, whose adders chain within a cycle, from 7-series parts."""
    return family != SEVEN


def usable_ns(plan: Plan) -> float:
    """Return the part of the clock period that the tool may fill."""
    return plan.clock_ns * (1 - plan.clock_uncertainty_percent / 100)


def tree_cycles(kernel: Kernel, usable_ns: float, family: str) -> float:
    """Return the latency of one fully parallel matrix product.

    Multiplier then adder tree, cut by the usable clock period: 3.0 ns and 0.7 ns a level on
    UltraScale+, 1.0 ns and 4.0 ns (no chaining) on 7-series; fitted to csynth latencies of
    hls4ml's dense_latency at 5 and 3.33 ns.
    """
    depth = levels(kernel.max_terms)
    multiply_ns, add_ns = (3.0, 0.7) if is_fast(family) else (1.0, 4.0)
    if kernel.dsp_constants < 1:
        multiply_ns = 1.4 if is_fast(family) else 0.0
    return float((multiply_ns + depth * add_ns) // usable_ns)


def matrix_kernel_cycles(module: Module) -> Cycles:
    """Return cycles of one matrix product on arrays (io_parallel)."""
    reuse = module.reuse_factor
    if module.kind == "resource unrolled":  # the next sample waits for the last one's sums
        return Cycles(module.depth_cycles, module.depth_cycles + 1)
    if module.kind in UNROLLED:
        return Cycles(module.depth_cycles, 1)
    return Cycles(resource_cycles(module.kernel, reuse), reuse)


def matrix_cycles(node: Node, source: Edge, module: Module, *, plan: Plan) -> Cycles:
    """Return cycles of a dense layer or a convolution."""
    reuse, tree = module.reuse_factor, module.depth_cycles
    serial = module.kind.startswith("resource") and module.kind not in UNROLLED
    depth = float(resource_cycles(module.kernel, reuse) - reuse) if serial else tree
    if isinstance(node.op, Dense):
        rows = positions(node.out)
        if plan.io_type == "io_parallel" and rows == 1:
            return matrix_kernel_cycles(module)
        if plan.io_type == "io_parallel":
            return Cycles(rows * reuse + depth - (not serial), rows * reuse)
        packets = max(positions(source), 1)
        return Cycles(packets + reuse + depth, max(packets, rows * reuse))
    outputs, pixels = positions(node.out), positions(source)
    if plan.io_type == "io_parallel":
        return Cycles(outputs * reuse + depth, outputs * reuse)
    if serial:
        total = outputs * (reuse + STREAM_RESOURCE_PIXEL)
        total += max(pixels - outputs, 0) * STREAM_IDLE_PIXEL
    else:
        total = pixels * max(reuse, STREAM_LATENCY_PIXEL)
    return Cycles(total + depth, total)


def window_wait(node: Node, source: Edge) -> int:
    """Return pixels that must arrive before the first window is complete."""
    op = node.op
    if isinstance(op, Conv):
        kernel = op.weight.codes.shape[:-2]
        spans = [(k - 1) * d for k, d in zip(kernel, op.dilation, strict=True)]
        before = [pad[0] for pad in op.padding]
    elif isinstance(op, Pool):
        spans, before = [k - 1 for k in op.size], [pad[0] for pad in op.padding]
    else:
        return 0
    waits = [int(max(s - b, 0)) for s, b in zip(spans, before, strict=True)]
    return waits[0] * source.shape[1] + waits[1] if len(waits) == 2 else waits[0]


def plain_cycles(node: Node, sources: tuple[Edge, ...], plan: Plan, target: Target) -> Cycles:
    """Return cycles of a node without weights."""
    depth = _plain_depth(node, sources, target)
    if plan.io_type == "io_parallel":
        return Cycles(depth, 1)
    busiest = max([positions(node.out), *(positions(edge) for edge in sources)])
    if isinstance(node.op, MatMul):  # both operands are buffered, then one output a cycle
        busiest += math.prod(node.out.shape)
    if isinstance(node.op, Pool):
        busiest *= STREAM_POOL_PIXEL
    return Cycles(busiest + depth, busiest)


def _plain_depth(node: Node, sources: tuple[Edge, ...], target: Target) -> float:
    slow = 0.0 if is_fast(family_group(target.family)) else 1.0
    match node.op:
        case Quantize(rounding=Rounding.TRN, overflow=Overflow.WRAP, divisor=1):
            return 0.0
        case Quantize(divisor=divisor) if divisor > 1:
            return 2.0 + 2 * slow
        case Quantize():
            return slow
        case Table():
            return 1.0 + slow
        case Threshold():
            return 1.0 + slow
        case Affine() | Merge(kind="mul"):
            return 1.0 + slow
        case MatMul():
            return 1.0 + math.ceil(levels(sources[0].shape[-1]) / 4) + slow
        case Pool(size=size):
            return math.ceil(levels(math.prod(size)) / 4) + slow
        case Reduce(axes=axes):
            terms = math.prod(sources[0].shape[axis] for axis in axes)
            return math.ceil(levels(terms) / 4) + slow
        case _:
            return 0.0
