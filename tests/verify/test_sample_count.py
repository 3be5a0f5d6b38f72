import numpy as np

from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Net
from qapflow.ir.ops import Const, Conv, Dense, MatMul, Quantize, Scan
from qapflow.verify.sample_count import count_multiplications, default_samples

BYTE, WEIGHT = Fixed(True, 8, 4), Fixed(True, 2, 0)


def weight(*shape):
    return Const(np.ones(shape, np.int64), WEIGHT)


def test_multiplications_are_those_of_one_sample():
    build = NetBuilder()
    edge = build.add_input("x", (6, 5, 2), BYTE)
    edge = build.add("c", Conv(weight(3, 2, 2, 4), None, (1, 1), ((0, 0), (0, 0)), (1, 1)), edge)
    assert build.edges[edge].shape == (4, 4, 4)
    edge = build.add("d", Dense(weight(4, 3)), edge)
    assert count_multiplications(build.finish((edge,))) == 4 * 4 * 4 * 3 * 2 * 2 + 4 * 4 * 4 * 3


def test_loops_count_every_turn():
    build = NetBuilder()
    state = build.add_input("state", (3,), BYTE)
    x = build.add_input("x", (3,), BYTE)
    after = build.add("q", Quantize(BYTE), build.add("d", Dense(weight(3, 3)), x))
    body = build.finish((after, state))
    outer = NetBuilder()
    edge = outer.add_input("x", (7, 3), BYTE)
    start = Const(np.zeros(3, np.int64), BYTE)
    net = outer.finish((outer.add("loop", Scan(body, (start,), "last"), edge),))
    assert count_multiplications(net) == 7 * 9


def test_products_of_edges_count():
    build = NetBuilder()
    a, b = build.add_input("a", (4, 5), BYTE), build.add_input("b", (5, 3), BYTE)
    assert count_multiplications(build.finish((build.add("m", MatMul(), a, b),))) == 4 * 3 * 5


def test_large_networks_get_fewer_samples():
    def net(side):
        build = NetBuilder()
        edge = build.add_input("x", (side,), BYTE)
        return build.finish((build.add("d", Dense(weight(side, side)), edge),))

    assert [default_samples(net(side)) for side in (10, 1000, 2000, 4000)] == [1000, 1000, 250, 100]
    assert isinstance(net(1), Net)


def test_images_of_thousands_of_megamultiplications_get_a_handful():
    def net(side, channels):
        build = NetBuilder()
        edge = build.add_input("x", (side, side, channels), BYTE)
        kernel = weight(1, 1, channels, channels)
        conv = Conv(kernel, None, (1, 1), ((0, 0), (0, 0)), (1, 1))
        return build.finish((build.add("c", conv, edge),))

    sizes = ((100, 100), (100, 200), (100, 800))
    assert [default_samples(net(*size)) for size in sizes] == [100, 25, 2]
