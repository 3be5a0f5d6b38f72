"""How a network is cut into blocks, and how deep its channels must be."""

import numpy as np
import pytest

from qapflow.errors import ModelUnsupported
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Const, Conv, Dense, Merge, Quantize, Reduce, Reshape, Transpose
from qapflow.rtl.stream.blocks import Fold, Gather, Kernel, Mac, Window
from qapflow.rtl.stream.cut import cut, interval_cycles
from qapflow.rtl.stream.depth import size_channels
from qapflow.rtl.stream.multiply import Sharing


def weights(*shape):
    codes = np.arange(np.prod(shape)).reshape(shape) % 7 - 3
    return Const(codes, Fixed(True, 3, 2))


def image(shape=(5, 6, 2)):
    builder = NetBuilder()
    builder.add_input("x", shape, Fixed(True, 5, 3))
    return builder


def conv(builder, name, source, same=False):
    pad = ((1, 1), (1, 1)) if same else ((0, 0), (0, 0))
    op = Conv(weights(3, 3, 2, 2), None, (1, 1), pad, (1, 1))
    return builder.add(f"{name}_q", Quantize(Fixed(True, 5, 3)), builder.add(name, op, source))


def kinds(net, **limits):
    graph = cut(net, Sharing(interval_cycles(net), **limits))
    return [type(block.work) for block in graph.blocks]


def test_logic_between_movers_is_one_kernel():
    builder = image()
    first = conv(builder, "first", "x")
    more = builder.add("more", Quantize(Fixed(True, 4, 3)), first)
    assert kinds(builder.finish((more,))) == [Window, Kernel]


def test_flattening_costs_nothing_before_shared_multipliers():
    builder = image()
    flat = builder.add("flat", Reshape((60,)), "x")
    net = builder.finish((builder.add("dense", Dense(weights(60, 4)), flat),))
    assert kinds(net) == [Mac]


def test_the_reuse_factor_is_the_number_of_clocks():
    builder = NetBuilder()
    builder.add_input("x", (16,), Fixed(True, 5, 3))
    net = builder.finish((builder.add("dense", Dense(weights(16, 8)), "x"),))
    assert kinds(net) == [Kernel]
    (block,) = cut(net, Sharing(1, {"dense": 64})).blocks
    assert (block.work.clocks, block.work.multipliers) == (64, 2)


def test_a_sum_over_pixels_is_folded_and_a_transposed_image_gathered():
    builder = image()
    total = builder.add("total", Reduce("sum", (0, 1)), "x")
    assert kinds(builder.finish((total,))) == [Fold]
    turned = builder.add("turned", Transpose((1, 0, 2)), "x")
    assert kinds(builder.finish((turned,)))[:2] == [Gather, Kernel]


def test_the_way_round_a_convolution_holds_what_the_convolution_holds():
    builder = image()
    inner = conv(builder, "inner", "x", same=True)
    net = builder.finish((builder.add("sum", Merge("add"), inner, "x"),))
    depths = size_channels(cut(net, Sharing(30)), {})
    skip = [depth for channel, depth in depths.items() if channel.stream == "x"]
    assert max(skip) >= 6  # one row before the first window is complete
    assert max(skip) <= 18


def test_what_has_no_streaming_form_is_refused_all_at_once():
    builder = image((40, 40, 2))
    first = builder.add("first", Transpose((1, 0, 2)), "x")
    second = builder.add("second", Transpose((2, 0, 1)), first)
    with pytest.raises(
        ModelUnsupported, match=r"(?s)2 things.*first .*3,200 values.*second"
    ) as error:
        cut(builder.finish((second,)), Sharing(1600))
    assert "--rtl-form unrolled" in str(error.value)
