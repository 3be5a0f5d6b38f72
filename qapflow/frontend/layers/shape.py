"""Layers that only move elements."""

from __future__ import annotations

from math import prod
from typing import Any

from qapflow.frontend.layers.work import Work, pair
from qapflow.ir.ops import Pad, Reshape, Transpose, Upsample


def keep(work: Work) -> str:
    """Translate what does nothing at inference (dropout, noise, regularisation)."""
    return work.input


def flatten(work: Work) -> str:
    """Translate Flatten."""
    work.channels_last()
    return work.add(Reshape((prod(work.shape()),)))


def reshape(work: Work) -> str:
    """Translate Reshape; one size may be -1."""
    target = [int(n) for n in work.config["target_shape"]]
    known = prod(n for n in target if n != -1)
    total = prod(work.shape())
    if target.count(-1) > 1 or (-1 in target and total % known):
        raise work.misfit(f"target_shape={target} does not fit {work.shape()}")
    return work.add(Reshape(tuple(total // known if n == -1 else n for n in target)))


def permute(work: Work) -> str:
    """Translate Permute, whose axes count from 1."""
    return work.add(Transpose(tuple(int(axis) - 1 for axis in work.config["dims"])))


def repeat_vector(work: Work) -> str:
    """Translate RepeatVector: [c] -> [n, c]."""
    count = int(work.config["n"])
    edge = work.add(Reshape((1, *work.shape())), suffix="row")
    return work.add(Upsample((count,)), edge)


def zero_pad(work: Work) -> str:
    """Translate ZeroPadding1D and ZeroPadding2D."""
    return work.add(Pad(_amounts(work, "padding", 1)))


def crop(work: Work) -> str:
    """Translate Cropping1D and Cropping2D."""
    return work.add(Pad(_amounts(work, "cropping", -1)))


def _amounts(work: Work, key: str, sign: int) -> tuple[tuple[int, int], ...]:
    work.channels_last()
    rank = work.image_rank()
    value: Any = work.config.get(key, 1)
    if rank == 1:
        sides = [pair(value, 2, least=0)]
    elif isinstance(value, int):
        sides = [(value, value)] * rank
    else:
        sides = [pair(side, 2, least=0) for side in value]
    if len(sides) != rank:
        raise work.misfit(f"{key}={value!r} does not fit {work.shape()}")
    return (*((sign * side[0], sign * side[1]) for side in sides), (0, 0))
