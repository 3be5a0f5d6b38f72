"""What figures of a matrix grow with: the terms that a calibration weighs, and its shape.

The same functions serve the calibration, which computes them for rows of reports, and the
estimate, which computes them for a node of a network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from qapflow.estimate.kernel import ceil_div
from qapflow.estimate.module import UNROLLED, Module
from qapflow.estimate.resources import constant_dsp, resource_dsp

Terms = Mapping[str, float]

# Features of `shape`, in the order of the trees' column numbers.
SHAPE = (
    "log2 n_in",
    "log2 n_out",
    "log2 reuse factor",
    "turns",
    "log2 lanes",
    "products in DSPs",
    "weight bits",
    "n_in is a power of 2",
    "reuse factor is a power of 2",
    "n_out is a power of 2",
    "outputs a lane",
    "turns are a power of 2",
)


def terms(module: Module, figure: str) -> Terms:
    """Return the terms of "lut" or "ff"; a figure is their sum, each weighed by a coefficient."""
    if module.kind in UNROLLED:
        return _constants_lut(module) if figure == "lut" else _constants_ff(module)
    return _shared_lut(module) if figure == "lut" else _shared_ff(module)


def _constants_lut(module: Module) -> Terms:
    """Give adders (a two-operand adder of w bits is w + 7 LUT in csynth), constants, DSPs."""
    kernel = module.kernel
    return {
        f"bits of adders, {_where(module)}": kernel.nonzeros * (kernel.sum_width + 7),
        f"bits of negated inputs, {module.tool}": kernel.negated_powers * kernel.in_width,
        f"bits of constants, {module.family}": kernel.lut_adders * (kernel.in_width + 4),
        f"dsp, {module.kind} {module.tool}": constant_dsp(kernel, module.family),
    }


def _where(module: Module) -> str:
    return f"{module.tool} {module.family}"


def _constants_ff(module: Module) -> Terms:
    """Give registers: of inputs where there is a clock edge, of sums once a cycle."""
    kernel, depth = module.kernel, module.depth_cycles
    edges = min(depth, 1.0)
    return {
        f"bits of inputs, {module.tool}": edges * kernel.n_in * kernel.in_width,
        f"bits of outputs, {_where(module)}": depth * kernel.n_out * kernel.accumulator_width,
        f"bits of sums, {_where(module)}": edges * kernel.nonzeros * kernel.sum_width,
        f"bits of sums a cycle, {module.family}": max(depth - 1, 0.0)
        * kernel.nonzeros
        * kernel.sum_width,
        f"dsp, {module.kind} {module.tool}": edges * constant_dsp(kernel, module.family),
    }


def _shared_lut(module: Module) -> Terms:
    """Give input multiplexers, multiplexers between lanes and outputs, accumulators."""
    kernel, reuse = module.kernel, module.reuse_factor
    lanes = ceil_div(kernel.n_in * kernel.n_out, reuse)
    turns = reuse / kernel.n_in
    bits = kernel.accumulator_width / 16
    if reuse <= kernel.n_in:
        return _narrow_lut(module, lanes)
    spread = turns > 2
    return {
        "one": min(kernel.n_in * kernel.n_out / 1024, 1.0),
        "bits of inputs": kernel.n_in * kernel.in_width,
        "bits of outputs": bits * kernel.n_out,
        "outputs times lanes": bits * kernel.n_out * lanes * spread,
        "lanes": lanes * spread,
    }


def _narrow_lut(module: Module, lanes: int) -> Terms:
    """Give multiplexers: each lane chooses an input, all the same with a reuse factor of n_in."""
    kernel, reuse = module.kernel, module.reuse_factor
    choices = lanes * reuse if reuse < kernel.n_in else kernel.n_in
    products = 0 if resource_dsp(kernel, reuse, module.family) else lanes
    return {
        "bits of registers": kernel.n_in * kernel.in_width,
        "bits of multiplexers": choices * kernel.in_width,
        "bits of lanes": lanes * kernel.accumulator_width,
        "bits of products": products * kernel.in_width * kernel.weight_width,
    }


def _shared_ff(module: Module) -> Terms:
    kernel, reuse = module.kernel, module.reuse_factor
    lanes = ceil_div(kernel.n_in * kernel.n_out, reuse)
    dsp = resource_dsp(kernel, reuse, module.family) > 0
    return {
        "one": 100.0,
        "bits of outputs": kernel.accumulator_width * kernel.n_out,
        "bits of weights": lanes * kernel.weight_width * dsp,
        "outputs of many turns": kernel.n_out * (reuse > 2 * kernel.n_in),
        "bits of inputs": kernel.in_width * kernel.n_in * (reuse <= kernel.n_in),
    }


def shape(module: Module) -> tuple[float, ...]:
    """Return the features of `SHAPE`, for corrections that go by steps."""
    kernel, reuse = module.kernel, module.reuse_factor
    lanes = ceil_div(kernel.n_in * kernel.n_out, reuse)
    turns = reuse / kernel.n_in
    return (
        math.log2(kernel.n_in),
        math.log2(kernel.n_out),
        math.log2(reuse),
        turns,
        math.log2(lanes),
        float(resource_dsp(kernel, reuse, module.family) > 0),
        float(kernel.weight_width),
        _is_power(kernel.n_in),
        _is_power(reuse),
        _is_power(kernel.n_out),
        kernel.n_out / turns,
        _is_power(turns),
    )


def _is_power(value: float) -> float:
    return float(value >= 1 and math.log2(value).is_integer())
