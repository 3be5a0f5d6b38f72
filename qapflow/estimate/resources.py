"""What one node costs: LUT, FF, DSP, BRAM18 as csynth counts them.

The formulas of the matrices are fitted to public csynth reports of hls4ml projects and measured
again by `bench/estimate_check.py`; those of the other nodes count the bits that must be added,
compared or stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qapflow.estimate.kernel import Kernel, ceil_div

DSP_INPUT_BITS = 12  # constants times narrower inputs are built from LUTs
DSP_UNSURE_BITS = 8  # from here on tools have been seen to use DSPs all the same
DSP_PRODUCT_BITS = 10  # variable products with no wider factor are built from LUTs, mostly
DSP_WEIGHT_BITS = 5  # variable weights up to 4 bits are multiplied in LUTs
ROM_BITS = 2048  # smaller memories are built from LUTs

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
    dsp_high: float = 0.0  # where the tool may choose DSPs over LUTs

    @property
    def amounts(self) -> Mapping[str, float]:
        """Resources by figure name."""
        return {"lut": self.lut, "ff": self.ff, "dsp": self.dsp, "bram18": self.bram18}


def bram18_of(width: int, depth: int) -> int:
    """Return how many BRAM18 hold `depth` words of `width` bits; 0 for a memory made of LUTs."""
    if width * depth <= ROM_BITS:
        return 0
    for rows, bits in BRAM18_SHAPES:
        if depth <= rows:
            return ceil_div(width, bits)
    return ceil_div(depth, 16384) * width


def latency_cost(kernel: Kernel, latency_cycles: float, fast: bool) -> Cost:
    """Return the cost of a matrix of constants, every weight its own multiplier.

    LUT: 1.07 an accumulator bit of each non-zero weight, 1.68 (input width + 4) an adder of the
    constants, 5.8 a DSP. DSP: distinct constants of 3 or more signed digits, input by input, for
    inputs of 12 bits and more (some reports use DSPs from 8 bits on: `dsp_high`). FF: the sums are
    registered once a cycle.
    """
    wide = kernel.in_width >= DSP_INPUT_BITS
    dsp = kernel.dsp_constants if wide else 0
    adders = kernel.one_adder_constants if wide else kernel.adders
    lut = 1.07 * kernel.nonzeros * kernel.accumulator_width
    lut += 1.68 * adders * (kernel.in_width + 4) + 5.8 * dsp
    share = min(0.09 * latency_cycles, 1.0) if fast else 0.95 * (latency_cycles > 0)
    high = kernel.dsp_constants if kernel.in_width >= DSP_UNSURE_BITS else 0
    return Cost(f"latency {'UltraScale' if fast else '7-series'}", lut, share * lut, dsp, 0, high)


def resource_cost(kernel: Kernel, reuse_factor: int) -> Cost:
    """Return the cost of a matrix whose weights lie in memory and share multipliers.

    `blocks` = n_in * n_out / reuse factor multipliers. LUT: input registers and multiplexers, and,
    where a multiplier serves more than 2 outputs, the network between blocks and outputs.
    FF: inputs, accumulators and weight words. BRAM18: n_in * n_out weights, `reuse_factor` deep.
    """
    blocks = ceil_div(kernel.n_in * kernel.n_out, reuse_factor)
    few = reuse_factor <= kernel.n_in
    spread_out = reuse_factor > 2 * kernel.n_in
    dsp = blocks * dsp_per_product(kernel.in_width, kernel.weight_width)
    memory = bram18_of(kernel.weight_width * blocks, reuse_factor) + spread_out
    lut = _shared_lut(kernel, reuse_factor, blocks)
    if not dsp and few:
        lut += blocks * kernel.weight_width * kernel.in_width
    ff = kernel.accumulator_width * kernel.n_out * 0.98 + 120
    ff += 1.11 * blocks * kernel.weight_width * (dsp > 0) + 0.92 * kernel.n_out * spread_out
    ff += 2 * kernel.in_width * kernel.n_in * few
    high = blocks if min(kernel.in_width, kernel.weight_width) >= DSP_WEIGHT_BITS else 0
    kind = f"resource rf {'le' if few else 'gt'} n_in"
    if not dsp and (high or few):
        kind += ", narrow factors"  # no report has these
    return Cost(kind, lut, ff, dsp, memory, high)


def dsp_per_product(left: int, right: int) -> int:
    """Return DSP slices of one variable product (27 x 18 bit multipliers, AMD UG579)."""
    small, large = sorted((left, right))
    if small < DSP_WEIGHT_BITS or large < DSP_PRODUCT_BITS:
        return 0
    return ceil_div(small, 18) * ceil_div(large, 27)


def _shared_lut(kernel: Kernel, reuse_factor: int, blocks: int) -> float:
    """Return LUT around shared multipliers; the numbers are fitted to csynth reports."""
    n_in, n_out, bits = kernel.n_in, kernel.n_out, kernel.accumulator_width / 16
    mux = 0.5 * kernel.in_width
    if reuse_factor < n_in:
        return 35 * n_in + blocks * (mux * reuse_factor + 2 * kernel.accumulator_width)
    if reuse_factor == n_in:
        return (35 + mux) * n_in + 38 * bits * blocks
    base = min(n_in * n_out / 1024, 1)
    if reuse_factor <= 2 * n_in:
        return 4636 * base + 32.4 * n_in + 45.1 * n_out * bits
    network = bits * n_out * (30.5 + 5.7 * blocks) + 110 * blocks
    return 3831 * base + 30 * n_in + network


def distributed_cost(kernel: Kernel, latency_cycles: float) -> Cost:
    """Return the cost of distributed arithmetic: shared adder graphs, no DSP.

    Common subexpressions save about a third of the CSD adders (da4ml, arXiv:2507.04535).
    """
    adders = max(kernel.digits - kernel.n_out, 0)
    lut = 0.65 * adders * kernel.accumulator_width
    return Cost("distributed arithmetic", lut, 0.1 * lut * max(latency_cycles, 1))
