"""Published designs rebuilt from their description: an illustration, no measurement.

Random weights of the stated bits and sparsity stand in for the trained ones, which are not public.
Sources: Coelho et al., Nature Machine Intelligence 3, 675 (2021), arXiv:2006.10159 (xcvu9p, 200
MHz, after logic synthesis); Fahim et al., arXiv:2103.05579, table 1 (VU9P, 200 MHz, Vivado HLS
2019.2, estimates of C synthesis as far as stated).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qapflow.boards import load_target
from qapflow.estimate import Figures, estimate
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.net import Net
from qapflow.ir.ops import Clip, Const, Dense, Quantize
from qapflow.plan import Choice, Plan

SIZES = (16, 64, 32, 32, 5)


@dataclass(frozen=True)
class Design:
    """A published design; `stage` is what its figures are of, `zeros` the share of pruning."""

    name: str
    source: str
    stage: str
    weight_bits: int
    weight_integer: int
    activation: Fixed
    zeros: float
    lut: int
    ff: int
    dsp: int
    latency_cycles: int


_14, _6 = Fixed(True, 14, 8), Fixed(False, 6, 6)
_NATURE, _TINYML = ("2006.10159", "post-synthesis"), ("2103.05579", "csynth")
DESIGNS = (
    Design("BF, 14 bits", *_NATURE, 14, 6, _14, 0.0, 48_321, 20_132, 1_826, 9),
    Design("BP, 70 % pruned", *_NATURE, 14, 6, _14, 0.7, 17_577, 10_548, 526, 14),
    Design("Q6, 6 bits", *_NATURE, 6, 1, _6, 0.0, 39_782, 8_128, 124, 11),
    Design("16 bits", *_TINYML, 16, 6, Fixed(True, 16, 10), 0.0, 89_209, 11_266, 1_852, 10),
    Design("14 bits", *_TINYML, 14, 6, _14, 0.0, 90_019, 9_262, 1_132, 10),
    Design("6 bits", *_TINYML, 6, 1, _6, 0.0, 63_251, 4_394, 38, 9),
)


def rebuild(design: Design) -> Net:
    """Return the 16-64-32-32-5 network with random weights of the stated types."""
    rng = np.random.default_rng(2021)
    builder = NetBuilder()
    edge = builder.add_input("x", (SIZES[0],), Fixed(True, 16, 10))
    kind = Fixed(True, design.weight_bits, design.weight_bits - design.weight_integer)
    zero = Const(np.zeros((), np.int64), Fixed(False, 1, 0))
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(SIZES), start=1):
        values = rng.normal(0, np.sqrt(2 / (n_in + n_out)), (n_in, n_out))  # Glorot's
        values[rng.random((n_in, n_out)) < design.zeros] = 0
        codes, _ = kind.encode(values)
        edge = builder.add(f"fc{layer}", Dense(Const(codes, kind)), edge)
        sums = Quantize(Fixed(True, 16, 10), Rounding.TRN, Overflow.WRAP)
        edge = builder.add(f"fc{layer}_sum", sums, edge)
        if n_out != SIZES[-1]:
            edge = builder.add(f"relu{layer}", Clip(zero, None), edge)
            act = design.activation
            cut = Quantize(act, Rounding.RND_CONV, Overflow.SAT)
            edge = builder.add(f"act{layer}", cut, edge)
    return builder.finish((edge,))


def illustrate() -> Iterator[tuple[Design, Figures]]:
    """Give each design with its estimate."""
    target = load_target("xcvu9p")
    for design in DESIGNS:
        net = rebuild(design)
        names = [n.name for n in net.nodes if isinstance(n.op, Dense)]
        choices = {name: Choice("latency", 1) for name in names}
        yield design, estimate(net, Plan("vivado", "io_parallel", 5.0, 12.5, choices), target)
