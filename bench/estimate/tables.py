"""Read the tables of reports (CSV) into samples: a module as the formulas see it, and the truth."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import h5py
import numpy as np

from qapflow.estimate.elements import Elements
from qapflow.estimate.kernel import DSP_SUM_BITS, HARD_ADDERS, Kernel, describe, sum_width
from qapflow.estimate.latency import tree_cycles
from qapflow.estimate.module import SEVEN, ULTRASCALE, Module, matrix_kind
from qapflow.ir.fixed import Codes, Fixed
from qapflow.ir.ops import Const, Dense
from qapflow.plan import Choice

WIDE = Fixed(True, 16, 10)  # hls4ml's default, of every type the single layers do not set
SINGLE_SOURCE = "Dendendelen/wa-hls4ml-search@8e70542"
FIGURES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM", "latency_cycles": "lat_best"}
WIDEST = 32  # bits of an input; one design has 53, each product in two DSPs
UNCERTAINTY = {"vivado": 12.5, "vitis": 27.0}  # percent of the clock, the tools' own defaults


@dataclass(frozen=True)
class Sample:
    """A row of a table: `group` is what cross-validation leaves out at once."""

    module: Module | Elements
    truth: dict[str, float]
    group: str
    source: str
    name: str
    model_file: str = ""


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, [] where there is none."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def number(row: dict[str, str], key: str, default: float = 0.0) -> float:
    """Return a cell as a number."""
    try:
        value = float(row[key])
    except (KeyError, ValueError):
        return default
    return default if math.isnan(value) else value


@cache
def read_codes(path: Path, bits: int) -> Codes:
    """Return the codes of `quantized_bits(bits, 0, alpha=1)` of a model file's kernel."""
    found = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and "kernel" in name:
            found.append(item[()])

    with h5py.File(path) as file:
        file.visititems(visit)
    limit = 1 << (bits - 1)
    return np.clip(np.rint(found[0].astype(np.float64) * limit), -limit, limit - 1).astype(np.int64)


def single_layers(folder: Path, names: tuple[str, ...] = ("",)) -> Iterator[Sample]:
    """Give the synthesised single layers whose name starts so, from their model files."""
    for row in read_rows(folder / "dense_single_layer.csv"):
        reuse = int(row["rf"])
        if row["hls_synth_success"] != "True" or (row["strategy"] == "latency" and reuse > 1):
            continue  # the latency strategy is planned with reuse factor 1
        if not row["model_name"].startswith(names):
            continue
        bits, shape = int(row["prec"]), (int(row["d_in"]), int(row["d_out"]))
        path = folder / "models" / Path(row["model_file"]).name
        if not path.is_file():
            continue
        weight = Const(read_codes(path, bits), Fixed(True, bits, bits - 1))
        kernel = describe(Dense(weight), WIDE, WIDE, reuse)
        kind = matrix_kind(Choice(_strategy(row["strategy"]), reuse), shape[0])
        depth = tree_cycles(kernel, 5.0 * (1 - 0.125), ULTRASCALE)
        module = Module(kind, "vivado", ULTRASCALE, 5.0, kernel, reuse, depth)
        truth = {
            "lut": number(row, "LUT_hls"),
            "ff": number(row, "FF_hls"),
            "dsp": number(row, "DSP_hls"),
            "bram18": number(row, "BRAM_18K_hls"),
            "latency_cycles": number(row, "BestLatency_hls"),
            "ii_cycles": number(row, "IntervalMin_hls"),
        }
        group = f"{shape[0]}x{shape[1]}"
        yield Sample(module, truth, group, SINGLE_SOURCE, row["model_name"], row["model_file"])


def _strategy(text: str) -> str:
    return "resource" if text.lower().endswith("resource") else "latency"


def modules(folder: Path) -> Iterator[Sample]:
    """Give dense kernels inside larger designs, from the statistics of their weights.

    Left out: repeated rows, reuse factors that the latency strategy cannot follow, projects that
    force products into LUTs by an option, and modules whose outputs are partly unread, of which
    the tool removed a part that the table does not tell.
    """
    seen = set()
    for row in read_rows(folder / "modules.csv"):
        kinds = ("dense_latency", "dense_latency_wrapper", "dense_resource")
        if row["kind"] not in kinds or not number(row, "n_w") or "/LUT_reuse" in row["design_id"]:
            continue
        key = tuple(row[k] for k in ("repo", "n_in", "n_out", "LUT", "FF", "DSP", "part"))
        strategy = "resource" if row["kind"] == "dense_resource" else "latency"
        reuse = int(number(row, "reuse_factor", 1))
        if key in seen or (strategy == "latency" and (reuse > 1 or row["in_t_w"] == "")):
            continue
        seen.add(key)
        sample = _module(row, strategy, reuse)
        if sample and not _partly_unread(sample):
            yield sample


def tool_of(version: str) -> str:
    """Return the tool of a version: Vitis HLS follows Vivado HLS 2020.1."""
    return "vitis" if number({"v": version[:6]}, "v") >= 2020.15 else "vivado"


def family_of(part: str) -> str:
    """Return the group of families of a part string."""
    return SEVEN if part.startswith("xc7") else ULTRASCALE


def _module(row: dict[str, str], strategy: str, reuse: int) -> Sample | None:
    tool, family = tool_of(row["tool"]), family_of(row["part"])
    kernel = kernel_of(row)
    if kernel.n_in < 1 or kernel.n_out < 1 or kernel.in_width > WIDEST:
        return None
    clock = number(row, "clk_target", 5.0)
    depth = tree_cycles(kernel, clock * (1 - UNCERTAINTY[tool] / 100), family)
    if "/DSP_reuse" in row["design_id"]:  # an option forces products into DSPs
        kernel = replace(kernel, dsp_constants=number(row, "DSP"))
    kind = matrix_kind(Choice(strategy, reuse), kernel.n_in)
    module = Module(kind, tool, family, clock, kernel, reuse, depth)
    truth = {name: number(row, column) for name, column in FIGURES.items()}
    truth["ii_cycles"] = number(row, "ii_min")
    return Sample(module, truth, row["repo"], row["repo"], row["module"])


def _partly_unread(sample: Sample) -> bool:
    """Tell modules with fewer LUTs than the adders of their weights take."""
    kernel = sample.module.kernel
    least = 0.62 if sample.module.tool == "vivado" else 0.8
    adders = least * kernel.nonzeros * kernel.accumulator_width
    return sample.module.kind == "latency" and sample.truth["lut"] < adders


def kernel_of(row: dict[str, str]) -> Kernel:
    """Return the statistics of a row; what the table has not is taken from its histograms."""
    weight_width = int(number(row, "weight_t_w", 16))
    in_width = int(number(row, "in_t_w", 16))
    accumulator = int(number(row, "accum_t_w", 16))
    nonzeros = int(number(row, "n_w") - number(row, "n_zero"))
    hard = number(row, "u_dsp")
    dsp = hard * _wide_share(weight_width, DSP_SUM_BITS - in_width)
    bits = number(row, "bits_sum") / max(nonzeros, 1)
    n_in = int(number(row, "n_in"))
    lost = max(_frac(row["in_t"]) + _frac(row["weight_t"]) - _frac(row["accum_t"]), 0)
    return Kernel(
        n_in=n_in,
        n_out=int(number(row, "n_out")),
        weight_width=weight_width,
        in_width=in_width,
        accumulator_width=accumulator,
        nonzeros=nonzeros,
        dsp_constants=dsp,
        lut_adders=number(row, "u_lut_adds") + HARD_ADDERS * (hard - dsp),
        negated_powers=_negated(number(row, "n_pow2"), n_in, weight_width),
        digits=int(number(row, "csd_sum")),
        max_terms=int(number(row, "max_terms")),
        sum_width=sum_width(in_width, bits, lost, accumulator),
        top_lane_bits=int(number(row, "max_abs_bits")) + 1 if row.get("max_abs_bits") else 0,
    )


def _wide_share(weight_width: int, least: int) -> float:
    """Return the share of constants of 3 digits and more that have at least `least` bits.

    The tables count digits and bits, not both at once; trained weights of many digits are wide.
    """
    spare = weight_width - least
    return 1.0 if spare >= 2 else {1: 0.5, 0: 0.1}.get(spare, 0.0)


def _negated(powers: float, n_in: int, weight_width: int) -> float:
    """Return the expected distinct negative powers of two: half the powers, drawn at random."""
    places = max(weight_width - 2, 1)
    return n_in * places * (1 - math.exp(-powers / 2 / max(n_in, 1) / places))


def _frac(text: str) -> int:
    found = re.search(r"fixed<(\d+),(-?\d+)", text)
    return int(found[1]) - int(found[2]) if found else 0
