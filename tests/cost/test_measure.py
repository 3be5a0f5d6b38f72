import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qapflow.boards import load_target
from qapflow.cost import Cost, bops, declared_bits, measure, read_shapes
from qapflow.cost.board import estimate_on
from qapflow.cost.shapes import first_layers
from qapflow.frontend.model import LayerSpec, ModelSpec
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Affine, Const, Conv, Dense, Merge, Quantize, Reshape, Scan
from qapflow.report.figures import FIGURES, Source
from tests.cost.nets import INPUT, RELU, const, convolution, grow, two_layers

FIRST = [[1, -2, 0], [0, 11, 0], [64, 0, 21], [0, 0, 0]]  # digits 1 1 0 / 0 3 0 / 1 0 3 / 0
SECOND = [[3, 0], [0, 0], [0, 1]]


def test_every_figure_by_hand():
    net = two_layers(FIRST, SECOND, bias=[1, 0, 6])
    found = measure(net)
    first, second = (layer.cost for layer in found.layers)
    assert [layer.name for layer in found.layers] == ["a", "c"]
    assert first == Cost(
        multiplications=12,
        nonzero_multiplications=5,
        without_multiplier=3,
        bops_input_32=5 * 32 * 8 + 12 * (32 + 8 + 2),
        bops_input_own=5 * 8 * 8 + 12 * (8 + 8 + 2),
        ebops=8 * (1 + 1 + 4 + 1 + 5),
        ebops_accumulation=3,
        csd_digits=9,
        weights=12,
        nonzeros=5,
        weight_memory_bits=96,
        nonzero_memory_bits=40,
        bias_memory_bits=24,
        activation_memory_bits=4 * 8,
    )
    assert second.bops_input_32 == second.bops_input_own
    assert (second.ebops, second.csd_digits, second.without_multiplier) == (6 * (2 + 1), 3, 2)
    outputs = 2 * net.edge("c").type.width
    assert found.total.activation_memory_bits == 4 * 8 + 3 * 6 + outputs


@given(arrays.arrays(np.int64, (6, 5), elements=st.integers(-127, 127)))
def test_totals_are_sums_and_bops_those_of_the_shapes(codes):
    net = two_layers(codes, codes[:5])
    found = measure(net)
    for field in fields(Cost):
        if field.name != "activation_memory_bits":
            values = [getattr(layer.cost, field.name) for layer in found.layers]
            assert getattr(found.total, field.name) == sum(values)
    shapes = list(read_shapes(net).values())
    assert math.isclose(found.total.bops_input_32, bops(shapes, 32), rel_tol=1e-12)  # order of sums
    assert math.isclose(found.total.bops_input_own, bops(shapes), rel_tol=1e-12)


@given(
    arrays.arrays(np.int64, (4, 3), elements=st.integers(-127, 127)),
    arrays.arrays(np.bool_, (4, 3)),
)
def test_pruning_never_costs(codes, mask):
    bits = {"a": 8, "c": 8}
    dense, pruned = (measure(two_layers(c, SECOND), bits).total for c in (codes, codes * mask))
    for field in fields(Cost):
        if field.name != "activation_memory_bits":  # the outputs of wider sums
            assert getattr(pruned, field.name) <= getattr(dense, field.name)
    removed = np.count_nonzero(codes) - np.count_nonzero(codes * mask)
    assert dense.nonzeros - pruned.nonzeros == removed
    falls = dense.bops_input_own - pruned.bops_input_own
    assert math.isclose(falls, removed * 8 * 8, abs_tol=1e-9)  # float64 sums of a few hundred


def test_zeros_are_those_of_the_codes():
    """Kept is measured after quantization: what the integer network holds."""
    (shape,) = read_shapes(grow(Dense(const([[0, 3], [0, 0]])), shape=(2,))).values()
    assert shape.kept == 0.25


def test_a_convolution_counts_every_position():
    weight = np.ones((3, 3, 2, 4), np.int64)
    weight[0] = 0
    found = measure(convolution(weight, (5, 5, 2), padding=(1, 1)))
    assert found.total.multiplications == 72 * 25
    assert found.total.nonzero_multiplications == 48 * 25
    assert found.total.weights == 72
    by_hand = 25 * (48 * 8 * 8 + 72 * (8 + 8 + math.log2(18)))
    codes = Const(weight, Fixed(True, 8, 7))
    (shape,) = read_shapes(convolution(weight, (5, 5, 2), padding=(1, 1))).values()
    assert (shape.inputs, shape.outputs, shape.positions, codes.codes.size) == (18, 4, 25, 72)
    assert found.total.bops_input_own == pytest.approx(by_hand, rel=1e-14)  # order of sums


def test_groups_have_fewer_inputs_an_output():
    op = Conv(const(np.ones((3, 1, 4), np.int64) * 3), None, (1,), ((0, 0),), (1,), groups=4)
    (shape,) = read_shapes(grow(op, shape=(7, 4))).values()
    assert (shape.inputs, shape.outputs, shape.positions) == (3, 4, 5)


def test_declared_bits_replace_the_width_of_the_codes():
    net = grow(Dense(const([[1, 3], [0, 2]])), shape=(2,))
    assert read_shapes(net)["a"].weight_bits == 8
    assert read_shapes(net, {"a": 6})["a"].weight_bits == 6
    assert measure(net, {"a": 6}).total.weight_memory_bits == 24


def spec(**quantizers):
    layers = [
        LayerSpec(name, "QDense", {"kernel_quantizer": text}, {}, ())
        for name, text in quantizers.items()
    ]
    both = {"depthwise_quantizer": "binary()", "pointwise_quantizer": "quantized_bits(6,0)"}
    layers += [LayerSpec("mixed", "QSeparableConv1D", both, {}, ())]
    return ModelSpec("m", tuple(layers), (), (), "2.15", "h5", "")


def test_bits_that_quantizers_declare():
    found = declared_bits(
        spec(
            six="quantized_bits(6,0,alpha=1)",
            sign="binary(alpha=1)",
            three="ternary(alpha=1)",
            shift="quantized_po2(4)",
            floats=None,
            linear="linear",
        )
    )
    assert found == {"six": 6, "sign": 1, "three": 2, "shift": 4}


def test_what_reads_the_input():
    """Everything that has no weights before it, behind whatever moves or rounds."""
    builder = NetBuilder()
    x = builder.add_input("x", (4,), INPUT)
    moved = builder.add("moved", Reshape((2, 2)), builder.add("rounded", Quantize(RELU), x))
    left = builder.add("left", Dense(const(np.ones((2, 2), int))), moved)
    right = builder.add("right", Dense(const(np.ones((2, 2), int))), moved)
    both = builder.add("both", Merge("add"), left, right)
    builder.add("late", Dense(const(np.ones((2, 2), int))), both)
    net = builder.finish(("late",))
    assert first_layers(net) == {"left", "right"}


def loop():
    """Return a loop of 3 steps: state * w + slice * v."""
    body = NetBuilder()
    state = body.add_input("state", (2,), Fixed(True, 8, 4))
    piece = body.add_input("piece", (4,), INPUT)
    kept = body.add("recurrent", Dense(const(np.ones((2, 2), int))), state)
    new = body.add("kernel", Dense(const(np.ones((4, 2), int))), piece)
    both = body.add("both", Merge("add"), kept, new)
    out = body.add("out", Quantize(Fixed(True, 8, 4)), both)
    builder = NetBuilder()
    x = builder.add_input("x", (3, 4), INPUT)
    initial = Const(np.zeros((2,), np.int64), Fixed(True, 8, 4))
    op = Scan(body.finish((out, out)), (initial,), "last")
    return builder.finish((builder.add("loop", op, x),))


def test_loops_count_every_step():
    net = loop()
    assert first_layers(net) == {"loop/kernel"}
    shapes = read_shapes(net)
    assert {name: shape.positions for name, shape in shapes.items()} == {
        "loop/recurrent": 3,
        "loop/kernel": 3,
    }
    found = measure(net)
    assert found.total.multiplications == 3 * (4 + 8)
    assert found.total.weights == 12
    assert found.total.ebops == 3 * 8 * (4 + 8)


def test_other_multiplications_are_told_apart():
    net = grow(Dense(const([[1, 3]])), Affine(const([3, 4]), const([1, 1])), shape=(1,))
    found = measure(net)
    assert [layer.kind for layer in found.layers] == ["weights", "scale"]
    (note,) = found.notes
    assert "only: 1 multiplication a sample besides (b), counted in EBOPs alone" in note
    assert found.total.weights == 2
    assert measure(grow(Quantize(RELU))).layers == ()


def test_tensors_are_counted_once():
    builder = NetBuilder()
    x = builder.add_input("x", (2, 2), INPUT)
    flat = builder.add("flat", Reshape((4,)), x)
    one = builder.add("one", Dense(const(np.ones((4, 1), int))), flat)
    two = builder.add("two", Dense(const(np.ones((2, 1), int))), x)
    net = builder.finish((one, two))
    outputs = net.edge(one).type.width + 2 * net.edge(two).type.width
    assert measure(net).total.activation_memory_bits == 4 * 8 + outputs


def test_the_estimate_is_the_projects_own():
    net = two_layers(FIRST, SECOND)
    found = estimate_on(net, load_target("pynq-z2"), strategy="latency", reuse_factor=1)
    assert list(found.totals) == list(FIGURES)
    assert {figure.source for figure in found.totals.values()} == {Source.ESTIMATE}
    assert set(found.layers) == {"a", "b", "c"}
    assert found.fits
    assert found.headroom.startswith("fits: LUT")
    small = replace(found.target, resources=replace(found.target.resources, lut=1))
    assert not estimate_on(net, small).fits
