"""Normalization by the spread of the sample itself.

With n values x, sum S, d = n x - S and V = sum(d**2):

    (x - mean) / sqrt(variance + epsilon) = d * sqrt(n) / sqrt(V + n**3 epsilon)

Everything under the root is exact; the root comes from tables (`quantizers.roots`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, prod, sqrt

import numpy as np

from qapflow.frontend.layers.chosen import round_const
from qapflow.frontend.layers.product import permute, reshape
from qapflow.frontend.layers.work import Work, number
from qapflow.frontend.quantizers.roots import RELATIVE_ERROR, inverse_root
from qapflow.frontend.quantizers.site import Site
from qapflow.ir.fixed import INT64_BITS, Fixed, Overflow, Rounding
from qapflow.ir.ops import Affine, Clip, Const, Merge, Quantize, Reduce

WIDEST = 26  # bits of a value that is squared
EPSILON_BITS = 20
FRAC = 16  # fraction bits of the normalized values


@dataclass(frozen=True)
class Normalized:
    """Edge of values between -sqrt(n) and sqrt(n), and their largest error."""

    edge: str
    error: float


def layer_normalization(work: Work) -> str:
    """Translate LayerNormalization (Ba et al., arXiv 1607.06450)."""
    work.setting("rms_scaling", False, False, None)
    shape = work.shape()
    axes = _axes(work, work.config.get("axis", -1))
    edge = _as_rows(work, work.input, axes)
    made = standardized(work, edge, _epsilon(work, 1e-3), centered=True)
    edge = _from_rows(work, made.edge, shape, axes)
    places = tuple(n if axis in axes else 1 for axis, n in enumerate(shape))
    return _weighted(work, Normalized(edge, made.error), places)


def rms_normalization(work: Work) -> str:
    """Translate RMSNormalization: x / sqrt(mean(x**2) + epsilon) (arXiv 1910.07467)."""
    shape = work.shape()
    axes = _axes(work, work.config.get("axis", -1))
    edge = _as_rows(work, work.input, axes)
    made = standardized(work, edge, _epsilon(work, 1e-6), centered=False)
    edge = _from_rows(work, made.edge, shape, axes)
    places = tuple(n if axis in axes else 1 for axis, n in enumerate(shape))
    return _weighted(work, Normalized(edge, made.error), places, "scale")


def group_normalization(work: Work) -> str:
    """Translate GroupNormalization over groups of channels (Wu and He, arXiv 1803.08494)."""
    shape = work.shape()
    if _axes(work, work.config.get("axis", -1)) != (len(shape) - 1,):
        raise work.refuse("it does not group the last axis", "use axis=-1")
    groups = int(work.config.get("groups", 32))
    groups = shape[-1] if groups == -1 else groups
    if groups < 1 or shape[-1] % groups:
        raise work.misfit(f"{shape[-1]} channels do not make {groups} groups")
    split = (*shape[:-1], groups, shape[-1] // groups)
    edge = reshape(work, work.input, split)
    axes = (*range(len(shape) - 1), len(shape))
    made = standardized(work, _as_rows(work, edge, axes), _epsilon(work, 1e-3), centered=True)
    edge = reshape(work, _from_rows(work, made.edge, split, axes), shape)
    return _weighted(work, Normalized(edge, made.error), (shape[-1],))


def unit_normalization(work: Work) -> str:
    """Translate UnitNormalization: x / sqrt(sum(x**2)), 0 where all are 0."""
    shape = work.shape()
    axes = _axes(work, work.config.get("axis", -1))
    made = unit_rows(work, _as_rows(work, work.input, axes))
    work.reasons.append(_reason(made))
    return _from_rows(work, made.edge, shape, axes)


def unit_rows(work: Work, edge: str) -> Normalized:
    """Divide rows [m, n] by their length."""
    edge, lost = _narrow(work, edge)
    squares = _squares(work, edge)
    tiny = max(float(work.builder.edges[squares].type.lsb), 1e-12)
    squares = work.add(Clip(round_const(Const.exact(tiny), EPSILON_BITS), None), squares)
    smallest = work.builder.intervals[squares].low * work.builder.edges[squares].type.lsb
    made = _divided(work, edge, squares, 1.0, 1)
    return Normalized(made.edge, made.error + 2 * lost / sqrt(float(smallest)))


def standardized(work: Work, edge: str, epsilon: float, centered: bool) -> Normalized:
    """Subtract the mean of rows [m, n] if asked for, then divide by the deviation."""
    count = work.shape(edge)[1]
    if centered:
        total = work.add(Reduce("sum", (1,), True), edge, suffix="sum")
        edge = work.add(Affine(Const.exact(float(count))), edge, suffix="times")
        edge = work.add(Merge("sub"), edge, total, suffix="centered")
    power = 3 if centered else 1
    edge, lost = _narrow(work, edge)
    squares = _squares(work, edge)
    offset = round_const(Const.exact(count**power * epsilon), EPSILON_BITS)
    squares = work.add(Affine(Const.exact(1.0), offset), squares, suffix="variance")
    made = _divided(work, edge, squares, sqrt(count), count)
    scale = count if centered else 1
    # a rounded epsilon is as good as a variance that is 2**-20 of itself off
    error = made.error + sqrt(count) * 2.0 ** -(EPSILON_BITS + 1) + 2 * lost / scale / sqrt(epsilon)
    return Normalized(made.edge, error)


def _narrow(work: Work, edge: str) -> tuple[str, float]:
    """Round values that are too wide to be squared; return the largest error."""
    kind = work.builder.edges[edge].type
    bits = min(WIDEST, (INT64_BITS - ceil(log2(max(work.shape(edge)[1], 1)))) // 2)
    if kind.width <= bits:
        return edge, 0.0
    target = Fixed(kind.signed, bits, kind.frac - (kind.width - bits))
    made = work.add(Quantize(target, Rounding.RND, Overflow.SAT), edge, suffix="narrow")
    return made, float(target.lsb)  # half a step, or a whole one at the upper end


def _squares(work: Work, edge: str) -> str:
    """Sum of squares of each row; the clip says what a product of an edge with itself means."""
    square = work.add(Merge("mul"), edge, edge, suffix="square")
    total = work.add(Reduce("sum", (1,), True), square, suffix="squares")
    return work.add(Clip(Const.exact(0.0), None), total, suffix="squares")


def _divided(work: Work, edge: str, squares: str, factor: float, count: int) -> Normalized:
    peak = float(max(-work.builder.intervals[edge].low, work.builder.intervals[edge].high, 1))
    peak *= float(work.builder.edges[edge].type.lsb)
    name = f"{work.spec.name}_inverse"
    site = Site(work.builder, squares, name, work.spec.name)
    grid = FRAC + 1 + ceil(log2(peak))
    root = inverse_root(site, factor, grid)
    product = work.add(Merge("mul"), edge, root.edge, suffix="divided")
    largest = ceil(sqrt(count)) + 1
    kind = Fixed.holding(-largest << FRAC, largest << FRAC, FRAC)
    made = work.add(Quantize(kind, Rounding.RND, Overflow.SAT), product, suffix="normalized")
    error = sqrt(count) * RELATIVE_ERROR + peak * 2.0 ** -(grid + 1) + 2.0 ** -(FRAC + 1)
    return Normalized(made, error)


def _reason(made: Normalized) -> str:
    return f"normalized with a root from tables: error at most {made.error:.2g}"


def _weighted(work: Work, made: Normalized, places: tuple[int, ...], factor: str = "gamma") -> str:
    """Multiply by gamma and add beta."""
    bits = work.options.float_bits
    edge, peak, scale, offset = made.edge, 1.0, None, None
    if factor == "scale" or work.config.get("scale", True):
        gamma = work.array(factor).astype(np.float32).reshape(places)
        scale, peak = round_const(Const.exact(gamma), bits), float(np.abs(gamma).max())
    if factor == "gamma" and work.config.get("center", True):
        offset = round_const(Const.exact(work.array("beta").reshape(places)), bits)
    if scale is not None or offset is not None:
        edge = work.add(Affine(scale or Const.exact(1.0), offset), edge, suffix="weighted")
    work.reasons.append(f"{_reason(made)} before its weights, the largest of which is {peak:.3g}")
    return work.finish(edge)


def _epsilon(work: Work, default: float) -> float:
    epsilon = float(np.float32(number(work.config.get("epsilon"), default)))
    if not epsilon > 0:
        raise work.refuse(f"epsilon={epsilon} lets it divide by zero", "use a positive epsilon")
    return epsilon


def _axes(work: Work, value: object) -> tuple[int, ...]:
    """Return axes without the batch, in order."""
    rank = len(work.shape())
    given = [value] if isinstance(value, int) else list(value) if isinstance(value, list) else []
    axes = sorted(int(axis) + rank if axis < 0 else int(axis) - 1 for axis in given)
    if not axes or axes[0] < 0 or axes[-1] >= rank:
        raise work.misfit(f"axis={value} does not fit {work.shape()}")
    return tuple(axes)


def _order(rank: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    return (*(axis for axis in range(rank) if axis not in axes), *axes)


def _as_rows(work: Work, edge: str, axes: tuple[int, ...]) -> str:
    """Give [m, n] with the n values of `axes` in each row."""
    shape = work.shape(edge)
    edge = permute(work, edge, _order(len(shape), axes))
    size = prod(shape[axis] for axis in axes)
    return reshape(work, edge, (prod(shape) // size, size))


def _from_rows(work: Work, edge: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> str:
    """Undo `_as_rows`."""
    order = _order(len(shape), axes)
    edge = reshape(work, edge, tuple(shape[axis] for axis in order))
    return permute(work, edge, tuple(int(k) for k in np.argsort(order)))
