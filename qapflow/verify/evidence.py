"""One layer on both sides, from the same input: what a cause is found in and proved with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import INT64_BITS, Codes, Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Net
from qapflow.verify.parts import Part

Array = NDArray[Any]
DOUBLE_BITS = 53
ROWS = 32  # samples with a difference that explanations are tried on, and as many without


@dataclass(frozen=True, eq=False)
class Evidence:
    """A part of the network and its Keras layer, run on the same input.

    `inputs` are codes [n, *shape] by input of the part, `ours` what the part makes of them in
    exact integers, `single` and `double` what the layer makes of their values in Keras's float32
    and in double precision (None: could not be run). `constants` are the layer's weights as Keras
    uses them.
    """

    part: Part
    inputs: Mapping[str, Codes]
    ours: Codes
    single: Array
    double: Array | None = None
    constants: Sequence[Array] = field(default_factory=tuple)

    @property
    def kind(self) -> Fixed:
        """Type of the layer's edge."""
        return self.part.net.edge(self.part.edge).type

    @property
    def truth(self) -> Array:
        """The most precise that Keras gives."""
        return self.single if self.double is None else self.double

    @cached_property
    def wrong(self) -> NDArray[np.bool_]:
        """Which values differ from `truth`."""
        return unequal(self.ours, self.kind, self.truth)

    def run(self, net: Net) -> tuple[Codes, Fixed]:
        """Run another form of the part on the same input; returns codes and their type."""
        (edge,) = net.outputs
        return interpret(net, self.inputs)[edge], net.edge(edge).type

    def gives_truth(self, net: Net) -> bool:
        """Tell whether another form of the part computes exactly what Keras does."""
        codes, kind = self.run(net)
        return not unequal(codes, kind, self.truth).any()

    def fewer(self) -> Evidence:
        """Return the same with a few samples only, those that differ first."""
        rows = self.wrong.reshape(len(self.ours), -1).any(axis=1)
        kept = np.concatenate([np.flatnonzero(rows)[:ROWS], np.flatnonzero(~rows)[:ROWS]])
        return replace(
            self,
            inputs={name: codes[kept] for name, codes in self.inputs.items()},
            ours=self.ours[kept],
            single=self.single[kept],
            double=None if self.double is None else self.double[kept],
        )


def unequal(codes: Codes, kind: Fixed, values: Array) -> NDArray[np.bool_]:
    """Tell where codes are not the given real values, exactly; NaN is equal to nothing."""
    values = np.asarray(values, np.float64).reshape(codes.shape)
    if kind.width <= DOUBLE_BITS:
        return np.asarray(kind.decode(codes) != values)
    theirs, known = to_codes(values, kind.frac)
    return np.asarray((codes != theirs) | ~known, bool)


def to_codes(values: Array, frac: int) -> tuple[Codes, NDArray[np.bool_]]:
    """Return real values as codes on the grid 2**-frac of any width, and which lie on it.

    Values off the grid have the nearest code, infinities and NaN the code 0.
    """
    scaled = np.ldexp(np.asarray(values, np.float64), frac)
    finite = np.isfinite(scaled)
    whole = np.rint(np.where(finite, scaled, 0.0))
    known = finite & (whole == scaled)
    if whole.size and float(np.abs(whole).max()) >= 2.0**INT64_BITS:
        codes = np.empty(whole.shape, object)
        codes.ravel()[:] = [int(value) for value in whole.ravel()]
        return codes, known
    return whole.astype(np.int64), known


def fitting(values: Array, kind: Fixed) -> tuple[Codes, NDArray[np.bool_]]:
    """Return values as codes of a type, and which samples [n] are codes of it throughout."""
    codes, known = to_codes(values, kind.frac)
    inside = known & np.asarray((codes >= kind.lo) & (codes <= kind.hi), bool)
    return codes, inside.reshape(len(codes), -1).all(axis=1)
