"""Images made larger or smaller, with pixels at half coordinates as TensorFlow 2 counts them.

Output o lies at (o + 1/2) in / out - 1/2 of the input. Larger by a whole factor f, each output is a
weighted mean of two neighbours, with one pair of weights for each o modulo f: one depthwise
convolution with f times as many channels, interleaved. Outside the image its border continues.
Smaller by f, the two middle pixels of each f are averaged, or the middle one is taken.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd, prod

import numpy as np

from qapflow.frontend.layers.chosen import mean_type
from qapflow.frontend.layers.transposed import interleave
from qapflow.frontend.layers.work import Work, pair
from qapflow.ir.fixed import Codes, Fixed, Overflow, Rounding
from qapflow.ir.ops import Affine, Concat, Const, Conv, Pad, Pool, Quantize, Upsample

FLOAT32_BITS = 24
NEIGHBOURS = 3


def upsample(work: Work) -> str:
    """Translate UpSampling1D and UpSampling2D."""
    work.channels_last()
    rank = work.image_rank()
    factors = pair(work.config.get("size", 2), rank)
    kind = _kind(work, str(work.config.get("interpolation") or "nearest"))
    if kind == "nearest":
        return work.add(Upsample(factors))
    return _larger(work, work.input, factors)


def resizing(work: Work) -> str:
    """Translate Resizing to a multiple of the size, or a whole fraction of it, axis by axis."""
    work.channels_last()
    for key in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"):
        work.setting(key, False, False, None)
    shape = work.shape()
    if len(shape) != NEIGHBOURS:
        raise work.misfit(f"it gets an input of shape {shape}")
    kind = _kind(work, str(work.config.get("interpolation") or "bilinear"))
    ratios = [
        Fraction(int(work.config[key]), n)
        for key, n in zip(("height", "width"), shape, strict=False)
    ]
    if any(1 not in (ratio.numerator, ratio.denominator) for ratio in ratios):
        raise work.refuse(
            f"resizing {shape[:2]} to {work.config['height']} x {work.config['width']} is not "
            "supported: the sizes are no multiples of one another",
            "resize to a multiple or a whole fraction of the size, or before the model",
        )
    edge = work.input
    shrink = tuple(ratio.denominator for ratio in ratios)
    if max(shrink) > 1:
        edge = _smaller(work, edge, shrink, kind)
    factors = tuple(ratio.numerator for ratio in ratios)
    if max(factors) == 1:
        return edge
    return work.add(Upsample(factors), edge) if kind == "nearest" else _larger(work, edge, factors)


def _kind(work: Work, kind: str) -> str:
    if kind not in ("nearest", "bilinear"):
        raise work.refuse(
            f"interpolation={kind!r} is not supported", "use interpolation='nearest' or 'bilinear'"
        )
    return kind


def _smaller(work: Work, edge: str, steps: tuple[int, ...], kind: str) -> str:
    """Keep the middle of every `steps` pixels."""
    even = [step % 2 == 0 and kind == "bilinear" for step in steps]
    starts = [step // 2 - pair_of for step, pair_of in zip(steps, even, strict=True)]
    if any(starts):
        edge = work.add(Pad((*((-start, 0) for start in starts), (0, 0))), edge, suffix="cut")
    size = tuple(1 + pair_of for pair_of in even)
    op = Pool("sum" if any(even) else "max", size, steps, ((0, 0),) * len(steps))
    edge = work.add(op, edge, suffix="kept")
    return _divide(work, edge, prod(size)) if any(even) else edge


def _larger(work: Work, edge: str, factors: tuple[int, ...]) -> str:
    """Interpolate linearly between neighbours."""
    for axis, factor in enumerate(factors):
        edge = edge if factor == 1 else _continue_border(work, edge, axis)
    channels = work.shape(edge)[-1]
    codes = phase_weights(factors)
    weight = Const(np.tile(codes, channels), Fixed.holding(0, int(codes.max()), 0))
    ones = (1,) * len(factors)
    op = Conv(weight, None, ones, ((0, 0),) * len(factors), ones, channels)
    edge = work.add(op, edge, suffix="weighted")
    edge = interleave(work, edge, factors, channels_first=True)
    return _divide(work, edge, int(codes.sum()) // prod(factors))


def phase_weights(factors: tuple[int, ...]) -> Codes:
    """Whole-number weights [*taps, 1, phases]; those of every phase have the same sum."""
    codes = np.ones((1, 1), np.int64)
    for factor in factors:
        line = _line_weights(factor)
        shape = (*codes.shape[:-1], line.shape[0], codes.shape[-1] * factor)
        codes = np.einsum("...p,tf->...tpf", codes, line).reshape(shape)
    return codes.reshape(*codes.shape[1:-1], 1, -1)


def _line_weights(factor: int) -> Codes:
    """Return weights [neighbour, phase] of one axis; one neighbour if nothing changes."""
    if factor == 1:
        return np.ones((1, 1), np.int64)
    offset = 2 * np.arange(factor) + 1 - factor  # of the output from its pixel, in 2 * factor
    near = 2 * factor - np.abs(offset)
    lines = np.stack([np.maximum(-offset, 0), near, np.maximum(offset, 0)])
    return np.asarray(lines // gcd(*lines.ravel().tolist()), np.int64)


def _continue_border(work: Work, edge: str, axis: int) -> str:
    """Repeat the first and the last slice of an axis."""
    size, rank = work.shape(edge)[axis], len(work.shape(edge))

    def cut(before: int, after: int) -> str:
        amounts = [(0, 0)] * rank
        amounts[axis] = (-before, -after)
        return work.add(Pad(tuple(amounts)), edge, suffix="border")

    return work.add(Concat(axis), cut(0, size - 1), edge, cut(size - 1, 0), suffix="border")


def _divide(work: Work, edge: str, divisor: int) -> str:
    """Divide a weighted sum as Keras's float32 does: exactly if the weights are dyadic."""
    kind = work.builder.edges[edge].type
    if divisor & (divisor - 1):
        chosen = mean_type(work.builder, edge, divisor, work.options.float_bits)
        work.reasons.append(f"interpolation by parts of {divisor} rounded to {chosen}")
        return work.add(Quantize(chosen, Rounding.RND, Overflow.SAT, divisor), edge)
    if kind.width > FLOAT32_BITS:
        work.reasons.append("interpolation gives more bits than float32 has")
    return work.add(Affine(Const.exact(1 / divisor)), edge)
