"""Rows of layers other than dense ones as the formulas see them."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.estimate.tables import (
    FIGURES,
    UNCERTAINTY,
    Sample,
    family_of,
    kernel_of,
    number,
    read_rows,
    tool_of,
)
from qapflow.estimate.elements import (
    EXPRESSIONS,
    PADDING,
    TABLE,
    Elements,
    element_terms,
    kind_of,
)
from qapflow.estimate.matrix import CONVOLUTION
from qapflow.estimate.module import Module
from qapflow.estimate.resources import bram18_of

Cells = dict[str, str]
_TYPE = re.compile(r"ap_(u?)(?:fixed|int)<(\d+)(?:,(-?\d+))?([^>]*)>(?:, *(\d+)\*(\d+))?")


def plain_layers(folder: Path) -> Iterator[Sample]:
    """Give ReLU, tables, padding and convolutions whose types and sizes are told, each once."""
    designs: dict[str, list[Cells]] = defaultdict(list)
    for row in read_rows(folder / "modules.csv"):
        designs[row["design_id"]].append(row)
    seen = set()
    for rows in designs.values():
        for row in rows:
            made = _READERS.get(row["kind"])
            if made is None or not (sample := made(row, rows)):
                continue
            names = ("repo", "module", "n_in", "in_t", "out_t", "LUT", "FF", "part", "lat_best")
            key = tuple(row[k] for k in names)
            if key not in seen:
                seen.add(key)
                yield sample


def _relu(row: Cells, design: list[Cells]) -> Sample | None:
    source, out = _TYPE.search(row["in_t"]), _TYPE.search(row["out_t"])
    if not source or not out:
        return None
    streams = row["io_type"].endswith("io_stream")
    positions = _positions(row, int(source[5] or 1), design) if streams else 1
    copies = float(source[5] or 1) if streams else _live(row, design)
    if not positions or not copies:
        return None
    tool, family = tool_of(row["tool"]), family_of(row["part"])
    clock = number(row, "clk_target", 5.0)
    casts = "RND" in out[4] and "SAT" in out[4]
    module = Elements(
        kind_of(casts, streams),
        tool,
        family,
        clock,
        clock * (1 - UNCERTAINTY[tool] / 100),
        copies,
        int(source[2]),
        int(out[2]),
        signed=not out[1],
        chooses=True,
        rounds=casts,
        saturates=casts,
        positions=positions,
    )
    return _sample(module, row)


def _sample(module: Module | Elements, row: Cells) -> Sample:
    truth = {name: number(row, column) for name, column in FIGURES.items()}
    truth["ii_cycles"] = number(row, "ii_min")
    return Sample(module, truth, row["repo"], row["repo"], row["module"])


def _place(row: Cells) -> tuple[str, str, float, float]:
    """Return tool, family, clock and the part of it that the tool may fill."""
    tool, clock = tool_of(row["tool"]), number(row, "clk_target", 5.0)
    return tool, family_of(row["part"]), clock, clock * (1 - UNCERTAINTY[tool] / 100)


def _padding(row: Cells, _: list[Cells]) -> Sample | None:
    """Streams of whole vectors; forks that send one element at a time have other loops."""
    source = _TYPE.search(row["in_t"])
    positions = int(max(number(row, "out_height"), 1) * number(row, "out_width"))
    if not source or not source[5] or not positions or "_me_" in row["module"]:
        return None
    bits = (int(source[2]), int(source[2]))
    flags = (not source[1], False, False, False)
    place = (PADDING, *_place(row), float(source[5]))
    return _sample(Elements(*place, *bits, *flags, positions=positions), row)


def _table(row: Cells, _: list[Cells]) -> Sample | None:
    """Sigmoid and tanh on arrays."""
    source, values = _TYPE.search(row["in_t"]), _TYPE.search(row["table_t"])
    if not values or not row["io_type"].endswith("io_parallel"):
        return None
    width, entries = int(values[2]), int(number(row, "table_size"))
    place = (TABLE, *_place(row), number(row, "n_in"))
    widths = (int(source[2]) if source else 16, width)
    memory = bram18_of(width, entries)
    module = Elements(*place, *widths, True, False, False, False, memory=memory)
    return _sample(module, row) if module.copies and memory else None


def _convolution(row: Cells, _: list[Cells]) -> Sample | None:
    """Shared multipliers in io_stream; one matrix a position, as in a dense layer."""
    source = _TYPE.search(row["in_t"])
    shared = row["strategy"].lower().endswith("resource") and number(row, "reuse_factor") > 1
    if not source or not source[5] or not number(row, "n_w") or not shared:
        return None
    if "_me_" in row["module"]:  # forks
        return None
    size = number(row, "filt_width", 1) * max(number(row, "filt_height", 1), 1)
    n_in = int(size * number(row, "n_chan"))
    n_out = int(number(row, "n_filt"))
    kernel = kernel_of(row | {"n_in": str(n_in), "n_out": str(n_out), "in_t_w": source[2]})
    tool, family, clock, _usable = _place(row)
    reuse = int(number(row, "reuse_factor"))
    return _sample(Module(CONVOLUTION, tool, family, clock, kernel, reuse, 0.0), row)


def _config(row: Cells) -> int:
    found = re.search(r"config(\d+)", row["config"] or row["module"])
    return int(found[1]) if found else -1


def _live(row: Cells, design: list[Cells]) -> float:
    """Return how many elements the dense layer behind reads and the one before makes."""
    size, place = number(row, "n_in"), _config(row)
    dense = [d for d in design if d["kind"].startswith("dense") and number(d, "n_w")]
    after = [d for d in dense if _config(d) > place and number(d, "n_in") == size]
    before = [d for d in dense if _config(d) < place and number(d, "n_out") == size]
    if dense and not after and number(max(dense, key=_config), "n_out") != size:
        return 0.0  # who reads them is not in the table
    read = number(min(after, key=_config), "n_in_nonempty") if after else size
    made = number(max(before, key=_config), "n_out_nonempty") if before else size
    return min(read, made)


def _positions(row: Cells, channels: int, design: list[Cells]) -> int:
    """Return the vectors of a stream: its size, or that of the convolution it is named after."""
    if size := number(row, "n_in"):
        return math.ceil(size / channels)
    named = re.search(r"(?:OUT_HEIGHT|N_OUTPUTS|OUT_WIDTH)_(\d+)", row["n_in"])
    for other in design:
        if named and other["kind"].startswith("conv") and _config(other) == int(named[1]):
            return int(max(number(other, "out_height"), 1) * number(other, "out_width"))
    return 0


def element_coefficients(samples: Sequence[Sample], figure: str) -> dict[str, float]:
    """Return coefficients: 1 of what is counted, of the rest the median of the groups' medians.

    Few rows, some with far fewer elements than the table tells: a median is not led by those.
    """
    shares: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        terms = dict(element_terms(sample.module, figure))
        rest = sample.truth[figure] - terms.pop(EXPRESSIONS, 0.0)
        for name, term in terms.items():
            shares[name]
            if term:
                shares[name][sample.group].append(max(rest, 0.0) / term)
    found = {
        name: float(np.median([np.median(rows) for rows in groups.values()])) if groups else 1.0
        for name, groups in sorted(shares.items())
    }
    counted = {EXPRESSIONS: 1.0} if figure == "lut" else {}
    return counted | {name: float(f"{value:.6g}") for name, value in found.items() if value}


_READERS: dict[str, Callable[[Cells, list[Cells]], Sample | None]] = {
    "relu": _relu,
    "sigmoid": _table,
    "tanh": _table,
    "zeropad1d": _padding,
    "zeropad2d": _padding,
    "conv": _convolution,
}
