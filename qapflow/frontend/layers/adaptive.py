"""QAdaptiveActivation: a quantizer whose integer bits follow from the range seen in training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.work import Work, number
from qapflow.ir.ops import Affine, Const

F32 = NDArray[np.float32]


def adaptive_activation(work: Work) -> str:
    """Translate QAdaptiveActivation as it computes once its range is set.

    QKeras does not store the integer bits: after loading, the first batch is quantized with those
    of an untrained layer, every later one with those computed here.
    """
    kind = work.config.get("activation")
    if kind not in ("quantized_bits", "quantized_relu"):
        raise work.refuse(f"activation={kind!r} is not supported")
    slope = number(work.config.get("relu_neg_slope"), 0.0)
    bits, symmetric = int(work.config["total_bits"]), bool(work.config.get("symmetric", True))
    negative = kind == "quantized_bits" or slope != 0
    integer = integer_bits(
        work.array("ema_min"),
        work.array("ema_max"),
        bits - negative,
        symmetric,
        negative,
        bool(work.config.get("po2_rounding")),
    )
    config: dict[str, Any] = {"bits": bits, "integer": 0}
    if kind == "quantized_bits":
        config.update(symmetric=symmetric, alpha=1.0, keep_negative=True)
    else:
        config.update(negative_slope=slope)
    work.notes.append(
        f"{work.spec.name}: integer bits {_words(integer)}, by the range it has stored; QKeras "
        "quantizes the first batch after loading without them"
    )
    if (integer == integer.flat[0]).all():
        config["integer"] = int(integer.flat[0])
        return work.activate(work.input, {"class_name": kind, "config": config}, suffix="")
    edge = work.add(Affine(Const.exact(np.ldexp(1.0, -integer))), suffix="scaled")
    edge = work.activate(edge, {"class_name": kind, "config": config}, suffix="quantized")
    return work.add(Affine(Const.exact(np.ldexp(1.0, integer))), edge)


def integer_bits(
    low: NDArray[Any], high: NDArray[Any], bits: int, symmetric: bool, negative: bool, nearest: bool
) -> NDArray[np.int64]:
    """Return the integer bits that hold [low, high], as QKeras's `_get_integer_bits`.

    `bits` are those without the sign. Powers of two are rounded to the nearest, or up.
    """
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    if not negative:
        low, high = np.maximum(low, 0), np.maximum(high, 0)
    whole_low, whole_high = _exponent(low, nearest), _exponent(high, nearest)
    if not nearest:
        whole_high = whole_high + (high > _reach(whole_high, bits))
        if symmetric:
            whole_low = whole_low + (-low > _reach(whole_low, bits))
    return np.asarray(np.minimum(np.maximum(whole_low, whole_high), bits), np.int64)


def _exponent(values: F32, nearest: bool) -> F32:
    with np.errstate(divide="ignore"):
        powers = np.log(np.abs(values)) / np.float32(np.log(2.0))
    powers = np.where(powers > 0, powers, np.float32(0))
    return np.asarray(np.rint(powers) if nearest else np.ceil(powers), np.float32)


def _reach(whole: F32, bits: int) -> F32:
    one = np.float32(2)
    return np.asarray(one**whole - one ** np.minimum(whole - bits, 0), np.float32)


def _words(integer: NDArray[np.int64]) -> str:
    return ", ".join(str(n) for n in sorted(set(integer.ravel().tolist())))
