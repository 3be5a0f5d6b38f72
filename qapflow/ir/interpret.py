"""The interpreter: the definition of what a network computes.

Codes in, codes out, exact at any width. Arrays are [n, *shape] with n samples.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from qapflow.errors import UsageError
from qapflow.ir.fast import Program, compile_net
from qapflow.ir.fixed import Codes, widen
from qapflow.ir.net import Edge, Net

Shape = tuple[int, ...]
THREADS = min(os.cpu_count() or 1, 8)


def interpret(
    net: Net, inputs: Mapping[str, Codes], keep: Literal["outputs", "all"] = "outputs"
) -> dict[str, Codes]:
    """Run a network on codes [n, *shape] by input name; return codes by edge name.

    Raises:
        UsageError: an input is missing, or has another shape or codes outside its type.
    """
    codes = {node.name: _check_input(node.name, node.out, inputs) for node in net.inputs}
    counts = {len(array) for array in codes.values()}
    if len(counts) != 1:
        raise UsageError(f"the inputs have different numbers of samples: {sorted(counts)}")
    kept = frozenset(net.by_name) if keep == "all" else frozenset(net.outputs)
    program = _program(net)
    (total,) = counts
    starts = range(0, max(total, 1), program.block)

    def run(start: int) -> dict[str, Codes]:
        stop = start + program.block
        return program.run({name: array[start:stop] for name, array in codes.items()}, kept)

    if len(starts) > 1:
        # Blocks side by side, each on one core: better than threads inside small products.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(THREADS) as pool:
            blocks = list(pool.map(run, starts))
    else:
        blocks = [run(0)]
    return {name: _join([block[name] for block in blocks]) for name in kept}


def _program(net: Net) -> Program:
    """Compile a network once; the program lives as long as the network."""
    memo = vars(net)
    if "_program" not in memo:
        memo["_program"] = compile_net(net)
    program: Program = memo["_program"]
    return program


def _join(parts: list[Codes]) -> Codes:
    """Put blocks together as codes: int64, or Python integers where those do not fit."""
    if all(part.dtype.kind == "f" for part in parts):
        return np.concatenate([part.astype(np.int64) for part in parts])
    if any(part.dtype == object for part in parts):
        return np.concatenate([widen(part) for part in parts])
    return np.concatenate([part.astype(np.int64) for part in parts])


def _check_input(name: str, edge: Edge, inputs: Mapping[str, Codes]) -> Codes:
    if name not in inputs:
        raise UsageError(f"no codes for input {name!r}", at=", ".join(inputs))
    codes = np.asarray(inputs[name])
    if codes.dtype != object and codes.dtype.kind not in "iub":
        raise UsageError(f"input {name!r} holds {codes.dtype}, not integer codes")
    if codes.dtype != object:
        codes = codes.astype(np.int64)
    if codes.shape[1:] != edge.shape:
        raise UsageError(f"input {name!r} has shape {codes.shape[1:]}, not {edge.shape}")
    if codes.size and (codes.min() < edge.type.lo or codes.max() > edge.type.hi):
        raise UsageError(f"input {name!r} has codes outside {edge.type}")
    return codes
