"""Activations of Keras itself. The ReLU family is exact; smooth functions get chosen types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qapflow.frontend.quantizers.emulate_functions import real_sigmoid
from qapflow.frontend.quantizers.relu import add_relu
from qapflow.frontend.quantizers.shrink import add_hard_silu, add_log_sigmoid, add_shrink
from qapflow.frontend.quantizers.site import Activated, Site
from qapflow.frontend.quantizers.softmax import add_softmax
from qapflow.frontend.quantizers.spec import UnsupportedQuantizer
from qapflow.frontend.quantizers.tables import Curve, Reals, Tabulated, round_to_width, tabulate
from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Affine, Clip, Const, Merge, Threshold

if TYPE_CHECKING:
    from qapflow.ir.builder import NetBuilder

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def add_keras_activation(
    builder: NetBuilder,
    name: str,
    params: Mapping[str, Any],
    edge: str,
    node: str = "",
    origin: str = "",
    *,
    float_bits: int = 18,
    keras_version: str = "2",
) -> Activated:
    """Add Keras's activation `name` (as in `Activation(name)`) on `edge`.

    `params`: `negative_slope` (or `alpha`), `max_value`, `threshold`, `approximate`. Smooth
    functions are rounded to `float_bits` bits; the reason says how large the error can be.
    `hard_sigmoid` has another slope since Keras 3.

    Raises:
        UnsupportedQuantizer: an activation that is not known.
    """
    site = Site(builder, edge, node or name, origin)
    if name == "linear":
        return site.done()
    if name in ("relu", "relu6", "leaky_relu"):
        return add_relu(site, name, params, float_bits)
    if name in PLAIN:
        return PLAIN[name](site, float_bits)
    if name == "hard_sigmoid":
        return _hard_sigmoid(site, 1 / 6 if keras_version.startswith("3") else 0.2, float_bits)
    if name in BOUNDED:
        return _report(site, name, tabulate(site, BOUNDED[name], float_bits - 2))
    if name in GATED:
        return _gated(site, name, bool(params.get("approximate")), float_bits)
    if name in ("elu", "celu", "selu", "softplus"):
        return _piecewise(site, name, float(params.get("alpha", 1.0)), float_bits)
    if name in ("soft_shrink", "hard_shrink", "tanh_shrink"):
        return add_shrink(site, name, float_bits)
    raise UnsupportedQuantizer(
        f"the activation {name!r} is not supported", "docs/quantizers.md lists those that are"
    )


def _report(site: Site, name: str, result: Tabulated, more: float = 0.0) -> Activated:
    reason = (
        f"{name} from a table of {result.entries} entries, {result.site.type} out; "
        f"error at most {result.error + more:.2g}"
    )
    return result.site.done(False, reason)


def _gated(site: Site, name: str, approximate: bool, float_bits: int) -> Activated:
    """X times a bounded function of x."""
    curve = GATED[name]
    if name == "gelu" and approximate:
        curve = replace(curve, function=_gelu_gate_tanh)
    narrow, rounding = round_to_width(site, float_bits)
    gate = tabulate(replace(narrow, name=f"{site.name}_gate"), curve, float_bits - 2)
    product = narrow.add(Merge("mul"), gate.site)
    out, lost = round_to_width(product, float_bits)
    error = float(site.peak()) * gate.error + 1.2 * rounding + lost
    return _report(site, name, replace(gate, site=out, error=error))


def _piecewise(site: Site, name: str, alpha: float, float_bits: int) -> Activated:
    """max(x, 0), scaled for selu, plus a table that fades out."""
    scale = SELU_SCALE if name == "selu" else 1.0
    zero = Const.exact(0.0)
    if name == "softplus":
        branch, curve = site, Curve(lambda x: np.log1p(np.exp(-np.abs(x))), -12, 12, (0.0,))
    else:
        factor = SELU_ALPHA * SELU_SCALE if name == "selu" else alpha
        stretch = alpha if name == "celu" else 1.0
        branch = site.add(Clip(None, zero), suffix="negative")
        curve = Curve(lambda x: factor * np.expm1(np.minimum(x, 0) / stretch), -12 * stretch, 0)
    tail = tabulate(replace(branch, name=f"{site.name}_table"), curve, float_bits - 3)
    linear = site.add(Clip(zero, None), suffix="positive")
    error = tail.error
    if scale != 1.0:
        rounded = round(scale * 2.0**14) / 2.0**14
        linear = linear.add(Affine(Const.exact(rounded)), suffix="scale")
        error += abs(rounded - scale) * float(site.peak())
    total = linear.add(Merge("add"), tail.site)
    out, lost = round_to_width(total, float_bits)
    return _report(site, name, replace(tail, site=out, error=error + lost))


def _exponential(site: Site, float_bits: int) -> Activated:
    lo, hi = (float(code * site.type.lsb) for code in site.hull())
    if hi > 16:
        raise UnsupportedQuantizer(
            f"exponential of inputs up to {hi:g} does not fit a fixed-point type",
            "quantize its input to at most 16",
        )
    integer = max(1, int(np.ceil(hi / np.log(2))) + 1)
    curve = Curve(np.exp, max(lo, -12.0), hi + float(site.type.lsb))
    return _report(site, "exponential", tabulate(site, curve, float_bits - integer))


def _relu1(site: Site, float_bits: int) -> Activated:
    return add_relu(site, "relu", {"max_value": 1.0}, float_bits)


def _ternary_tanh(site: Site, _: int) -> Activated:
    """1 above one half, -1 from minus one half down, else 0 (arXiv 1608.06902)."""
    frac = max(site.type.frac, 1)
    half = 1 << (frac - 1)
    steps = Const(np.array([1 - half, 1 + half]), Fixed.holding(1 - half, 1 + half, frac))
    return site.add(Threshold(steps, Const.exact(np.array([-1.0, 0.0, 1.0])))).done()


def _hard_sigmoid(site: Site, slope: float, float_bits: int) -> Activated:
    """clip(slope x + 0.5, 0, 1) with a rounded slope; the input stays below 0.5 / slope."""
    near = float(np.ldexp(np.rint(np.ldexp(slope, float_bits)), -float_bits))
    line = site.add(Affine(Const.exact(near), Const.exact(0.5)), suffix="line")
    ramp = line.add(Clip(Const.exact(0.0), Const.exact(1.0)), suffix="ramp")
    out, lost = round_to_width(ramp, float_bits)
    error = lost + abs(near - slope) * 0.51 / slope + 2.0**-23
    return out.done(False, f"hard_sigmoid, {out.type} out; error at most {error:.2g}")


def _gelu_gate(x: Reals) -> Reals:
    from math import erf

    return np.array([0.5 * (1 + erf(v / np.sqrt(2))) for v in np.ravel(x)]).reshape(np.shape(x))


def _gelu_gate_tanh(x: Reals) -> Reals:
    return np.asarray(0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def _mish_gate(x: Reals) -> Reals:
    return np.asarray(np.tanh(np.logaddexp(0, x)))


def _curve(function: Callable[[Reals], Reals], reach: float) -> Curve:
    return Curve(function, -reach, reach)


BOUNDED: Mapping[str, Curve] = {
    "sigmoid": _curve(real_sigmoid, 8),
    "tanh": _curve(np.tanh, 4),
    "softsign": _curve(lambda x: x / (1 + np.abs(x)), 64),
}

GATED: Mapping[str, Curve] = {
    "swish": _curve(real_sigmoid, 8),
    "silu": _curve(real_sigmoid, 8),
    "gelu": _curve(_gelu_gate, 4),
    "mish": _curve(_mish_gate, 8),
}

PLAIN: Mapping[str, Callable[[Site, int], Activated]] = {
    "relu1": _relu1,
    "ternary_tanh": _ternary_tanh,
    "softmax": add_softmax,
    "exponential": _exponential,
    "hard_silu": add_hard_silu,
    "hard_swish": add_hard_silu,
    "log_sigmoid": add_log_sigmoid,
}
