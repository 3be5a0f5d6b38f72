"""Constant arrays, each in a header of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qapflow.ir.fixed import Codes, Fixed
from qapflow.lower.program import Rom
from qapflow.lower.templates import c_type, render


@dataclass(frozen=True, eq=False)
class Table:
    """A constant array in its own header."""

    name: str
    c_type: str
    codes: Codes
    kind: Fixed
    qualifier: str


def rom_table(rom: Rom, name: str) -> Table:
    """Return the array of a kernel's constants."""
    return Table(name, c_type(rom.type), rom.codes.reshape(-1), rom.type, "const ")


def table_header(table: Table) -> str:
    """Return the header that defines an array, with its values in decimal beside."""
    codes = [int(c) for c in table.codes]
    return render(
        "weights.h.j2",
        table={
            "name": table.name,
            "type": str(table.kind),
            "c_type": table.c_type,
            "count": len(codes),
            "zeros": codes.count(0),
            "width": table.kind.width,
            "qualifier": table.qualifier,
            "code_type": _code_type(codes),
            "codes": codes,
            "decimals": [_decimal(c, table.kind.frac) for c in codes],
        },
    )


def _code_type(codes: Iterable[int]) -> str:
    bits = max(Fixed.holding(min(c, 0), max(c, 0), 0).width + (c >= 0) for c in codes)
    names = ((8, "signed char"), (16, "short"), (32, "int"), (64, "long long"))
    return next(name for size, name in names if bits <= size)


def _decimal(code: int, frac: int) -> str:
    """Print code * 2**-frac exactly in decimal."""
    if frac <= 0:
        return str(code << -frac)
    digits = str(abs(code) * 5**frac).rjust(frac + 1, "0")
    text = f"{digits[:-frac]}.{digits[-frac:]}".rstrip("0")
    return ("-" if code < 0 else "") + text + ("0" if text.endswith(".") else "")
