"""Array arithmetic of the operations, exact on integers of any width.

Arrays are [n, *shape]. Sums of products run in BLAS floats where their size proves that exact
(below 2**53), in int64 beyond that, in Python integers above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from qapflow.ir.fixed import INT64_BITS, Codes, shrink, widen

Pads = Sequence[tuple[int, int]]


def peak(codes: Codes) -> int:
    """Largest magnitude."""
    return max(abs(int(codes.min())), abs(int(codes.max()))) if codes.size else 0


def shift_left(codes: Codes, bits: int) -> Codes:
    """Multiply by 2**bits, in Python integers if need be."""
    if not bits:
        return codes
    if peak(codes).bit_length() + bits > INT64_BITS:
        codes = widen(codes)
    return np.asarray(codes * (1 << bits))  # of one object, numpy makes a plain int


def combine(kind: str, left: Codes, right: Codes) -> Codes:
    """Add, subtract, multiply, or take the larger or smaller, elementwise."""
    bits = (peak(left).bit_length(), peak(right).bit_length())
    if (sum(bits) if kind == "mul" else max(bits) + 1) > INT64_BITS:
        left, right = widen(left), widen(right)
    operations: dict[str, np.ufunc] = {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "max": np.maximum,
        "min": np.minimum,
    }
    # Of arrays without axes numpy makes a plain int.
    return shrink(np.asarray(operations[kind](left, right)))


def contract(codes: Codes, weight: Codes) -> Codes:
    """[..., n_in] @ [n_in, n_out]."""
    bound = peak(codes) * peak(weight) * max(weight.shape[0], 1)
    return _multiply(codes, weight, bound)


def multiply_matrices(left: Codes, right: Codes) -> Codes:
    """[..., n, k] @ [..., k, m]."""
    return _multiply(left, right, peak(left) * peak(right) * max(left.shape[-1], 1))


def _multiply(codes: Codes, weight: Codes, bound: int) -> Codes:
    if bound < 2**53:
        product = codes.astype(np.float64) @ weight.astype(np.float64)
        return product.astype(np.int64)
    if bound.bit_length() <= INT64_BITS:
        return np.asarray(codes @ weight)
    return shrink(np.asarray(widen(codes) @ widen(weight)))


def pad(codes: Codes, amounts: Pads, value: int = 0) -> Codes:
    """Pad axes after the first by `amounts`; negative amounts crop."""
    grow = [(0, 0), *((max(a, 0), max(b, 0)) for a, b in amounts)]
    if any(a or b for a, b in grow):
        # Not np.pad: it puts 64-bit integers, which wrap, between Python's own.
        whole = np.full(
            [n + a + b for n, (a, b) in zip(codes.shape, grow, strict=True)], value, codes.dtype
        )
        whole[tuple(slice(a, n + a) for n, (a, _) in zip(codes.shape, grow, strict=True))] = codes
        codes = whole
    cut = [slice(None)]
    cut += [
        slice(max(-a, 0), n - max(-b, 0))
        for n, (a, b) in zip(codes.shape[1:], amounts, strict=True)
    ]
    return codes[tuple(cut)]


def windows(
    codes: Codes, size: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Codes:
    """[n, *spatial, c] -> [n, *out, c, *size]: a view."""
    rank = len(size)
    span = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    axes: Any = tuple(range(1, rank + 1))  # the stubs of older numpy know one axis only
    view = sliding_window_view(codes, span, axis=axes)
    index: list[Any] = [slice(None)]
    index += [slice(None, None, s) for s in strides]
    index += [slice(None)]
    index += [slice(None, None, d) for d in dilation]
    return np.asarray(view[tuple(index)])


def convolve(
    codes: Codes,
    weight: Codes,
    strides: Sequence[int],
    padding: Pads,
    dilation: Sequence[int],
    groups: int,
) -> Codes:
    """Cross-correlate [n, *spatial, c_in] with [*kernel, c_in / groups, c_out]."""
    size = weight.shape[:-2]
    codes = pad(codes, [*padding, (0, 0)])
    view = windows(codes, size, strides, dilation)
    out = view.shape[1 : 1 + len(size)]
    inner, outer = weight.shape[-2], weight.shape[-1] // groups
    bound = peak(codes) * peak(weight) * int(np.prod(weight.shape[:-1]))
    # [n, *out, groups, inner, *size] -> rows of one dot product for each group
    view = view.reshape(*view.shape[: 1 + len(size)], groups, inner, *size)
    rows = np.moveaxis(view, 1 + len(size), 0).reshape(groups, -1, inner * int(np.prod(size)))
    kernel = np.moveaxis(weight.reshape(*size, inner, groups, outer), -2, 0)
    kernel = np.moveaxis(kernel, -2, 1).reshape(groups, -1, outer)
    result = _multiply(rows, kernel, bound)
    result = np.moveaxis(result.reshape(groups, codes.shape[0], *out, outer), 0, -2)
    return result.reshape(codes.shape[0], *out, groups * outer)


def pool(
    kind: str, codes: Codes, size: Sequence[int], strides: Sequence[int], padding: Pads, lowest: int
) -> Codes:
    """Reduce windows by "max" or "sum"; `lowest` fills the padding of a maximum."""
    codes = pad(codes, [*padding, (0, 0)], lowest if kind == "max" else 0)
    view = windows(codes, size, strides, [1] * len(size))
    return reduce(kind, view, tuple(range(-len(size), 0)), keepdims=False)


def reduce(kind: str, codes: Codes, axes: tuple[int, ...], keepdims: bool) -> Codes:
    """Maximum or sum over axes."""
    if kind == "max":
        return np.asarray(codes.max(axis=axes, keepdims=keepdims))
    terms = int(np.prod([codes.shape[a] for a in axes]))
    if (peak(codes) * terms).bit_length() > INT64_BITS:
        codes = widen(codes)
    return shrink(np.asarray(codes.sum(axis=axes, keepdims=keepdims)))


def upsample(codes: Codes, factors: Sequence[int]) -> Codes:
    """Repeat along spatial axes."""
    for axis, factor in enumerate(factors, start=1):
        codes = np.repeat(codes, factor, axis=axis)
    return codes


def count_at_most(codes: Codes, thresholds: Codes) -> NDArray[np.int64]:
    """How many of the ascending thresholds ([n] or [channels, n]) are <= each code."""
    if thresholds.ndim == 1:
        return np.searchsorted(thresholds, codes, side="right").astype(np.int64)
    columns = [
        np.searchsorted(row, codes[..., channel], side="right")
        for channel, row in enumerate(thresholds)
    ]
    return np.stack(columns, axis=-1).astype(np.int64)
