"""Small networks that are hard to write down as hardware, and their designs on disk."""

from itertools import pairwise

import numpy as np

from qapflow.boards import load_target
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Concat, Const, Dense, Merge, Quantize, Table
from qapflow.plan import Plan
from qapflow.rtl.write import write_unrolled
from tests.lower.conftest import corner_codes

PLAN = Plan("vitis", "io_parallel", 5.0, 27.0, {})
TARGET = load_target("xcvu9p")


def perceptron(sizes=(4, 6, 3), zeros=0.5, seed=0):
    """Dense layers of 5-bit weights with a rectifier between."""
    rng = np.random.default_rng(seed)
    builder = NetBuilder()
    last = builder.add_input("x", (sizes[0],), Fixed(True, 8, 4))
    for number, (n, m) in enumerate(pairwise(sizes)):
        weight = rng.integers(-15, 16, (n, m)) * (rng.random((n, m)) >= zeros)
        const = Const(weight, Fixed(True, 5, 3))
        last = builder.add(f"fc{number}", Dense(const), last, origin=f"fc{number}")
        if number < len(sizes) - 2:
            clip = Quantize(Fixed(False, 6, 3), Rounding.RND_CONV, Overflow.SAT)
            last = builder.add(f"relu{number}", clip, last, origin=f"relu{number}")
    return builder.finish((last,))


def corners():
    """Keywords as names, 1-bit and 96-bit ports, a constant, an input as output, a dead layer."""
    builder = NetBuilder()
    wide = builder.add_input("module", (6,), Fixed(True, 16, 8))
    bit = builder.add_input("1 bit", (1,), Fixed(False, 1, 0))
    sign = builder.add_input("vhdl'entity", (1,), Fixed(True, 1, 0))
    builder.add_input("unread", (3,), Fixed(True, 5, 0))
    nothing = Const(np.zeros((6, 2), np.int64), Fixed(True, 4, 0))
    offset = Const(np.array([3, -2]), Fixed(True, 4, 0))
    dead = builder.add("always", Dense(nothing, offset), wide)
    both = builder.add("signal", Concat(0), bit, sign)
    some = builder.add("x", Dense(Const(np.array([[1], [3], [0], [0], [-2], [5]]), W)), wide)
    tie = builder.add("q", Quantize(Fixed(True, 9, 2), Rounding.RND_CONV, Overflow.SAT), some)
    total = builder.add("a-b", Merge("add"), tie, bit)
    values = Const((np.arange(512) * 37) % 301 - 150, Fixed(True, 9, 3))
    table = builder.add("clk", Table(-256, values), tie)
    outputs = (dead, both, total, table, wide, bit, tie)
    return builder.finish(outputs)


W = Fixed(True, 4, 1)


def write(net, folder, language="verilog", samples=24, clock_ns=5.0, top="core", **changes):
    """Write a design to a folder; return it with input and output codes."""
    codes = corner_codes(net, samples)
    expected = interpret(net, codes)
    plan = Plan("vitis", "io_parallel", clock_ns, 27.0, {})
    design = write_unrolled(
        net, plan, TARGET, top=top, language=language, samples=(codes, expected), **changes
    )
    for path, content in design.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return design, codes, expected
