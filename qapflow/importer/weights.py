"""Weights of a project: literals of C++ as the compiler casts them."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np

from qapflow.errors import UsageError
from qapflow.importer.sources import CType, read_text
from qapflow.ir.fixed import Codes, cast

_HINT = "let hls4ml write the project again"


def read_weights(path: Path) -> list[Fraction]:
    """Return the numbers of a weight header (what is synthesised), exactly as written.

    Headers of weights in external memories hold none; those are in the text file beside. Some
    projects have all weights in one header of firmware/.

    Raises:
        UsageError: no file has an array of numbers of this name.
    """
    loose, pattern = path.with_suffix(".txt"), rf"\b{path.stem}\s*\[[^\]]*\]\s*=\s*\{{(.*?)\}}\s*;"
    if path.is_file() or loose.is_file():
        found = re.search(pattern, read_text(path) if path.is_file() else "", re.S)
    else:
        headers = sorted(path.parents[1].glob("*.h"))
        each = (re.search(pattern, read_text(header), re.S) for header in headers)
        found = next((match for match in each if match), None)
    if not found and loose.is_file():
        cells = read_text(loose)
    elif found:
        cells = found[1]
    else:
        raise UsageError("the header holds no array of weights", str(path), _HINT)
    try:
        return [Fraction(cell.strip()) for cell in cells.split(",") if cell.strip()]
    except ValueError as error:
        raise UsageError(f"a weight is not a number: {error}", str(path), _HINT) from error


def cast_values(values: list[Fraction], kind: CType) -> Codes:
    """Return the codes that the C++ compiler makes of literals of type double."""
    exact = [Fraction(float(value)) for value in values]
    deep = max((value.denominator.bit_length() - 1 for value in exact), default=0)
    raw = np.array([int(value * 2**deep) for value in exact], object)
    return cast(raw, deep, kind.fixed, kind.rounding, kind.overflow)
