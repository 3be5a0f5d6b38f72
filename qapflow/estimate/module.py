"""One piece of hardware as the formulas see it: what is built, by which tool, on which part."""

from __future__ import annotations

from dataclasses import dataclass

from qapflow.estimate.kernel import Kernel
from qapflow.plan import Choice

UNROLLED = ("latency", "resource unrolled")  # every weight has its own multiplier
ULTRASCALE, SEVEN = "UltraScale+", "7-series"

# Families that no report covers, and those that stand in for a wider interval.
_FAMILIES = {"virtex-ultrascale": "UltraScale", "kintex-ultrascale": "UltraScale"}
STANDS_IN = {"UltraScale": ULTRASCALE}


@dataclass(frozen=True)
class Module:
    """A matrix of weights with everything that decides its cost.

    `kind` is the formula ("latency", "resource unrolled": reuse factor 1, "resource narrow",
    "resource wide": reuse factor above n_in, "distributed_arithmetic"), `depth_cycles` the latency
    of its adder tree if built in parallel.
    """

    kind: str
    tool: str  # "vivado" (HLS, to 2020.1) or "vitis"
    family: str
    clock_ns: float
    kernel: Kernel
    reuse_factor: int
    depth_cycles: float


def family_group(family: str) -> str:
    """Return the kind of part the calibration knows; "" where no report covers one like it."""
    if family in _FAMILIES:
        return _FAMILIES[family]
    if "ultrascale+" in family:
        return ULTRASCALE
    return SEVEN if family.endswith(("-7", "-7000")) else ""


def matrix_kind(choice: Choice, n_in: int) -> str:
    """Return the formula of a matrix under a choice."""
    if choice.strategy != "resource":
        return choice.strategy
    if choice.reuse_factor == 1:
        return "resource unrolled"
    return "resource wide" if choice.reuse_factor > n_in else "resource narrow"
