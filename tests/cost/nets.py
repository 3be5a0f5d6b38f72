"""Small networks, grown node by node."""

import numpy as np

from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Const, Conv, Dense, Quantize

INPUT = Fixed(True, 8, 4)
BYTE = Fixed(True, 8, 7)
RELU = Fixed(False, 6, 4)


def const(codes, kind=BYTE):
    return Const(np.asarray(codes), kind)


def grow(*operations, shape=(4,), kind=INPUT):
    """Return a chain of operations named a, b, c ... on the input x."""
    builder = NetBuilder()
    edge = builder.add_input("x", shape, kind)
    for name, op in zip("abcdefgh", operations, strict=False):
        edge = builder.add(name, op, edge)
    return builder.finish((edge,))


def two_layers(first, second, bias=None):
    """Return dense, quantizer, dense."""
    bias = None if bias is None else const(bias, Fixed(True, 8, 4))
    return grow(
        Dense(const(first), bias), Quantize(RELU), Dense(const(second)), shape=(len(first),)
    )


def convolution(weight, shape, *, strides=1, padding=(0, 0), dilation=1, groups=1):
    rank = np.ndim(weight) - 2
    op = Conv(const(weight), None, (strides,) * rank, (padding,) * rank, (dilation,) * rank, groups)
    return grow(op, shape=shape)
