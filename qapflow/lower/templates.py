"""Rendering of the Jinja2 templates: strict, deterministic, C types as filters."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, Template

from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.templates import environment


@cache
def _hls() -> Environment:
    found = environment("hls")
    found.filters |= {"fixed": c_type, "whole": whole_type, "wide": wide_literal}
    return found


def render(name: str, **values: Any) -> str:
    """Render one template file."""
    return _hls().get_template(name).render(**values)


@cache
def kernel_macros() -> Any:
    """Return the macros of `kernels.j2`."""
    template: Template = _hls().get_template("kernels.j2")
    return template.module


def c_type(
    kind: Fixed, rounding: Rounding = Rounding.TRN, overflow: Overflow = Overflow.WRAP
) -> str:
    """Print the C type of a grid, with modes unless they are the default."""
    modes = f",AP_{rounding.value},AP_{overflow.value}"
    if (rounding, overflow) == (Rounding.TRN, Overflow.WRAP):
        modes = ""
    return f"ap_{'' if kind.signed else 'u'}fixed<{kind.width},{kind.integer}{modes}>"


def whole_type(kind: Fixed, overflow: Overflow) -> str:
    """Print the type that brings whole codes into the range of `kind`."""
    return c_type(Fixed(kind.signed, kind.width, 0), overflow=overflow)


def wide_literal(value: int) -> str:
    """Print constructor arguments of a non-negative integer of any size."""
    if value < 1 << 31:
        return str(value)
    return f"{value}ULL" if value < 1 << 63 else f'"{value:x}", 16'
