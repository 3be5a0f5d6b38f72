"""Compiled HLS = interpreter, on every edge, for every operation, io type and back end."""

import numpy as np
import pytest

from qapflow.ir.builder import NetBuilder
from qapflow.ir.check import check
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import (
    Affine,
    Clip,
    Concat,
    Const,
    Conv,
    Dense,
    Flip,
    Leaky,
    MatMul,
    Merge,
    Pad,
    Pool,
    Quantize,
    Reduce,
    Reshape,
    Scan,
    Table,
    Threshold,
    Transpose,
    Upsample,
)
from qapflow.lower.limits import valid_reuse_factors
from qapflow.plan import Choice

pytestmark = [pytest.mark.needs_gxx, pytest.mark.needs_hls4ml]

BOTH = pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
BACKENDS = pytest.mark.parametrize("backend", ["vitis", "vivado"])
X, U, W = Fixed(True, 7, 3), Fixed(False, 6, 2), Fixed(True, 5, 3)

# Negative fractions, fractions beyond the width, one bit, wide.
CORNERS = (
    Fixed(True, 7, 3),
    Fixed(False, 6, 2),
    Fixed(True, 8, -2),
    Fixed(False, 5, 8),
    Fixed(True, 1, 0),
    Fixed(False, 1, 1),
    Fixed(True, 24, 12),
)
TARGETS = (Fixed(True, 3, 1), Fixed(False, 5, 0), Fixed(True, 1, -1), Fixed(False, 6, 4))


class Grower:
    """A network whose nodes are all outputs, with random constants."""

    def __init__(self, seed=0):
        self.builder = NetBuilder()
        self.rng = np.random.default_rng(seed)
        self.outputs = []
        self.choices = {}

    def input(self, shape, kind):
        return self.builder.add_input(f"in{len(self.builder.nodes)}", shape, kind)

    def const(self, shape, kind=W):
        return Const(self.rng.integers(kind.lo, kind.hi, shape, endpoint=True), kind)

    def add(self, op, *inputs, choice=None):
        name = self.builder.add(f"n{len(self.builder.nodes)}", op, *inputs)
        self.outputs.append(name)
        if choice:
            self.choices[name] = choice
        return name

    def finish(self):
        return self.builder.finish(tuple(self.outputs))


def exact(value):
    return Const.exact(np.array(float(value)))


def quantizers():
    grow = Grower()
    modes = [(r, o) for r in Rounding for o in Overflow]
    for i, kind in enumerate(CORNERS):
        x = grow.input((5,), kind)
        for j, divisor in enumerate((1, 3, 1, 10, 49)):
            rounding, overflow = modes[(5 * i + j) % len(modes)]
            grow.add(Quantize(TARGETS[(i + j) % 4], rounding, overflow, divisor), x)
    return grow.finish()


def elementwise():
    grow = Grower()
    shape = (2, 3)
    for i, kind in enumerate(CORNERS):
        x = grow.input(shape, kind)
        offset = grow.const((3,), Fixed(True, 5, i)) if i % 3 else None
        grow.add(Affine(grow.const((3,) if i % 2 else ()), offset), x)
        grow.add(Affine(grow.const(shape), grow.const(shape, Fixed(True, 5, i))), x)
        grow.add(Clip(exact(-0.75) if i % 2 else None, exact(1.25)), x)
        grow.add(Clip(exact(0), None), x)
        knee = exact(0.5) if i % 3 else None
        grow.add(Leaky(grow.const((3,) if i % 2 else ()), knee), x)
        if kind.width <= 8:
            grow.add(Table(kind.lo, grow.const((1 << kind.width,), Fixed(bool(i % 2), 5, 2))), x)
        count, grid = (1, 2, 5, 8, 15)[i % 5], Fixed(True, 10, 4)
        rows = (3, count) if i % 2 else (count,)
        steps = np.sort(grow.rng.integers(grid.lo, grid.hi, rows), axis=-1)
        values = grow.const((*rows[:-1], count + 1), Fixed(True, 4, 2))
        grow.add(Threshold(Const(steps, grid), values), x)
    return grow.finish()


def movement():
    grow = Grower()
    image, other = grow.input((6, 5, 3), X), grow.input((6, 5, 3), U)
    row, series, flat = grow.input((1, 1, 3), W), grow.input((8, 4), X), grow.input((6,), X)
    for kind in ("add", "sub", "mul", "max", "min"):
        grow.add(Merge(kind), image, other)
        grow.add(Merge(kind), row, image)
    grow.add(Merge("mul"), image, image)
    grow.add(Merge("add"), other, row)
    for amounts in (
        ((1, 2), (0, 1), (0, 0)),
        ((1, -2), (-1, 1), (0, 0)),
        ((0, 0), (1, 0), (1, 2)),
        ((-1, -2), (-1, -1), (0, 0)),
    ):
        grow.add(Pad(amounts), image)
    grow.add(Pad(((2, 1), (0, 0))), series)
    grow.add(Pad(((1, 1),)), flat)
    grow.add(Upsample((2, 3)), image)
    grow.add(Upsample((2,)), series)
    for order in ((0, 2, 1), (2, 1, 0), (1, 0, 2), (2, 0, 1)):
        grow.add(Transpose(order), image)
    for axis in range(3):
        grow.add(Concat(axis), image, other)
    grow.add(Concat(0), flat, flat)
    grow.add(Reshape((90,)), image)
    grow.add(Reshape((30, 3)), other)
    grow.add(Reshape((6, 15)), other)
    hidden = grow.builder.add("flattened", Reshape((90,)), image)
    grow.add(Dense(grow.const((90, 4))), hidden)
    grow.add(Dense(grow.const((4, 3)), grow.const((3,), Fixed(True, 5, 6))), series)
    grow.add(Dense(grow.const((3, 2))), image)
    turned = grow.builder.add("turned", Reshape((4, 8)), series)
    grow.add(Dense(grow.const((8, 3))), turned)
    wide = grow.builder.add("wide", Quantize(Fixed(True, 12, 2)), other)  # narrow again below
    grow.add(Reshape((90,)), wide)
    grow.add(Reshape((30, 3)), wide)
    grow.add(Dense(grow.const((90, 2))), grow.outputs[-2])
    grow.add(Transpose((2, 0, 1)), wide)
    grow.add(Pad(((1, 0), (0, 0), (0, 0))), wide)
    grow.add(Concat(0), wide, other)
    grow.add(Merge("max"), wide, image)
    grow.outputs += [flat, flat]
    return grow.finish()


def pooling():
    grow = Grower()
    image, other = grow.input((6, 5, 3), X), grow.input((6, 5, 3), U)
    series, flat = grow.input((8, 4), X), grow.input((6,), X)
    low = grow.builder.add("low", Clip(None, exact(-0.5)), image)  # padding must not win
    for kind in ("max", "sum"):
        grow.add(Pool(kind, (2, 2), (2, 2), ((0, 0), (0, 0))), image)
        grow.add(Pool(kind, (3, 3), (2, 2), ((1, 1), (0, 1))), low)
        grow.add(Pool(kind, (3, 2), (1, 1), ((1, 1), (1, 0))), other)
        grow.add(Pool(kind, (1, 1), (2, 3), ((0, 0), (0, 0))), image)
        grow.add(Pool(kind, (2,), (3,), ((0, 0),)), series)
        grow.add(Pool(kind, (3,), (1,), ((1, 1),)), series)
        for axes in ((0, 1), (0,), (1, 2), (0, 1, 2)):
            grow.add(Reduce(kind, axes), low)
        grow.add(Reduce(kind, (2,), True), image)
        grow.add(Reduce(kind, (0, 2), True), image)
        grow.add(Reduce(kind, (0,)), flat)
    shifted = grow.builder.add("shifted", Leaky(exact(-1)), flat)  # never negative
    grow.add(Reduce("max", (0,), True), shifted)
    return grow.finish()


def convolutions():
    grow = Grower()
    image, series = grow.input((7, 6, 3), X), grow.input((9, 3), U)
    none, one = ((0, 0), (0, 0)), ((1, 1), (1, 1))
    for kernel, filters, strides, padding, dilation, groups in (
        ((3, 3), 2, (1, 1), one, (1, 1), 1),
        ((2, 3), 2, (2, 2), ((0, 1), (1, 0)), (1, 1), 1),
        ((1, 1), 5, (1, 1), none, (1, 1), 1),
        ((1, 3), 2, (2, 1), ((0, 0), (1, 1)), (1, 1), 1),
        ((3, 1), 2, (1, 3), none, (1, 1), 1),
        ((2, 2), 2, (1, 1), ((1, 1), (0, 2)), (2, 2), 1),
        ((2, 2), 2, (3, 3), none, (1, 1), 1),
        ((7, 6), 2, (1, 1), none, (1, 1), 1),
        ((3, 3), 3, (2, 2), one, (1, 1), 3),
        ((2, 2), 6, (1, 1), none, (1, 2), 3),
    ):
        weight = grow.const((*kernel, 3 // groups, filters))
        bias = grow.const((filters,), Fixed(True, 6, 7))
        grow.add(Conv(weight, bias, strides, padding, dilation, groups), image)
    for size, filters, stride, padding, dilation, groups in (
        (3, 2, 2, (1, 1), 1, 1),
        (3, 2, 1, (4, 0), 2, 1),
        (1, 3, 2, (0, 0), 1, 1),
        (2, 3, 3, (0, 1), 1, 3),
        (2, 6, 1, (0, 0), 1, 3),
    ):
        weight = grow.const((size, 3 // groups, filters))
        grow.add(Conv(weight, None, (stride,), (padding,), (dilation,), groups), series)
    wide = grow.input((4, 4, 4), X)
    grow.add(Conv(grow.const((2, 2, 2, 6)), None, (1, 1), none, (1, 1), 2), wide)
    return grow.finish()


def shared_multipliers():
    """Every valid reuse factor of a dense layer, some of the others."""
    grow = Grower()
    flat, series = grow.input((12,), X), grow.input((6, 4), U)
    image = grow.input((5, 4, 4), X)
    same, rows = ((0, 1), (1, 1)), ((0, 0), (1, 1))
    cases = [
        (Dense(grow.const((12, 8)), grow.const((8,))), flat, 1),
        (Dense(grow.const((4, 3))), series, 2),
        (Conv(grow.const((2, 3, 4, 4)), None, (1, 2), same, (1, 1)), image, 3),
        (Conv(grow.const((3, 4, 2)), None, (1,), ((2, 0),), (1,)), series, 2),
        (Conv(grow.const((3, 3, 1, 4)), None, (1, 1), same, (1, 1), 4), image, 2),
        (Conv(grow.const((2, 1, 8)), None, (1,), ((0, 0),), (2,), 4), series, 3),
        (Conv(grow.const((1, 2, 4, 4)), None, (2, 1), rows, (1, 1)), image, 4),
    ]
    for op, source, every in cases:
        factors = valid_reuse_factors(op)
        for factor in {*factors[::every], factors[-1]}:
            grow.add(op, source, choice=Choice("resource", factor))
    return grow.finish(), grow.choices


def loops():
    """Loops, one in another, with and without states; reversal, rows, products of matrices."""
    grow = Grower()
    sequence, series = grow.input((5, 3), X), grow.input((5,), U)
    grow.add(Flip(0), sequence)
    backwards = grow.add(Flip(1), sequence)
    state, other = Fixed(True, 6, 2), Fixed(True, 7, 4)
    start = Const(grow.rng.integers(-9, 9, (4,)), other)
    zero = Const(np.zeros((), np.int64), state)

    def recurrence(slices, inner=None):
        body = NetBuilder()
        h, c = body.add_input("h", (4,), state), body.add_input("c", (4,), other)
        edges = [body.add_input(f"x{i}", *slice_) for i, slice_ in enumerate(slices)]
        x = edges[0] if inner is None else body.add("inner", inner, edges[0])
        if body.edges[x].shape == ():
            x = body.add("row", Reshape((1,)), x)
        total = body.add("hu", Dense(grow.const((4, 4))), h)
        width = body.edges[x].shape[-1]
        total = body.add(
            "sum", Merge("add"), total, body.add("xw", Dense(grow.const((width, 4))), x)
        )
        kept = body.add("keep", Quantize(other, Rounding.RND, Overflow.SAT), total)
        mixed = body.add("mix", Merge("max"), kept, c)
        new = body.add("new", Quantize(state, Rounding.TRN, Overflow.WRAP), mixed)
        for edge in edges[1:]:
            flat = body.add("flat", Dense(grow.const((body.edges[edge].shape[-1], 4))), edge)
            mixed = body.add("more", Merge("sub"), mixed, flat)
        return body.finish((new, kept, mixed))

    initial = (zero, start)
    grow.add(Scan(recurrence([((3,), X)]), initial), sequence)
    grow.add(Scan(recurrence([((3,), X)]), initial, "last"), backwards)
    grow.add(Scan(recurrence([((), U)]), initial), series)
    grow.add(Scan(recurrence([((3,), X), ((3,), X)]), initial), sequence, backwards)
    shared = grow.add(Scan(recurrence([((3,), X)]), initial), sequence)
    grow.choices[f"{shared}/hu"] = Choice("resource", 2)

    plane = grow.input((4, 5, 3), X)
    inner = Scan(recurrence([((3,), X)]), initial, "last")
    grow.add(Scan(recurrence([((5, 3), X)], inner), initial), plane)

    pixel = NetBuilder()
    pixel.add_input("x", (5, 3), X)
    pixel.add("conv", Conv(grow.const((2, 3, 2)), None, (1,), ((0, 1),), (1,)), "x")
    pixel.add("peak", Reduce("max", (0, 1)), "conv")
    grow.add(Scan(pixel.finish(("conv",)), ()), plane)
    grow.add(Scan(pixel.finish(("peak",)), ()), plane)

    heads, other_heads = grow.input((2, 4, 3), X), grow.input((2, 3, 5), U)
    grow.add(MatMul(), heads, other_heads)
    grow.add(MatMul(), sequence, grow.input((3, 2), X))

    rows = Const(grow.rng.integers(-16, 16, (64, 3)), W)
    grow.add(Table(0, rows), series)
    grow.add(Table(0, rows), grow.input((2, 3), U))
    return grow.finish(), grow.choices


@BOTH
@BACKENDS
def test_loops_compute_what_the_network_means(simulate, plan, io_type, backend):
    net, choices = loops()
    assert check(net) == []
    wrong, _ = simulate(net, plan(io_type, backend, choices))
    assert wrong == []


@BOTH
@pytest.mark.parametrize(
    "make", [quantizers, elementwise, movement, pooling], ids=lambda make: make.__name__
)
def test_own_kernels_compute_what_the_network_means(simulate, plan, make, io_type):
    net = make()
    wrong, seen = simulate(net, plan(io_type), count=200)
    assert wrong == []
    assert seen >= len(net.nodes) - len(net.inputs) + len(net.outputs)


def few_weights():
    """Dense layers of which each product not zero is written out; one row, one column is empty."""
    grow = Grower()
    choice = Choice("latency", 1, written_out=True)
    for kind, weight in ((X, W), (U, Fixed(False, 3, 5)), (CORNERS[2], Fixed(True, 1, 0))):
        codes = grow.rng.integers(weight.lo, weight.hi, (30, 9), endpoint=True)
        codes[grow.rng.random(codes.shape) < 0.8] = 0
        codes[:, 4] = codes[7] = 0
        x = grow.input((30,), kind)
        for bias in (None, grow.const((9,))):
            grow.add(Dense(Const(codes, weight), bias), x, choice=choice)
    y = grow.add(Reshape((9, 30)), grow.input((30, 9), X))
    y = grow.add(Reshape((270,)), y)
    codes = np.where(grow.rng.random((270, 3)) < 0.05, 3, 0)
    grow.add(Dense(Const(codes, W), None), y, choice=choice)
    return grow.finish(), grow.choices


@BOTH
@BACKENDS
def test_products_written_out_are_the_same_sums(simulate, plan, io_type, backend, tmp_path):
    net, choices = few_weights()
    wrong, _ = simulate(net, plan(io_type, backend, choices))
    assert wrong == []
    text = (tmp_path / "firmware/parameters.h").read_text()
    nonzero = [int(np.count_nonzero(net.by_name[name].op.weight.codes)) for name in choices]
    assert text.count("sum += x[") == sum(nonzero)


@BOTH
@BACKENDS
def test_convolutions_compute_what_the_network_means(simulate, plan, io_type, backend):
    wrong, _ = simulate(convolutions(), plan(io_type, backend))
    assert wrong == []


@BOTH
@BACKENDS
def test_every_reuse_factor_gives_the_same_codes(simulate, plan, io_type, backend):
    net, choices = shared_multipliers()
    assert len(choices) > 12
    wrong, _ = simulate(net, plan(io_type, backend, choices))
    assert wrong == []


@BACKENDS
def test_windows_too_large_to_print_are_loops(simulate, plan, backend, monkeypatch, tmp_path):
    monkeypatch.setattr("qapflow.lower.hls4ml.PRINTED_WINDOW_VALUES", 0)
    wrong, _ = simulate(convolutions(), plan("io_parallel", backend))
    assert wrong == []
    assert "fill_buffer_" not in (tmp_path / "firmware/parameters.h").read_text()
    assert not (tmp_path / "firmware/nnet_utils/nnet_code_gen.h").exists()
    net, choices = shared_multipliers()
    wrong, _ = simulate(net, plan("io_parallel", backend, choices))
    assert wrong == []


def test_very_wide_values_are_exact(simulate, plan):
    grow = Grower()
    x = grow.input((3,), Fixed(True, 50, 20))
    y = grow.builder.add("square", Merge("mul"), x, x)
    z = grow.builder.add("cube", Merge("mul"), y, x)
    for divisor in (1, 7, 60001, 1000003):
        grow.add(Quantize(Fixed(True, 60, 3), Rounding.RND_CONV, Overflow.SAT, divisor), z)
        grow.add(Quantize(Fixed(True, 33, 30), Rounding.RND_INF, Overflow.WRAP, divisor), y)
    wrong, _ = simulate(grow.finish(), plan())
    assert wrong == []


@BOTH
def test_inputs_that_nothing_reads_are_taken(simulate, plan, io_type):
    grow = Grower()
    grow.input((4,), X)
    grow.add(Clip(exact(0), None), grow.input((3,), U))
    assert simulate(grow.finish(), plan(io_type))[0] == []
