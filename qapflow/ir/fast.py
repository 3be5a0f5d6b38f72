"""The interpreter's fast lane: the same integers, carried by floats where that is exact.

Every edge's type bounds its codes, and for sums of products every partial sum. Integers up to 2**24
are exact in float32, up to 2**53 in float64, in any order of addition, so BLAS may have them. What
fits neither, or rounds by another rule, runs in `qapflow.ir.interpret.run_op`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qapflow.ir import ops
from qapflow.ir.fixed import Codes
from qapflow.ir.lanes import Array, Kernel, make, peak_of
from qapflow.ir.net import Edge, Net, Node, with_bodies
from qapflow.ir.semantics import run_op, run_scan

SINGLE, DOUBLE = 1 << 24, 1 << 53
BLOCK_VALUES = 1 << 19  # values of the largest edge in one block: what caches hold


@dataclass(frozen=True)
class Instruction:
    """One node ready to run: `dtype` is what its arguments are brought to (None: integers)."""

    name: str
    inputs: tuple[str, ...]
    dtype: Any
    kernel: Kernel
    frees: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """A compiled network."""

    instructions: tuple[Instruction, ...]
    block: int

    def run(self, codes: Mapping[str, Codes], keep: frozenset[str]) -> dict[str, Array]:
        """Run one block of samples [n, *shape]; edges not in `keep` are freed after last use."""
        values: dict[str, Array] = dict(codes)
        for step in self.instructions:
            arguments = (_bring(values[name], step.dtype) for name in step.inputs)
            values[step.name] = step.kernel(*arguments)
            for name in step.frees:
                if name not in keep:
                    del values[name]
        return {name: values[name] for name in keep}


def _bring(array: Array, dtype: Any) -> Array:
    if dtype is None:
        return array.astype(np.int64) if array.dtype.kind == "f" else array
    return array.astype(dtype) if array.dtype != dtype else array


def compile_net(net: Net) -> Program:
    """Choose for every node the narrowest exact way to compute it."""
    last: dict[str, str] = {}
    for node in net.nodes:
        for name in node.inputs:
            last[name] = node.name
    steps = []
    for node in net.nodes:
        if isinstance(node.op, ops.Input):
            continue
        edges = tuple(net.edge(name) for name in node.inputs)
        dtype, kernel = _choose(node, edges)
        frees = tuple(name for name, user in last.items() if user == node.name)
        steps.append(Instruction(node.name, node.inputs, dtype, kernel, frees))
    largest = max(int(np.prod(node.out.shape)) for node in with_bodies(net).nodes)
    return Program(tuple(steps), int(np.clip(BLOCK_VALUES // largest, 32, 4096)))


def run_node(node: Node, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    """Run one node on codes [n, *shape], block by block; what `interpret` does for a network."""
    dtype, kernel = _choose(node, edges)
    largest = max(int(np.prod(edge.shape)) for edge in (node.out, *edges))
    block = int(np.clip(BLOCK_VALUES // largest, 1, 4096))
    parts = [
        kernel(*(_bring(array[i : i + block], dtype) for array in codes))
        for i in range(0, len(codes[0]), block)
    ]
    if parts[0].dtype.kind == "f":
        return np.concatenate([part.astype(np.int64) for part in parts])
    return np.concatenate(parts)


def _choose(node: Node, edges: tuple[Edge, ...]) -> tuple[Any, Kernel]:
    """Return the dtype and kernel of a node; integers if no float holds what it needs."""
    if isinstance(node.op, ops.Scan):
        return None, _make_scan(node.op)
    peak = max([peak_of(node.out.type), *(peak_of(edge.type) for edge in edges)])
    made = make(node, edges)
    if made is not None:
        need, maker = made
        for limit, dtype in ((SINGLE, np.float32), (DOUBLE, np.float64)):
            if max(peak, need) <= limit:
                return dtype, maker(dtype)
    frac, shape = node.out.type.frac, node.out.shape

    def exact(*codes: Codes) -> Codes:
        return run_op(node.op, frac, shape, edges, codes)

    return None, exact


def _make_scan(op: ops.Scan) -> Kernel:
    body, keep = compile_net(op.body), frozenset(op.body.outputs)

    def kernel(*codes: Codes) -> Array:
        return run_scan(op, codes, lambda values: body.run(values, keep))

    return kernel
