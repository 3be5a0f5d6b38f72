"""Rules of the tools: DSP slices of a product, block memories of a table, shared multipliers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qapflow.estimate.kernel import Kernel, ceil_div, is_dsp
from qapflow.estimate.module import SEVEN

DSP_INPUT_BITS = 12  # constants times narrower inputs are built from LUTs
ROM_BITS = 2048  # smaller memories are built from LUTs
INDEX_BITS = 1024  # smaller tables of indices are built from LUTs

# (depth, width) shapes of one BRAM18, AMD UG573
BRAM18_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


@dataclass(frozen=True)
class Cost:
    """Resources of one node; `kind` names the formula, the key of its measured error."""

    kind: str
    lut: float = 0.0
    ff: float = 0.0
    dsp: float = 0.0
    bram18: float = 0.0

    @property
    def amounts(self) -> Mapping[str, float]:
        """Resources by figure name."""
        return {"lut": self.lut, "ff": self.ff, "dsp": self.dsp, "bram18": self.bram18}


def bram18_of(width: int, depth: int) -> int:
    """Return how many BRAM18 hold `depth` words of `width` bits; 0 for a memory made of LUTs."""
    if width * depth <= ROM_BITS:
        return 0
    if 1024 < depth <= 1536 and width > 36:
        return _split_rows(width)
    for rows, bits in BRAM18_SHAPES:
        if depth <= rows:
            return ceil_div(width, bits)
    return ceil_div(depth, 16384) * width


def _split_rows(width: int) -> int:
    """Return BRAM18 for 1,025 to 1,536 words of more than 36 bits.

    36 bits take three (two of 1,024 x 18, one of 512 x 36); the rest goes into memories 9, 4, 2
    and 1 bits wide. Exact on all 63 such csynth reports.
    """
    whole, rest = divmod(width, 36)
    count = 3 * whole
    for bits in (9, 4, 2, 1):
        count += rest // bits
        rest %= bits
    return count


def resource_bram18(kernel: Kernel, reuse_factor: int) -> int:
    """Return the memories of shared multipliers: weights, `reuse_factor` deep, and indices.

    Sign bits of the last lane that no weight needs are left out. Above 2 * n_in a table tells
    each step its output; in LUTs below `INDEX_BITS`.
    """
    lanes = ceil_div(kernel.n_in * kernel.n_out, reuse_factor)
    last = kernel.top_lane_bits or kernel.weight_width
    memory = bram18_of((lanes - 1) * kernel.weight_width + last, reuse_factor)
    turns = reuse_factor // kernel.n_in
    index = (turns - 1).bit_length() * reuse_factor
    return memory + (turns > 1 and index >= INDEX_BITS)


def resource_dsp(kernel: Kernel, reuse_factor: int, family: str) -> int:
    """Return the DSP slices of shared multipliers: one product a lane of the weight memory."""
    lanes = ceil_div(kernel.n_in * kernel.n_out, reuse_factor)
    last = kernel.top_lane_bits or kernel.weight_width
    each = dsp_of_product(kernel.in_width, kernel.weight_width, family)
    return (lanes - 1) * each + dsp_of_product(kernel.in_width, last, family)


def resource_cycles(kernel: Kernel, reuse_factor: int) -> int:
    """Return the latency of shared multipliers: a turn a cycle, and one more for the DSP.

    Products in LUTs and few turns an output need no cycle more.
    """
    in_luts = not is_dsp(kernel.in_width, kernel.weight_width)
    return reuse_factor + (not (in_luts and reuse_factor <= 2 * kernel.n_in))


def dsp_of_product(left: int, right: int, family: str) -> int:
    """Return the DSP slices of a product of variables; 0 where the tools build it from LUTs.

    DSP48E2 multiplies 27 x 18 bits (AMD UG579), DSP48E1 25 x 18 (UG479); wider factors are split.
    """
    if not is_dsp(left, right) or min(left, right) < 2:
        return 0
    small, large = sorted((left, right))
    return ceil_div(small, 18) * ceil_div(large, 25 if family == SEVEN else 27)


def constant_dsp(kernel: Kernel, family: str) -> float:
    """Return the DSP slices of a matrix of constants, each its own multiplier."""
    wide = 25 if family == SEVEN else 27
    small, large = sorted((kernel.in_width, kernel.weight_width))
    return kernel.dsp_constants * ceil_div(small, 18) * ceil_div(large, wide)
