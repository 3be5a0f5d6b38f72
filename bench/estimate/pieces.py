"""What the fit asks of a row, whichever hardware it is of."""

from __future__ import annotations

from collections.abc import Mapping

from qapflow.estimate.elements import (
    CAST,
    PADDING,
    RELU,
    TABLE,
    Elements,
    element_cycles,
    element_terms,
    facts_of_elements,
    table_memories,
)
from qapflow.estimate.latency import matrix_kernel_cycles
from qapflow.estimate.matrix import CONVOLUTION, facts_of, rule
from qapflow.estimate.module import Module
from qapflow.estimate.terms import terms

Piece = Module | Elements


def terms_of(piece: Piece, figure: str) -> Mapping[str, float]:
    """Return the terms of "lut" or "ff"."""
    return element_terms(piece, figure) if isinstance(piece, Elements) else terms(piece, figure)


def region_of(piece: Piece) -> dict[str, float]:
    """Return the facts that a calibration's region is told by."""
    return facts_of_elements(piece) if isinstance(piece, Elements) else facts_of(piece)


def by_rule(piece: Piece, figure: str) -> float:
    """Return a figure that follows a rule: DSP, BRAM18, latency, interval."""
    place = figure == "ii_cycles"
    if isinstance(piece, Elements):
        if figure == "bram18":
            return float(table_memories(piece))
        return float(element_cycles(piece)[place]) if figure.endswith("cycles") else 0.0
    if figure in ("dsp", "bram18"):
        return float(rule(piece, figure))
    cycles = matrix_kernel_cycles(piece)
    return float(max(cycles.interval, 1) if place else cycles.latency)


def is_element(kind: str) -> bool:
    """Tell kinds of `Elements`."""
    return kind.startswith((RELU, CAST, PADDING, TABLE))


def figures_of(kind: str) -> tuple[str, ...]:
    """Return the figures of a kind that have models; the others are exact, or not hls4ml's."""
    cycles = ("latency_cycles", "ii_cycles")
    if kind.startswith(CONVOLUTION):
        return ("dsp", "bram18")
    if kind == TABLE:
        return ("bram18", *cycles)
    return ("lut", "ff", *cycles) if is_element(kind) else ("lut", "ff", "dsp", "bram18", *cycles)
