"""Keras's ReLU with slope, ceiling and threshold, in the order of operations of its backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.quantizers.site import Activated, Site
from qapflow.frontend.quantizers.spec import UnsupportedQuantizer
from qapflow.frontend.quantizers.tables import round_to_width
from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Affine, Clip, Const, Leaky, Merge

FLOAT32_BITS = 24
NARROW_BITS = 16

ZERO = Const(np.array(0), Fixed(False, 1, 0))


def add_relu(site: Site, name: str, params: Mapping[str, Any], float_bits: int) -> Activated:
    """min(max_value, x if x > threshold else 0) - slope * max(threshold - x, 0).

    `negative_slope` may be one number or an array along the trailing axes (PReLU).
    """
    default = 0.2 if name == "leaky_relu" else 0.0
    slope = _slope(params, default)
    ceiling = 6.0 if name == "relu6" else params.get("max_value")
    threshold = float(params.get("threshold") or 0.0)
    if ceiling is not None and float(ceiling) < 0:
        raise UnsupportedQuantizer(f"{name}: max_value={ceiling} is negative")
    slope_const, slope_error = _short(slope, float_bits)
    reason = ""
    if slope_error:
        reason = f"the slope {_show(slope)} is rounded to {float_bits} bits"
    positive, lost = _positive(site, threshold, ceiling, float_bits)
    if lost:
        reason = f"max_value or threshold is rounded by {lost:.2g}"
    if not slope.any():
        return positive.done(not reason, reason)
    if threshold == 0 and ceiling is None:
        out = site.add(Leaky(slope_const))
    else:
        out = _with_branch(site, positive, threshold, slope_const)
    if out.type.width > FLOAT32_BITS and not reason:
        reason = f"the slope {_show(slope)} gives more bits than float32 has"
    if reason:
        out, error = round_to_width(out, float_bits)
        reason += f"; output rounded to {out.type} (error at most {error:.2g})"
    return out.done(not reason, reason)


def _slope(params: Mapping[str, Any], default: float) -> NDArray[np.float64]:
    value = params.get("negative_slope")
    if value is None:
        value = params.get("alpha")
    return np.asarray(np.asarray(default if value is None else value, np.float32), np.float64)


def _show(slope: NDArray[np.float64]) -> str:
    return f"{float(slope):g}" if slope.ndim == 0 else f"vector of {slope.size}"


def _short(value: NDArray[np.float64], bits: int) -> tuple[Const, float]:
    """Return a constant exactly if it is narrow, else rounded to `bits` bits."""
    const = Const.exact(value)
    if const.type.width <= NARROW_BITS:
        return const, 0.0
    peak = float(np.abs(value).max())
    frac = bits - 2 - int(np.floor(np.log2(peak)))
    rounded = np.ldexp(np.rint(np.ldexp(value, frac)), -frac)
    return Const.exact(rounded), float(np.abs(rounded - value).max())


def _positive(site: Site, threshold: float, ceiling: float | None, bits: int) -> tuple[Site, float]:
    """Keep x above the threshold, else 0; clip to [0, max_value] if there is one."""
    lost = 0.0
    upper = None
    if ceiling is not None:
        upper, lost = _short(np.asarray(np.float32(ceiling), np.float64), bits)
    if threshold == 0:
        return site.add(Clip(ZERO, upper)), lost
    # the first code above the threshold: Keras compares strictly
    code = (Fraction(float(np.float32(threshold))) / site.type.lsb).__floor__() + 1
    first = Const(np.array(code), Fixed.holding(min(code, 0), max(code, 0), site.type.frac))
    out = site.add(Leaky(ZERO, first))
    return (out if upper is None else out.add(Clip(ZERO, upper))), lost


def _with_branch(site: Site, positive: Site, threshold: float, slope: Const) -> Site:
    """Add slope * (min(x, threshold) - threshold)."""
    bound = Const.exact(float(np.float32(threshold)))
    below = replace(site, name=f"{site.name}_below").add(Clip(None, bound))
    if threshold:
        one = Const(np.array(1), Fixed(False, 1, 0))
        below = below.add(Affine(one, Const.exact(-float(np.float32(threshold)))))
    return positive.add(Merge("add"), below.add(Affine(slope)))
