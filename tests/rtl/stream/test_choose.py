"""Which form a network gets."""

import numpy as np
import pytest

from qapflow.boards import load_target
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Const, Conv, Dense, Transpose
from qapflow.plan import Choice, Plan
from qapflow.rtl.stream.choose import choose_form, sharing_of
from qapflow.rtl.stream.predict import predict_lut


def plan(io_type="io_parallel", choices=None):
    return Plan("vitis", io_type, 5.0, 12.5, choices or {})


def dense_net(rows, columns):
    builder = NetBuilder()
    builder.add_input("x", (rows,), Fixed(True, 6, 0))
    codes = np.random.default_rng(0).integers(-32, 32, (rows, columns))
    op = Dense(Const(codes, Fixed(True, 6, 0)))
    return builder.finish((builder.add("dense", op, "x"),))


def image_net(size, turn=False):
    builder = NetBuilder()
    builder.add_input("x", (size, size, 8), Fixed(True, 6, 0))
    codes = np.random.default_rng(0).integers(-32, 32, (3, 3, 8, 16))
    op = Conv(Const(codes, Fixed(True, 6, 0)), None, (1, 1), ((0, 0), (0, 0)), (1, 1))
    name = builder.add("conv", op, "x")
    if turn:
        name = builder.add("turn", Transpose((1, 0, 2)), name)
    return builder.finish((name,))


@pytest.fixture(scope="module")
def target():
    return load_target("xcvu9p")


def test_small_networks_are_unrolled_and_images_stream(target):
    assert choose_form(dense_net(16, 16), plan(), target).form == "unrolled"
    chosen = choose_form(image_net(28), plan(), target)
    assert chosen.form == "streaming"
    assert "LUT unrolled" in chosen.reason


def test_io_stream_asks_for_streaming_and_a_wish_wins(target):
    net = dense_net(16, 16)
    assert choose_form(net, plan("io_stream"), target).form == "streaming"
    assert choose_form(net, plan("io_stream"), target, "unrolled").form == "unrolled"


def test_what_cannot_stream_is_unrolled_and_said(target):
    chosen = choose_form(image_net(40, turn=True), plan(), target)
    assert (chosen.form, chosen.reason) == ("unrolled", "no streaming form of turn")


def test_only_reuse_factors_of_the_user_are_kept():
    net = dense_net(16, 16)
    mine, proposed = Choice("resource", 4), Choice("resource", 8, "fits")
    assert sharing_of(net, plan(choices={"dense": mine})).reuse == {"dense": 4}
    assert sharing_of(net, plan(choices={"dense": proposed})).reuse == {}


def test_the_prediction_follows_the_digits_of_the_weights():
    small, large = (sum(predict_lut(dense_net(n, 16)).values()) for n in (16, 64))
    assert 1500 < small < 5000  # the tracer takes 2,700 for such weights
    assert 3.5 < large / small < 6
