"""Activation quantizers as operations of the integer network, equal to QKeras code by code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from qapflow.frontend.quantizers.emulate import emulate
from qapflow.frontend.quantizers.float32 import F32, Emulated
from qapflow.frontend.quantizers.keras_activations import add_keras_activation
from qapflow.frontend.quantizers.site import Activated, Site
from qapflow.frontend.quantizers.spec import KERAS_ACTIVATIONS, Quantizer, UnsupportedQuantizer
from qapflow.frontend.quantizers.steps import FLOAT32_CODES, add_steps
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Affine, Clip, Const, Leaky, Quantize

if TYPE_CHECKING:
    from qapflow.ir.builder import NetBuilder

BOUNDED = ("quantized_tanh", "quantized_sigmoid", "binary_sigmoid", "binary_tanh")
FLOAT32_BITS = 23  # widest grid on which QKeras's float32 sums give back what they should


def add_activation(
    builder: NetBuilder,
    quantizer: Quantizer | None,
    edge: str,
    name: str = "",
    origin: str = "",
    *,
    float_bits: int = 18,
) -> Activated:
    """Add the operations that compute `quantizer` on `edge`.

    `float_bits` is the width of types chosen for functions that QKeras leaves in floats.

    Raises:
        UnsupportedQuantizer: the scale would depend on the batch, or the input is too wide.
    """
    if quantizer is None or quantizer.kind == "linear":
        return Activated(edge, True)
    site = Site(builder, edge, name or quantizer.kind, origin)
    activated = replace(_base(site, quantizer, float_bits), note=quantizer.note)
    alpha = quantizer.params.get("alpha")
    if quantizer.kind in KERAS_ACTIVATIONS or alpha is None or np.all(np.asarray(alpha) == 1):
        return activated
    return _scale(site, activated, np.asarray(alpha, np.float32))


def _base(site: Site, quantizer: Quantizer, float_bits: int) -> Activated:
    """Everything but the multiplication by alpha."""
    kind, params = quantizer.kind, quantizer.params
    if kind in KERAS_ACTIVATIONS:
        return add_keras_activation(
            site.builder, kind, params, site.edge, site.name, site.origin, float_bits=float_bits
        )
    if isinstance(params.get("alpha"), str):
        raise UnsupportedQuantizer(
            f"{quantizer} as an activation computes its scale from each batch",
            "train the activation with alpha=1",
        )
    if kind == "quantized_ulaw":
        return _ulaw(site, quantizer, float_bits)
    return RECIPES.get(kind, _steps)(site, quantizer)


def _scale(
    site: Site, activated: Activated, alpha: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> Activated:
    if alpha.ndim > 1:
        alpha = alpha.reshape(alpha.shape[-1:]) if alpha.size == alpha.shape[-1] else alpha
    scale = Const.exact(alpha if alpha.size > 1 else float(alpha.reshape(())))
    out = replace(site, edge=activated.edge, name=f"{site.name}_alpha").add(Affine(scale))
    odd = bool(np.any(np.abs(np.frexp(alpha)[0]) != 0.5))
    if odd and out.type.width > FLOAT32_BITS:
        return replace(activated, edge=out.edge, exact=False, reason="alpha is no power of two")
    return replace(activated, edge=out.edge)


def _steps(site: Site, quantizer: Quantizer) -> Activated:
    """Any quantizer, through the float32 function itself."""
    breaks: tuple[float, ...] = ()
    if quantizer.kind == "quantized_hswish":
        breaks = (-float(quantizer["relu_shift"]), -float(quantizer["relu_shift"]) / 2)
    plain = quantizer.replace(alpha=1.0) if "alpha" in quantizer.params else quantizer
    return add_steps(site, lambda x: emulate(plain, x), breaks, quantizer.kind not in BOUNDED)


def _ulaw(site: Site, quantizer: Quantizer, float_bits: int) -> Activated:
    """Add steps whose heights are logarithms, rounded to `float_bits` bits."""
    frac = float_bits - 1 - int(quantizer["integer"])

    def rounded(x: F32) -> Emulated:
        values = emulate(quantizer, x).values.astype(np.float64)
        return Emulated.sure(np.ldexp(np.rint(np.ldexp(values, frac)), -frac))

    activated = add_steps(site, rounded)
    reason = f"{quantizer} gives logarithms, rounded to the grid 2**{-frac}"
    return replace(activated, exact=False, reason=reason)


def _between(site: Site, low: int, high: int, frac: int) -> Site:
    """Round ties to even onto the grid 2**-frac and saturate at the codes `low` and `high`."""
    kind = Fixed.holding(low, high, frac)
    symmetric = kind.signed and low == kind.lo + 1 and high == kind.hi
    mode = Overflow.SAT_SYM if symmetric else Overflow.SAT
    site = site.add(Quantize(kind, Rounding.RND_CONV, mode))
    lower = None if symmetric or low == kind.lo else Const(np.array(low), kind)
    upper = None if high == kind.hi else Const(np.array(high), kind)
    return site if lower is None and upper is None else site.add(Clip(lower, upper))


def _rounded(
    site: Site, low: int, high: int, frac: int, start: Fraction | None = None
) -> Activated:
    """`_between`, with the proof that float32 gives the same.

    Float32 holds the input wherever the result still depends on it, and the straight-through sum
    x + (-x + q) gives q while `start` (largest |x| in it) is below 2**24 steps of q.
    """
    lo, hi = (Fraction(code) for code in site.hull())
    codes = Fraction(2) ** (site.type.frac - frac)
    free = max(min(hi, (high + 1) * codes), -max(lo, (low - 1) * codes))
    reason = ""
    if max(-low - 1, high).bit_length() > FLOAT32_BITS or free > FLOAT32_CODES:
        reason = "input or output has more bits than float32, in which Keras computes"
    elif start is not None and start * Fraction(2) ** frac >= FLOAT32_CODES:
        reason = "inputs are so large that QKeras's straight-through sum loses the output's bits"
    return _between(site, low, high, frac).done(not reason, reason)


def _quantized_bits(site: Site, quantizer: Quantizer) -> Activated:
    keep = int(quantizer["keep_negative"])
    bits = int(quantizer["bits"]) - keep
    low = keep * (int(quantizer["symmetric"]) - 2**bits)
    if not bits or low > 0:
        return _steps(site, quantizer)
    frac = bits - int(quantizer["integer"])
    return _rounded(site, low, 2**bits - 1, frac, site.peak() * _finer(quantizer["alpha"]))


def _finer(alpha: object) -> int:
    """How many times finer than the quantizer's grid the multiples of alpha are."""
    scales = np.ravel(np.asarray(1.0 if alpha is None else alpha, np.float32)).tolist()
    return max(Fraction(scale).denominator for scale in scales)


def _quantized_relu(site: Site, quantizer: Quantizer) -> Activated:
    slope = Fraction(float(quantizer["negative_slope"]))
    bits = int(quantizer["bits"]) - int(slope != 0)
    frac = bits - int(quantizer["integer"])
    low = -slope * 2**bits
    if quantizer["use_sigmoid"] or low.denominator > 1 or not bits:
        return _steps(site, quantizer)
    bounded = not quantizer["is_quantized_clip"] and quantizer["relu_upper_bound"]
    start = site.peak() * max(slope, 0 if quantizer["is_quantized_clip"] else 1)
    if slope:
        site = site.add(Leaky(Const.exact(float(slope))))
    activated = _rounded(site, int(low), 2**bits - 1, frac, start)
    if not bounded:
        return activated
    upper = Const.exact(float(np.float32(quantizer["relu_upper_bound"])))
    return replace(activated, edge=replace(site, edge=activated.edge).add(Clip(None, upper)).edge)


def _quantized_tanh(site: Site, quantizer: Quantizer) -> Activated:
    """In its hard form clip(x, -1, 1), rounded, while float32 holds 0.5 x + 0.5."""
    bits = int(quantizer["bits"]) - 1
    if quantizer["use_real_tanh"] or site.type.frac + 1 > FLOAT32_BITS or not bits:
        return _steps(site, quantizer)
    return _rounded(site, int(quantizer["symmetric"]) - 2**bits, 2**bits - 1, bits)


def _quantized_sigmoid(site: Site, quantizer: Quantizer) -> Activated:
    bits, low = int(quantizer["bits"]), int(quantizer["symmetric"])
    if quantizer["use_real_sigmoid"] or site.type.frac + 1 > FLOAT32_BITS or low >= 2**bits:
        return _steps(site, quantizer)
    half = Const.exact(0.5)
    return _rounded(site.add(Affine(half, half)), low, 2**bits - 1, bits)


def _ramp(
    slope: float, offset: float, low: float, bits: int
) -> Callable[[Site, Quantizer], Activated]:
    """clip(slope x + offset, low, 1), which float32 gets right with `bits` more bits than x."""

    def recipe(site: Site, quantizer: Quantizer) -> Activated:
        reason = ""
        if site.type.frac + bits > FLOAT32_BITS:
            reason = f"{quantizer.kind} of {site.type} needs more bits than float32 has"
        if slope != 1 or offset:
            shift = Const.exact(offset) if offset else None
            site = site.add(Affine(Const.exact(slope), shift))
        site = site.add(Clip(Const.exact(low), Const.exact(1.0)))
        return site.done(not reason, reason)

    return recipe


RECIPES: Mapping[str, Callable[[Site, Quantizer], Activated]] = {
    "quantized_bits": _quantized_bits,
    "quantized_linear": _quantized_bits,
    "quantized_relu": _quantized_relu,
    "quantized_tanh": _quantized_tanh,
    "quantized_sigmoid": _quantized_sigmoid,
    "hard_sigmoid": _ramp(0.5, 0.5, 0.0, 1),
    "smooth_sigmoid": _ramp(0.1875, 0.5, 0.0, 4),
    "hard_tanh": _ramp(1.0, 0.0, -1.0, 1),
    "smooth_tanh": _ramp(0.375, 0.0, -1.0, 4),
}
