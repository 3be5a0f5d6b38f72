"""Traced logic = interpreter, on every edge of networks that hold every operation."""

from itertools import product

import numpy as np
import pytest

from qapflow.errors import ModelUnsupported
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Affine, Clip, Const, Conv, Dense, Quantize, Table, Threshold
from qapflow.rtl.symbols import Fabric
from qapflow.rtl.trace import trace
from tests.lower import test_simulation as networks
from tests.lower.conftest import corner_codes

pytestmark = pytest.mark.needs_alkaid
ONE = Const(np.array([1]), Fixed(True, 2, 0))


def values(codes, kind):
    return np.ldexp(np.asarray(codes, np.float64), -kind.frac)


def compare(net, codes):
    """Return the edges whose traced values are not the interpreter's, and how many were seen."""
    count = len(next(iter(codes.values())))
    flat = [values(codes[n.name].reshape(count, -1), n.out.type) for n in net.inputs]
    logic, rows_in = trace(net, Fabric()).logic, np.concatenate(flat, axis=1)
    if max(node.out.type.width for node in net.nodes) <= 31:
        found = np.asarray(logic.predict(rows_in))
    else:  # alkaid's compiled simulation computes in 32 bits, its Python one in doubles
        found = np.array([logic(row) for row in rows_in], np.float64)
    expected = interpret(net, codes)
    rows = [values(expected[n].reshape(count, -1), net.edge(n).type) for n in net.outputs]
    ends = np.cumsum([row.shape[1] for row in rows])
    assert found.shape[1] == ends[-1]
    parts = np.split(found, ends[:-1], axis=1)
    wrong = [
        name
        for name, left, right in zip(net.outputs, parts, rows, strict=True)
        if not np.array_equal(left, right)
    ]
    return wrong, len(rows)


@pytest.mark.parametrize(
    "make", ["quantizers", "elementwise", "movement", "pooling", "convolutions", "loops"]
)
def test_logic_computes_what_the_network_means(make):
    net = getattr(networks, make)()
    net = net[0] if isinstance(net, tuple) else net
    wrong, seen = compare(net, corner_codes(net, 200))
    assert seen > 10
    assert wrong == []


def cast_in_every_way(builder, source):
    """Add every rounding and overflow of an edge to four types, and quotients; finish."""
    targets = (Fixed(True, 3, 1), Fixed(False, 5, 0), Fixed(True, 1, -1), Fixed(True, 4, 2))
    names = [
        builder.add(f"n{i}", Quantize(target, rounding, overflow, divisor), source)
        for i, (target, rounding, overflow, divisor) in enumerate(
            product(targets, Rounding, Overflow, (1, 2, 3, 10))
        )
    ]
    return builder.finish(tuple(names))


@pytest.mark.parametrize(
    "source", [Fixed(True, 1, 0), Fixed(True, 7, 3), Fixed(False, 6, 2), Fixed(True, 8, -2)]
)
def test_every_rounding_of_every_code(source):
    builder = NetBuilder()
    builder.add_input("x", (1,), source)
    net = cast_in_every_way(builder, "x")
    wrong, seen = compare(net, {"x": np.arange(source.lo, source.hi + 1).reshape(-1, 1)})
    assert seen == 448
    assert wrong == []


@pytest.mark.parametrize("kind", [Fixed(True, 6, 3), Fixed(False, 5, 2), Fixed(True, 6, -2)])
def test_every_rounding_of_every_constant(kind):
    """The outputs of units without inputs: alkaid computes casts of constants while tracing."""
    builder = NetBuilder()
    builder.add_input("x", (1,), Fixed(False, 1, 0))
    codes = np.arange(kind.lo, kind.hi + 1)
    weight = Const(np.zeros((1, codes.size), np.int64), Fixed(True, 2, 0))
    dense = builder.add("dense", Dense(weight, Const(codes, kind)), "x")
    net = cast_in_every_way(builder, dense)
    wrong, seen = compare(net, {"x": np.array([[0], [1]])})
    assert seen == 448
    assert wrong == []


def test_wide_weights_and_factors_are_not_rounded():
    builder = NetBuilder()
    builder.add_input("x", (3,), Fixed(True, 8, 4))
    wide = Fixed(True, 30, 20)
    weight = np.array([[wide.hi, 12345677], [-987654321 // 4, 3], [wide.lo, -1]])
    dense = builder.add("dense", Dense(Const(weight, wide)), "x")
    scaled = builder.add("scaled", Affine(Const(weight[:, 0], wide)), "x")
    net = builder.finish((dense, scaled))
    wrong, _ = compare(net, corner_codes(net, 50))
    assert wrong == []


def test_windows_that_see_only_padding_are_constants():
    builder = NetBuilder()
    builder.add_input("x", (2, 2, 1), Fixed(False, 3, 0))
    weight = Const(np.array([[[[3]]]]), Fixed(True, 4, 1))
    pads = ((1, 0), (0, 1))
    conv = builder.add("conv", Conv(weight, None, (1, 1), pads, (1, 1)), "x")
    net = builder.finish((conv,))
    wrong, _ = compare(net, corner_codes(net, 20))
    assert wrong == []


def test_values_wider_than_a_double_are_refused_by_name():
    builder = NetBuilder()
    builder.add_input("x", (1,), Fixed(True, 30, 0))
    wide = Const(np.array([3 << 26]), Fixed(True, 30, 0))
    builder.add("scaled", Affine(wide), "x")
    with pytest.raises(ModelUnsupported, match=r"(?s)scaled .*58 bits.*at most 50"):
        trace(builder.finish(("scaled",)), Fabric())


def test_constants_longer_than_the_tracer_holds_are_refused_by_name():
    builder = NetBuilder()
    builder.add_input("x", (1,), Fixed(True, 4, 0))
    offset = Const(np.array([(1 << 33) + 1]), Fixed(True, 36, 0))
    one = Const(np.array([1]), Fixed(True, 2, 0))
    builder.add("moved", Affine(one, offset), "x")
    with pytest.raises(ModelUnsupported, match=r"(?s)moved .*more than 31 bits"):
        trace(builder.finish(("moved",)), Fabric())


LONG = (1 << 27) - 1


@pytest.mark.parametrize(
    ("op", "source"),
    [
        (Quantize(Fixed(True, 28, 6)), Fixed(True, 44, 20)),
        (Quantize(Fixed(False, 30, 20), Rounding.TRN, Overflow.SAT_ZERO), Fixed(True, 44, 20)),
        (Quantize(Fixed(False, 17, 16)), Fixed(False, 46, 44)),
        (Quantize(Fixed(False, 17, 16), Rounding.RND_MIN_INF), Fixed(False, 46, 44)),
        (Clip(None, Const(np.array(LONG), Fixed(True, 28, 20))), Fixed(True, 44, 20)),
        (Affine(ONE, Const(np.array([LONG]), Fixed(True, 28, 27))), Fixed(True, 12, 0)),
        (Table(0, Const(np.arange(64) * 3355443 + 1, Fixed(False, 28, 20))), Fixed(False, 6, 0)),
        (
            Threshold(
                Const(np.array([-LONG, 5, LONG]), Fixed(True, 28, 20)),
                Const(np.array([LONG, 1, 2, -LONG]), Fixed(True, 28, 0)),
            ),
            Fixed(True, 40, 20),
        ),
    ],
)
def test_constants_of_more_than_24_bits_keep_all_of_them(op, source):
    builder = NetBuilder()
    builder.add_input("x", (1,), source)
    net = builder.finish((builder.add("y", op, "x"),))
    rng = np.random.default_rng(0)
    near = [c for c in (-LONG - 1, -LONG, LONG - 1, LONG, LONG + 1) if source.lo <= c <= source.hi]
    codes = np.concatenate([rng.integers(source.lo, source.hi + 1, 500), near, [source.hi]])
    wrong, _ = compare(net, {"x": codes.reshape(-1, 1).astype(np.int64)})
    assert wrong == []


def test_a_bound_of_more_than_31_bits_is_refused_by_name():
    builder = NetBuilder()
    builder.add_input("x", (1,), Fixed(True, 44, 20))
    builder.add("narrow", Quantize(Fixed(False, 36, 20), Rounding.TRN, Overflow.SAT), "x")
    with pytest.raises(ModelUnsupported, match=r"(?s)narrow .*more than 31 bits"):
        trace(builder.finish(("narrow",)), Fabric())
