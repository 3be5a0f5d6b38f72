"""How a network is built, never what it computes: strategy, reuse factor, io type, clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Strategy = Literal["latency", "resource", "distributed_arithmetic"]
IoType = Literal["io_parallel", "io_stream"]
Backend = Literal["vitis", "vivado"]


@dataclass(frozen=True)
class Choice:
    """How one node is built; `reason` says why it was proposed ("" when the user set it).

    `written_out` (strategy latency, dense layers on one row): each product with a weight that is
    not zero is a line of code instead of a turn of an unrolled loop.
    """

    strategy: Strategy
    reuse_factor: int
    reason: str = ""
    written_out: bool = False


@dataclass(frozen=True)
class Plan:
    """Choices by node name (nodes with weights only) and the global settings."""

    backend: Backend
    io_type: IoType
    clock_ns: float
    clock_uncertainty_percent: float
    choices: Mapping[str, Choice]
    notes: tuple[str, ...] = ()


def inside(plan: Plan, loop: str) -> Plan:
    """Return the plan of a loop's body: one step at a time, on arrays."""
    head = f"{loop}/"
    choices = {k.removeprefix(head): v for k, v in plan.choices.items() if k.startswith(head)}
    return replace(plan, io_type="io_parallel", choices=choices)
