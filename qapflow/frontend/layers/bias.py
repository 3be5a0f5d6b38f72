"""Biases: quantized as the layer says, and never finer than what follows can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.chosen import round_const, round_to
from qapflow.frontend.layers.decide import between_steps, decisions
from qapflow.frontend.layers.work import Work
from qapflow.frontend.quantizers import QuantizedWeights, quantize_weights
from qapflow.ir.ops import Const

FINEST = 32  # finest grid on which an exact bias is kept where a coarser one computes the same


def layer_bias(work: Work, weight: Const, edge: str) -> Const | None:
    """Return the bias of products of `edge` with `weight`, None without one."""
    if not work.config.get("use_bias", True):
        return None
    return fold_bias(work, work.array("bias"), weight, edge)


def fold_bias(work: Work, values: NDArray[np.floating[Any]], weight: Const, edge: str) -> Const:
    """Quantize a bias.

    One on a finer grid than the sum moves to half a step of that grid if quantizers read the sum:
    the side of every step stays the same. Else floats are rounded by the rule for weights.
    """
    made = quantize_weights(work.quantizer("bias_quantizer"), values, "bias")
    grid = work.builder.edges[edge].type.frac + weight.type.frac
    if made.exact and made.const.type.frac <= max(FINEST, grid):
        return made.const
    steps = decisions(work.deciders())
    if steps is None:
        return _rounded(work, made, grid)
    values = np.ldexp(made.const.codes.astype(np.float64), -made.const.type.frac)
    const, close = between_steps(values, grid, steps)
    if close:
        work.notes.append(
            f"{work.spec.name}: {close} of its biases can bring a sum so close to a step of the "
            "next quantizer that Keras's float32 rounds across it"
        )
    if not made.exact and made.quantizer is not None:
        work.reasons.append(f"bias: {made.reason}")
    work.inner = work.inner or work.own_quantizer() is None
    return const


def _rounded(work: Work, made: QuantizedWeights, grid: int) -> Const:
    if made.exact:
        return made.const
    work.reasons.append(f"bias: {made.reason}")
    const = round_const(made.const, FINEST if work.quantizes_next else work.options.float_bits)
    if const.type.frac >= grid:
        return const
    return round_to(made.const, min(grid, made.const.type.frac))
