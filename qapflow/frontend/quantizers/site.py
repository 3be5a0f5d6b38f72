"""Where an activation goes, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Op

if TYPE_CHECKING:
    from qapflow.ir.builder import NetBuilder


@dataclass(frozen=True)
class Activated:
    """Edge that carries the activation's output.

    `exact` tells whether the operations give what Keras's float32 gives, for every code that can
    arrive; if not, `reason` says why. `note` is worth telling even if it is exact.
    """

    edge: str
    exact: bool
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class Site:
    """The builder, the edge an activation reads, and the name and origin its nodes get."""

    builder: NetBuilder
    edge: str
    name: str
    origin: str

    @property
    def type(self) -> Fixed:
        """Type of the edge it reads."""
        return self.builder.edges[self.edge].type

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the edge it reads, without the batch."""
        return self.builder.edges[self.edge].shape

    def hull(self) -> tuple[int, int]:
        """Smallest and largest code that can arrive."""
        interval = self.builder.intervals[self.edge]
        return int(np.min(interval.lo)), int(np.max(interval.hi))

    def peak(self) -> Fraction:
        """Largest magnitude that can arrive."""
        lo, hi = self.hull()
        return max(abs(lo), abs(hi)) * self.type.lsb

    def add(self, op: Op, *others: Site, suffix: str = "") -> Site:
        """Add an operation (with more inputs, if any) and return the site behind it."""
        name = f"{self.name}_{suffix}" if suffix else self.name
        inputs = (self.edge, *(site.edge for site in others))
        return replace(self, edge=self.builder.add(name, op, *inputs, origin=self.origin))

    def done(self, exact: bool = True, reason: str = "") -> Activated:
        """Return the result at this site."""
        return Activated(self.edge, exact, reason)
