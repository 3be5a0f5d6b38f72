"""The operations of the integer network: plain records, no behaviour.

Every operation but `Quantize`, `Table` and `Threshold` is exact: its result lies on a finer grid,
never a rounded one. Only `Quantize` rounds and only `Quantize` can overflow, so a reader finds
every loss of information of a network by looking for that one word.

Shapes never include the batch; the channel axis is last.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qapflow.errors import UsageError
from qapflow.ir.fixed import INT64_BITS, Codes, Fixed, Overflow, Rounding, shrink

if TYPE_CHECKING:
    from qapflow.ir.net import Net


@dataclass(frozen=True, eq=False)
class Const:
    """Read-only integer codes with their type; compared and hashed by content."""

    codes: Codes
    type: Fixed

    def __post_init__(self) -> None:
        codes = np.array(self.codes)
        codes = shrink(codes) if codes.dtype == object else codes.astype(np.int64)
        codes.setflags(write=False)
        object.__setattr__(self, "codes", codes)

    @classmethod
    def exact(
        cls, values: np.ndarray[tuple[int, ...], np.dtype[np.floating[Any]]] | float
    ) -> Const:
        """Hold finite floats exactly, on the coarsest grid that has them all.

        Raises:
            UsageError: a value is NaN or infinite.
        """
        array = np.asarray(values, np.float64)
        if not np.isfinite(array).all():
            raise UsageError("constants cannot hold NaN or infinity")
        mantissa, exponent = np.frexp(array)
        whole = np.ldexp(mantissa, 53).astype(np.int64)  # array = whole * 2**(exponent - 53)
        if not whole.any():
            return cls(np.zeros(array.shape, np.int64), Fixed(False, 1, 0))
        lowest_bit = np.frexp((whole & -whole).astype(np.float64))[1] - 1
        frac = int((53 - exponent - lowest_bit)[whole != 0].max())
        if int(exponent[whole != 0].max()) + frac <= INT64_BITS:
            codes: Codes = np.ldexp(array, frac).astype(np.int64)
        else:
            codes = np.empty(array.shape, object)
            codes.ravel()[:] = [int(Fraction(v) * Fraction(2) ** frac) for v in array.ravel()]
        return cls(codes, Fixed.holding(int(codes.min()), int(codes.max()), frac))

    @property
    def digest(self) -> str:
        """SHA-256 of type, shape and codes."""
        text = f"{self.type} {self.codes.shape} {self.codes.tolist()}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Const):
            return NotImplemented
        return self.type == other.type and np.array_equal(self.codes, other.codes)

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True)
class Input:
    """A network input; its edge carries shape and type."""


@dataclass(frozen=True)
class Quantize:
    """cast(x / divisor) to `type`: the only rounding and the only overflow."""

    type: Fixed
    rounding: Rounding = Rounding.RND_CONV
    overflow: Overflow = Overflow.SAT
    divisor: int = 1


@dataclass(frozen=True)
class Dense:
    """x[..., n_in] @ weight[n_in, n_out] + bias[n_out]."""

    weight: Const
    bias: Const | None = None


@dataclass(frozen=True)
class Conv:
    """Cross-correlation over 1 or 2 spatial axes.

    `weight` is [*kernel, channels_in // groups, channels_out]; output channels of one group are
    adjacent. `padding` is (before, after) zeros a spatial axis.
    """

    weight: Const
    bias: Const | None
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1


@dataclass(frozen=True)
class Pool:
    """Window maximum (padding never wins) or window sum (padding counts zero)."""

    kind: Literal["max", "sum"]
    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Reduce:
    """Maximum or sum over whole axes (batch not counted); reduced axes keep size 1 if asked."""

    kind: Literal["max", "sum"]
    axes: tuple[int, ...]
    keepdims: bool = False


@dataclass(frozen=True)
class Merge:
    """Elementwise a (+, -, *, max, min) b; axes of size 1 broadcast, ranks are equal."""

    kind: Literal["add", "sub", "mul", "max", "min"]


@dataclass(frozen=True)
class MatMul:
    """a[..., n, k] @ b[..., k, m] of two edges with the same leading axes."""


@dataclass(frozen=True)
class Affine:
    """x * scale + offset, constants broadcast against the trailing axes of x."""

    scale: Const
    offset: Const | None = None


@dataclass(frozen=True)
class Clip:
    """min(max(x, lower), upper) with scalar constants; ReLU is Clip(0, None)."""

    lower: Const | None
    upper: Const | None


@dataclass(frozen=True)
class Leaky:
    """x where x >= threshold, else slope * (x - threshold); slope scalar or trailing axes."""

    slope: Const
    threshold: Const | None = None


@dataclass(frozen=True)
class Table:
    """values[code(x) - first], the same table for every element; x is proved to stay inside.

    `values` is [n], or [n, width] to look up a row: the result then has one axis more.
    """

    first: int
    values: Const


@dataclass(frozen=True)
class Threshold:
    """values[k], k = how many of the ascending `thresholds` are <= x.

    `thresholds` is [n] for all elements or [channels, n]; `values` is [n + 1] or [channels, n+1].
    Any step function of a wide input is exact in this form.
    """

    thresholds: Const
    values: Const


@dataclass(frozen=True)
class Concat:
    """Join inputs along `axis` (batch not counted)."""

    axis: int


@dataclass(frozen=True)
class Reshape:
    """Same elements in row-major order, another shape."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Transpose:
    """Permute axes: output axis i is input axis `order[i]` (batch not counted)."""

    order: tuple[int, ...]


@dataclass(frozen=True)
class Pad:
    """Zeros before and after each axis (batch not counted); negative amounts crop."""

    amounts: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Upsample:
    """Repeat each element `factors[i]` times along spatial axis i (nearest neighbour)."""

    factors: tuple[int, ...]


@dataclass(frozen=True)
class Flip:
    """Reverse one axis (batch not counted)."""

    axis: int


@dataclass(frozen=True)
class Scan:
    """Run `body` once for each slice along the first axis, carrying states from step to step.

    The inputs of `body` are the states, then a slice of each input of this node (first axis
    removed). Its outputs are the next states, each on the grid of its state, then the result of
    the step. `initial` gives the first states, broadcast. `emit` "all" stacks the results along
    a new first axis, "last" gives the last one.
    """

    body: Net
    initial: tuple[Const, ...]
    emit: Literal["all", "last"] = "all"


Op = (
    Input
    | Quantize
    | Dense
    | Conv
    | Pool
    | Reduce
    | Merge
    | MatMul
    | Affine
    | Clip
    | Leaky
    | Table
    | Threshold
    | Concat
    | Reshape
    | Transpose
    | Pad
    | Upsample
    | Flip
    | Scan
)
