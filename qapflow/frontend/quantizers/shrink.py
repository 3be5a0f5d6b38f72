"""Activations that Keras 3 added: pieces of lines, exact, and those made of a known table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qapflow.frontend.quantizers.relu import FLOAT32_BITS
from qapflow.frontend.quantizers.site import Activated, Site
from qapflow.frontend.quantizers.tables import Curve, round_to_width, tabulate
from qapflow.ir.ops import Affine, Clip, Const, Merge, Threshold

SHRINK = 0.5  # the threshold of soft_shrink and hard_shrink where only the name is given


def add_shrink(site: Site, name: str, float_bits: int) -> Activated:
    """Add soft_shrink, hard_shrink or tanh_shrink: x less its small part, or nothing of it.

    soft_shrink(x) = x - clip(x, -0.5, 0.5); hard_shrink(x) = x where |x| > 0.5, else 0;
    tanh_shrink(x) = x - tanh(x) (documentation of keras.activations, Keras 3).
    """
    if name == "soft_shrink":
        middle = site.add(Clip(Const.exact(-SHRINK), Const.exact(SHRINK)), suffix="middle")
        return _exact(site.add(Merge("sub"), middle), name)
    if name == "hard_shrink":
        lsb = float(site.type.lsb)
        above = (np.floor(SHRINK / lsb) + 1) * lsb  # the first value that is more than 0.5
        steps = Const.exact(np.array([-SHRINK, above]))
        gate = site.add(Threshold(steps, Const.exact(np.array([1.0, 0.0, 1.0]))), suffix="gate")
        return _exact(site.add(Merge("mul"), gate), name)
    table = tabulate(
        replace(site, name=f"{site.name}_table"), Curve(np.tanh, -4, 4), float_bits - 2
    )
    out, lost = round_to_width(site.add(Merge("sub"), table.site), float_bits)
    return _say(out, name, table.entries, table.error + lost)


def _exact(site: Site, name: str) -> Activated:
    exact = site.type.width <= FLOAT32_BITS
    return site.done(exact, "" if exact else f"{name} gives more bits than float32 has")


def add_hard_silu(site: Site, float_bits: int) -> Activated:
    """Add x * clip(x / 6 + 1/2, 0, 1) (hard_silu and hard_swish of Keras 3)."""
    narrow, rounding = round_to_width(site, float_bits)
    slope = float(np.ldexp(np.rint(np.ldexp(1 / 6, float_bits)), -float_bits))
    line = narrow.add(Affine(Const.exact(slope), Const.exact(0.5)), suffix="line")
    gate = line.add(Clip(Const.exact(0.0), Const.exact(1.0)), suffix="gate")
    out, lost = round_to_width(narrow.add(Merge("mul"), gate), float_bits)
    error = 1.5 * rounding + lost + abs(slope - 1 / 6) * 9.1 + 2.0**-22
    return out.done(False, f"hard_silu, {out.type} out; error at most {error:.2g}")


def add_log_sigmoid(site: Site, float_bits: int) -> Activated:
    """Add log(sigmoid(x)) = min(x, 0) - log(1 + exp(-|x|))."""
    curve = Curve(lambda x: np.log1p(np.exp(-np.abs(x))), -12, 12, (0.0,))
    tail = tabulate(replace(site, name=f"{site.name}_table"), curve, float_bits - 3)
    linear = site.add(Clip(None, Const.exact(0.0)), suffix="negative")
    out, lost = round_to_width(linear.add(Merge("sub"), tail.site), float_bits)
    return _say(out, "log_sigmoid", tail.entries, tail.error + lost)


def _say(site: Site, name: str, entries: int, error: float) -> Activated:
    reason = f"{name} from a table of {entries} entries, {site.type} out; error at most {error:.2g}"
    return site.done(False, reason)
