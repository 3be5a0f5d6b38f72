from itertools import pairwise

import numpy as np
import pytest

from qapflow.errors import UsageError
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Affine, Clip, Const, Conv, Dense, Merge, Quantize, Reshape, Table
from qapflow.verify.coverage import coverage, measure, tie_mask, will_saturate
from qapflow.verify.vectors import input_range, make_vectors

INPUT = Fixed(True, 12, 6)
ACT = Fixed(False, 5, 4)


def mlp(seed=0, sizes=(6, 8, 4), kind=INPUT):
    rng = np.random.default_rng(seed)
    build = NetBuilder()
    last = build.add_input("x", (sizes[0],), kind)
    for k, (a, b) in enumerate(pairwise(sizes)):
        weight = Const(rng.integers(-8, 8, (a, b)), Fixed(True, 4, 3))
        last = build.add(f"fc{k}", Dense(weight), last)
        last = build.add(f"q{k}", Quantize(ACT), last, origin=f"act{k}")
    return build.finish((last,))


def test_vectors_have_the_count_shape_range_and_tags():
    net = mlp()
    got = make_vectors(net, 400, seed=1)
    assert len(got) == 400
    codes = got.codes["x"]
    assert codes.shape == (400, 6)
    assert codes.dtype == np.int64
    assert codes.min() == INPUT.lo
    assert codes.max() == INPUT.hi
    wanted = {"minimum", "maximum", "zero", "one-hot extremes", "single lsb", "random"}
    wanted |= {f"rounding ties of act{k}" for k in (0, 1)}
    assert wanted <= set(got.tags)
    assert (got.where("minimum").codes["x"] == INPUT.lo).all()
    assert (got.where("maximum").codes["x"] == INPUT.hi).all()
    assert not got.where("zero").codes["x"].any()
    assert got.tags.count("random") >= 80


def test_the_same_seed_gives_the_same_vectors():
    first, again, other = (make_vectors(mlp(), 100, seed=s) for s in (5, 5, 6))
    assert np.array_equal(first.codes["x"], again.codes["x"])
    assert first.tags == again.tags
    assert not np.array_equal(first.codes["x"], other.codes["x"])


def test_first_layer_sums_reach_their_true_ends():
    net = mlp(sizes=(6, 4))
    weight = net.by_name["fc0"].op.weight.codes
    highest = np.where(weight > 0, weight * INPUT.hi, weight * INPUT.lo).sum(axis=0)
    lowest = np.where(weight > 0, weight * INPUT.lo, weight * INPUT.hi).sum(axis=0)
    got = interpret(net, make_vectors(net, 64).codes, keep="all")["fc0"]
    assert got.max(axis=0).tolist() == highest.tolist()
    assert got.min(axis=0).tolist() == lowest.tolist()


def test_every_quantizer_is_driven_to_its_edge_cases():
    net = mlp(sizes=(16, 32, 16, 8))
    for row in coverage(net, make_vectors(net, 1000).codes):
        assert row.values == 1000 * net.edge(row.node).shape[0]
        assert row.minimum
        assert row.maximum
        assert row.ties
        assert row.saturated


def test_searched_samples_do_what_their_tag_says():
    net = mlp()
    got = make_vectors(net, 400)
    edges = interpret(net, got.codes, keep="all")
    node = net.by_name["q1"]
    frac = net.edge("fc1").type.frac
    ties = tie_mask(node.op, edges["fc1"], frac).any(axis=1)
    over = will_saturate(node.op, edges["fc1"], frac).any(axis=1)
    for k, tag in enumerate(got.tags):
        assert ties[k] or tag != "rounding ties of act1"
        assert over[k] or tag != "saturation of act1"


def test_images_are_searched_like_vectors():
    rng = np.random.default_rng(0)
    build = NetBuilder()
    x = build.add_input("x", (6, 6, 1), Fixed(True, 6, 3))
    weight = Const(rng.integers(-8, 8, (3, 3, 1, 4)), Fixed(True, 4, 3))
    x = build.add("conv", Conv(weight, None, (1, 1), ((1, 1), (1, 1)), (1, 1)), x)
    x = build.add("q", Quantize(ACT), x)
    x = build.add("flat", Reshape((144,)), x)
    weight = Const(rng.integers(-8, 8, (144, 3)), Fixed(True, 4, 3))
    net = build.finish((build.add("fc", Dense(weight), x),))
    got = make_vectors(net, 400)
    assert {"rounding ties of q", "saturation of q", "largest sums of fc"} <= set(got.tags)
    (row,) = coverage(net, got.codes)
    assert row.values == 400 * 144
    assert min(row.minimum, row.maximum, row.ties, row.saturated) > 0
    sums = interpret(net, got.codes, keep="all")["conv"]
    exact = np.abs(net.by_name["conv"].op.weight.codes).sum(axis=(0, 1, 2)) * 31
    assert sums.max() >= exact.max() - 31  # the lower end is one code further


def test_the_users_samples_come_last():
    user = {"x": np.arange(12).reshape(2, 6)}
    got = make_vectors(mlp(), 20, user=user)
    assert len(got) == 22
    assert got.tags[-2:] == ("user", "user")
    assert np.array_equal(got.codes["x"][-2:], user["x"])
    only = make_vectors(mlp(), 0, user=user)
    assert only.tags == ("user", "user")


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17])
def test_small_counts(count):
    got = make_vectors(mlp(), count)
    assert len(got) == count
    assert got.codes["x"].shape == (count, 6)


def test_several_inputs_get_their_own_ranges():
    build = NetBuilder()
    a = build.add_input("a", (2, 2), Fixed(False, 3, 0))
    b = build.add_input("b", (2, 2), Fixed(True, 9, 0))
    net = build.finish((build.add("sum", Merge("add"), a, b),))
    got = make_vectors(net, 300).codes
    assert (got["a"].min(), got["a"].max()) == (0, 7)
    assert (got["b"].min(), got["b"].max()) == (-256, 255)


def test_wide_inputs_are_covered_too():
    kind = Fixed(True, 100, 10)
    build = NetBuilder()
    x = build.add_input("x", (3,), kind)
    net = build.finish((build.add("relu", Clip(Const.exact(0.0), None), x),))
    got = make_vectors(net, 200).codes["x"]
    assert int(got.min()) == kind.lo
    assert int(got.max()) == kind.hi


def test_a_negative_count_and_foreign_inputs_are_refused():
    with pytest.raises(UsageError, match="the number of vectors cannot be -1"):
        make_vectors(mlp(), -1)
    with pytest.raises(UsageError, match="the given inputs are y, the network has x"):
        make_vectors(mlp(), 1, user={"y": np.zeros((1, 6), np.int64)})
    with pytest.raises(UsageError, match=r"input 'x' has shape \(5,\), the network \(6,\)"):
        make_vectors(mlp(), 1, user={"x": np.zeros((1, 5), np.int64)})


def test_user_samples_of_different_length_are_refused():
    build = NetBuilder()
    a, b = (build.add_input(name, (1,), INPUT) for name in "ab")
    net = build.finish((build.add("sum", Merge("add"), a, b),))
    user = {"a": np.zeros((1, 1), np.int64), "b": np.zeros((2, 1), np.int64)}
    with pytest.raises(UsageError, match="different numbers of samples"):
        make_vectors(net, 1, user=user)


def test_ties_and_saturation_follow_the_definition():
    op = Quantize(Fixed(True, 4, 1), Rounding.RND, Overflow.SAT)
    codes = np.array([0, 2, 4, 6, 28, 29, 30, 31, 100, -34, -35])  # on the grid 1/8
    assert tie_mask(op, codes, 3).tolist() == [c % 4 == 2 for c in codes.tolist()]
    beyond = [not -8 <= (c + 2) // 4 <= 7 for c in codes.tolist()]
    assert will_saturate(op, codes, 3).tolist() == beyond
    rectifier = Quantize(Fixed(False, 4, 1), Rounding.RND, Overflow.SAT)
    assert will_saturate(rectifier, codes, 3).tolist() == [c == 100 for c in codes.tolist()]
    thirds = Quantize(Fixed(True, 4, 0), divisor=3)
    assert not tie_mask(thirds, codes, 0).any()
    finer = Quantize(Fixed(True, 12, 5))
    assert not tie_mask(finer, codes, 3).any()


def test_measured_ranges_are_those_of_the_codes():
    net = mlp()
    vectors = make_vectors(net, 100)
    seen = measure(net, vectors.codes).ranges
    for name, codes in interpret(net, vectors.codes, keep="all").items():
        assert seen[name] == (codes.min(), codes.max())


def test_rows_of_a_table_are_all_that_an_input_numbers():
    builder = NetBuilder()
    first = builder.add_input("i", (3,), Fixed(True, 6, 1))
    whole = builder.add("w", Quantize(Fixed(True, 5, 0), Rounding.TRN_ZERO, Overflow.SAT), first)
    index = builder.add("c", Clip(Const.exact(0.0), Const.exact(4.0)), whole)
    rows = Const(np.arange(10).reshape(5, 2), Fixed(False, 4, 0))
    made = builder.add("t", Table(0, rows), index)
    other = builder.add(
        "n", Affine(Const.exact(0.5)), builder.add_input("j", (3,), Fixed(True, 4, 0))
    )
    net = builder.finish((made, other))
    assert [input_range(net, node) for node in net.inputs] == [(0, 8), (-8, 7)]
    codes = make_vectors(net, 100).codes["i"]
    assert (codes.min(), codes.max()) == (0, 8)
