"""Where a quantizer decides, so that what comes before it needs no more bits than that.

A quantizer is a step function. If all its steps lie on the grid 2**-frac, a value between two grid
points may move anywhere between them and the result stays the same. A float bias or a division
therefore costs no wide hardware where a quantizer follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.quantizers import Quantizer
from qapflow.ir.ops import Const

FLOAT32_BITS = 24
SIGNS = ("binary", "stochastic_binary")


@dataclass(frozen=True)
class Decisions:
    """Every step lies on the grid 2**-frac, between -reach and reach."""

    frac: int
    reach: float

    @property
    def noise(self) -> float:
        """Twice as far as rounding to float32 can move a value next to the outermost step."""
        return self.reach * 2.0**-FLOAT32_BITS


def decisions(quantizers: Sequence[Quantizer]) -> Decisions | None:
    """Return the steps of all these quantizers together, None if one has steps off any grid."""
    found = [_steps(quantizer) for quantizer in quantizers]
    known = [steps for steps in found if steps is not None]
    if not known or len(known) < len(found):
        return None
    return Decisions(max(s.frac for s in known), max(s.reach for s in known))


def _steps(quantizer: Quantizer) -> Decisions | None:
    kind, params = quantizer.kind, quantizer.params
    alpha = params.get("alpha")
    if isinstance(alpha, str) or params.get("threshold") is not None:
        return None
    if kind in SIGNS:
        return Decisions(0, 0.0)
    if kind == "quantized_bits" or (kind == "quantized_linear" and alpha in (None, 1, 1.0)):
        bits = int(params["bits"]) - int(params["keep_negative"])
        if bits:
            return Decisions(bits - int(params["integer"]) + 1, 2.0 ** int(params["integer"]))
        return Decisions(0, 0.0) if kind == "quantized_bits" else None
    if kind == "quantized_relu" and not params["use_sigmoid"]:
        slope = float(params["negative_slope"])
        bits = int(params["bits"]) - (slope != 0)
        steep = round(-log2(slope)) if slope else 0
        frac = bits - int(params["integer"]) + 1 + max(-steep, 0)
        return Decisions(frac, 2.0 ** (int(params["integer"]) + max(steep, 0)))
    if (kind == "quantized_tanh" and not params["use_real_tanh"]) or (
        kind == "quantized_sigmoid" and not params["use_real_sigmoid"]
    ):
        return Decisions(int(params["bits"]), 1.0)
    return None


def between_steps(
    values: NDArray[np.floating[Any]], frac: int, steps: Decisions
) -> tuple[Const, int]:
    """Move offsets that are added to codes on the grid 2**-frac to half steps of the joint grid.

    Sums with them fall on the same side of every step. Also returns how many offsets lie so close
    to the grid that float32, in which Keras adds them, may put a sum on a step.
    """
    grid = max(frac, steps.frac)
    scaled = np.ldexp(np.asarray(values, np.float64), grid)
    below = np.floor(scaled)
    between = below != scaled
    gap = np.minimum(scaled - below, below + 1 - scaled)
    close = between & (gap <= np.ldexp(steps.noise, grid))
    moved = np.where(between, below + 0.5, scaled)
    return Const.exact(np.ldexp(moved, -grid)), int(np.count_nonzero(close))
