"""The models whose cells are watched: the shipped one, and small networks made here."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from qapflow.boards import load_target
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.net import Net
from qapflow.ir.ops import Const, Conv, Dense, Pool, Quantize, Reshape
from qapflow.passes import PASSES
from qapflow.plan.propose import propose
from qapflow.rtl.design import Design
from qapflow.rtl.write import write_unrolled
from qapflow.steps.loading import load_model
from qapflow.steps.settings import BuildSettings
from qapflow.synth.open.script import Effort

ROOT = Path(__file__).parents[2]
BOARD = "xcvu9p"
INPUT, WEIGHT = Fixed(True, 16, 10), Fixed(True, 6, 5)
ACTIVATION = Quantize(Fixed(False, 6, 4), Rounding.RND, Overflow.SAT)


@dataclass(frozen=True)
class Model:
    """A name and how its network is made; `pruned` false leaves the zeros out, where it can."""

    name: str
    make: Callable[[bool], Net]
    effort: Effort = "normal"


def random_codes(shape, sparsity, seed, kind=WEIGHT):
    """Return codes of which exactly a share is zero, at random places."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(kind.lo, kind.hi + 1, shape)
    codes[codes == 0] = 1
    zeros = rng.permutation(codes.size)[: round(codes.size * sparsity)]
    codes.reshape(-1)[zeros] = 0
    return Const(codes, kind)


def mlp(sizes, sparsity, *, seed=0, source=INPUT):
    """Return a network of dense layers with 6-bit weights and activations."""
    builder = NetBuilder()
    name = builder.add_input("x", (sizes[0],), source)
    for number, shape in enumerate(pairwise(sizes), start=1):
        weight = random_codes(shape, sparsity, seed + number)
        name = builder.add(f"dense_{number}", Dense(weight), name)
        if number < len(sizes) - 1:
            name = builder.add(f"relu_{number}", ACTIVATION, name)
    return builder.finish((name,))


def small_cnn(sparsity, seed=0):
    """Return a convolution, a maximum and a dense layer on 6 x 6 pixels."""
    builder = NetBuilder()
    builder.add_input("x", (6, 6, 1), Fixed(False, 4, 4))
    conv = Conv(random_codes((3, 3, 1, 2), sparsity, seed), None, (1, 1), ((0, 0),) * 2, (1, 1))
    name = builder.add("conv", conv, "x")
    name = builder.add("relu", ACTIVATION, name)
    name = builder.add("pool", Pool("max", (2, 2), (2, 2), ((0, 0),) * 2), name)
    name = builder.add("flat", Reshape((8,)), name)
    name = builder.add("dense", Dense(random_codes((8, 3), sparsity, seed + 9)), name)
    return builder.finish((name,))


def digits():
    """Return the shipped digits model, pruned as it is."""
    net = load_model(BuildSettings(ROOT / "examples" / "digits" / "digits.h5")).net
    for rewrite in PASSES:
        net = rewrite(net)
    return net


MODELS = (
    Model("mlp-8-8-3-half-pruned", lambda pruned: mlp((8, 8, 3), 0.5 * pruned)),
    Model("cnn-6x6-half-pruned", lambda pruned: small_cnn(0.5 * pruned)),
    Model("digits", lambda pruned: digits()),
)


def design_of(net: Net, name: str, board: str = BOARD) -> Design:
    """Return the unrolled RTL of a network for a board, with the plan's defaults."""
    target = load_target(board)
    plan = propose(
        net, target, io_type=None, backend="vitis", clock_ns=None,
        clock_uncertainty_percent=None, strategy=None, reuse_factor=None, overrides=None,
    )  # fmt: skip
    return write_unrolled(net, plan, target, top=name.replace("-", "_"))
