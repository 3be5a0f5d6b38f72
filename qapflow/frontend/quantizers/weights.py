"""Weights as QKeras's layers really use them: quantized in float32, kept as exact integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.quantizers.emulate import emulate
from qapflow.frontend.quantizers.float32 import Scaled
from qapflow.frontend.quantizers.spec import Quantizer, UnsupportedQuantizer
from qapflow.ir.ops import Const

# Weights whose quantizer QKeras's layers turn to alpha='auto_po2' when alpha is unset
TRAINED_ROLES = ("kernel", "depthwise", "pointwise", "recurrent", "gamma", "variance")
SCALED_KINDS = (
    "quantized_bits",
    "quantized_linear",
    "binary",
    "stochastic_binary",
    "ternary",
    "stochastic_ternary",
    "quantized_hswish",
)
FLOAT_BITS = 24  # the integers that float32 holds
NARROW_BITS = 16  # float weights on a grid this narrow were put there


@dataclass(frozen=True, eq=False)
class QuantizedWeights:
    """Weights as integers.

    `exact` tells whether they are those of QKeras on every machine and lie on a fixed-point grid;
    if not, `reason` says why and `const` holds the nearest thing. `quantizer` is the one really
    used (with the alpha that QKeras gives a kernel). `scaled` is set where floats that
    are no powers of two scale levels of few bits.
    """

    const: Const
    exact: bool
    reason: str
    quantizer: Quantizer | None
    scaled: Scaled | None = None


def quantize_weights(
    quantizer: Quantizer | None, weights: NDArray[np.floating[Any]], role: str = "kernel"
) -> QuantizedWeights:
    """Apply a quantizer to a weight array of any shape, on the coarsest grid that holds it.

    `role` is the weight's part in its layer (`kernel`, `depthwise`, `pointwise`, `recurrent`,
    `gamma`, `variance`, `bias`, `beta`, `mean`, `average` ...).

    Raises:
        UnsupportedQuantizer: NaN or infinite weights, or a quantizer that is none for weights.
    """
    values = np.asarray(weights, np.float32)
    if not np.isfinite(values).all():
        raise UnsupportedQuantizer(f"the {role} weights contain NaN or infinity")
    if quantizer is None or quantizer.kind == "linear":
        return _float_weights(values, quantizer)
    used = trained(quantizer) if role in TRAINED_ROLES else quantizer
    result = emulate(used, values)
    if not np.isfinite(result.values).all():
        raise UnsupportedQuantizer(f"{quantizer} gives NaN or infinity for the {role} weights")
    const = Const.exact(result.values)
    exact, reason = _judge(const, result.doubt, used)
    scaled = None if exact or not scales_by_floats(used) else result.scaled
    return QuantizedWeights(const, exact, reason, used, scaled)


def trained(quantizer: Quantizer) -> Quantizer:
    """Return what QKeras makes of a kernel's quantizer: alpha unset becomes 'auto_po2'."""
    if quantizer.kind not in SCALED_KINDS or quantizer["alpha"] is not None:
        return quantizer
    if quantizer.params.get("threshold") is not None:
        raise UnsupportedQuantizer(
            f"{quantizer} on a kernel gets alpha='auto_po2', which excludes a threshold",
            "give the quantizer alpha=1",
        )
    if "symmetric" in quantizer.params:
        return quantizer.replace(alpha="auto_po2", symmetric=1)
    return quantizer.replace(alpha="auto_po2")


def _float_weights(values: NDArray[np.float32], quantizer: Quantizer | None) -> QuantizedWeights:
    const = Const.exact(values)
    if const.type.width <= NARROW_BITS:
        return QuantizedWeights(const, True, "", quantizer)
    return QuantizedWeights(const, False, "float weights", quantizer)


def _judge(const: Const, doubt: NDArray[np.bool_], quantizer: Quantizer) -> tuple[bool, str]:
    alpha = quantizer.params.get("alpha")
    if alpha == "auto":
        if const.type.width <= FLOAT_BITS and not doubt.any():
            return True, ""
        return False, "alpha='auto' scales the weights by floats that are no powers of two"
    if scales_by_floats(quantizer) and (doubt.any() or const.type.width > FLOAT_BITS):
        return False, f"alpha={alpha} is no power of two"
    if doubt.any():
        return False, (
            f"{int(doubt.sum())} weights of {quantizer} hang on the last bit of float32; "
            "QKeras's own result depends on the machine"
        )
    if quantizer.kind.endswith("po2") or alpha == "auto_po2":
        return True, ""
    if const.type.width > FLOAT_BITS and quantizer.params.get("bits", 1) <= FLOAT_BITS:
        return False, f"{quantizer} gives values of {const.type.width} bits"
    return True, ""


def scales_by_floats(quantizer: Quantizer) -> bool:
    """Tell whether alpha gives scales that are no powers of two."""
    alpha = quantizer.params.get("alpha")
    if isinstance(alpha, int | float | tuple):
        return not _powers_of_two(alpha)
    return alpha == "auto"


def _powers_of_two(alpha: float | tuple[object, ...]) -> bool:
    mantissa, _ = np.frexp(np.ravel(np.asarray(alpha, np.float32)))
    return bool(np.all(np.abs(mantissa) == 0.5))
