"""How long an estimate takes, by the size of the network."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np

from qapflow.boards import load_target
from qapflow.estimate import estimate
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.net import Net
from qapflow.ir.ops import Const, Dense, Quantize
from qapflow.plan import Choice, Plan

SIZES = ((16, 64, 32, 32, 5), (64, 256, 256, 64), (512, 1024, 448, 32))
ROUNDS = 5


def network(sizes: tuple[int, ...]) -> Net:
    """Return a dense network with random 8-bit weights."""
    rng = np.random.default_rng(0)
    builder = NetBuilder()
    edge = builder.add_input("x", (sizes[0],), Fixed(True, 16, 10))
    for n_in, n_out in itertools.pairwise(sizes):
        weight = Const(rng.integers(-128, 128, (n_in, n_out)), Fixed(True, 8, 7))
        edge = builder.add("fc", Dense(weight), edge)
        cut = Quantize(Fixed(True, 16, 10), Rounding.TRN, Overflow.WRAP)
        edge = builder.add("cut", cut, edge)
    return builder.finish((edge,))


def time_estimates() -> Iterator[tuple[int, float]]:
    """Give parameters and the median seconds of an estimate."""
    target = load_target("xcvu9p")
    for sizes in SIZES:
        net = network(sizes)
        names = [n.name for n in net.nodes if isinstance(n.op, Dense)]
        plan = Plan("vivado", "io_parallel", 5.0, 12.5, {n: Choice("latency", 1) for n in names})
        taken = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            estimate(net, plan, target)
            taken.append(time.perf_counter() - begin)
        parameters = sum(a * b for a, b in itertools.pairwise(sizes))
        yield parameters, float(np.median(taken))
