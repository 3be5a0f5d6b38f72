"""Layers of HGQ 0.2, which gives each value a bit width of its own (arXiv 2405.00645).

A proxy model has plain Keras layers with a FixedPointQuantizer behind each. The layers of the
training model round to their fraction bits only: their integer bits exist after tracing alone, so
they cannot overflow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.grids import Grids, Whole, holding, quantize_each, round_each
from qapflow.frontend.layers.work import Work
from qapflow.ir.fixed import Overflow, Rounding
from qapflow.ir.ops import Affine, Const, Dense, Quantize

FLOAT32_CODES = 1 << 24
FLOOR, NEAREST = Rounding.TRN, Rounding.RND
TRACE = "convert it with HGQ's to_proxy_model, and save the proxy"
STRATEGIES = {"standard_round": NEAREST, "floor": FLOOR, 0: NEAREST, 3: FLOOR}


def fixed_point_quantizer(work: Work) -> str:
    """Translate the FixedPointQuantizer of proxy models: `ap_fixed` types, element by element."""
    for key in ("accum_bits_bias",):
        if work.config.get(key) is not None:
            raise work.refuse(f"{key} is not supported", TRACE)
    rounding = Rounding(work.setting("RND", "TRN", *map(str, Rounding)))
    overflow = Overflow(work.setting("SAT", "WRAP", *map(str, Overflow)))
    bits = _spread(work, work.array("bits"))
    used = bits > 0
    signed = np.where(used, _spread(work, work.array("keep_negative")), 0)
    whole = np.where(used, _spread(work, work.array("integers")), 0)
    if bits.min() < 0 or signed.min() < 0 or signed.max() > 1:
        raise work.refuse("its bit widths are not set", TRACE)
    if overflow is Overflow.SAT_ZERO or overflow is Overflow.SAT_SYM:
        grids = Grids(signed, bits, bits - whole)
        if grids.uniform() is None:
            raise work.refuse(f"SAT={overflow} with several bit widths is not supported", TRACE)
    _check_float32(work, int((bits - whole).max()))
    return quantize_each(work, work.input, Grids(signed, bits, bits - whole), rounding, overflow)


def _spread(work: Work, values: NDArray[np.generic]) -> Whole:
    """Give an array that starts with the batch the shape of the input."""
    shape = work.shape()
    array = np.asarray(values, np.int64)
    if array.ndim > len(shape):
        array = array.reshape(array.shape[1:])
    return np.broadcast_to(array, shape)


def _check_float32(work: Work, frac: int) -> None:
    kind, interval = work.builder.edges[work.input].type, work.builder.intervals[work.input]
    lift = max(frac + 1 - kind.frac, 0)
    if max(-interval.low, interval.high) << lift > FLOAT32_CODES:
        work.reasons.append("its input has more bits than float32, in which Keras computes")


def quantize(work: Work) -> str:
    """Translate HQuantize."""
    return _activation(work, work.input)


def dense(work: Work) -> str:
    """Translate HDense: kernel, bias and result are rounded to bits that training has found."""
    for name in ("kq_conf", "paq_conf"):
        _strategy(work, name)
    kernel = work.array("kernel").astype(np.float32)
    frac = np.broadcast_to(np.rint(work.array("kernel_bw")), kernel.shape)
    weight = work.fold_kernel(_rounded(kernel, frac, _strategy(work, "kq_conf")), "")
    bias = None
    if work.config.get("use_bias", True):
        bits = work.array("activation_bw")
        channels = bits.reshape(-1, bits.shape[-1]).max(axis=0)
        values = work.array("bias").astype(np.float32)
        rule = _strategy(work, "paq_conf")
        bias = Const.exact(_rounded(values, np.broadcast_to(np.rint(channels), values.shape), rule))
    edge = work.add(Dense(weight, bias))
    return work.activate(_activation(work, edge), work.config.get("activation"))


def _strategy(work: Work, key: str) -> Rounding:
    config = work.config.get(key) or {}
    strategy = config.get("rnd_strategy")
    if strategy not in STRATEGIES:
        raise work.refuse(f"{key}: rnd_strategy={strategy!r} is not supported", TRACE)
    return STRATEGIES[strategy]


def _rounded(
    values: NDArray[np.float32], frac: NDArray[np.floating[Any]], rule: Rounding
) -> NDArray[np.float32]:
    half = np.float32(0.5 if rule is NEAREST else 0.0)
    scale = np.exp2(frac.astype(np.float32))
    return np.asarray(np.floor(values * scale + half) / scale, np.float32)


def _activation(work: Work, edge: str) -> str:
    rule = _strategy(work, "paq_conf")
    shape = work.shape(edge)
    bits = np.rint(work.array("activation_bw")).astype(np.int64)
    frac = np.broadcast_to(bits.reshape(bits.shape[1:]), shape)
    if (frac == frac.flat[0]).all():
        kind = holding(work, edge, int(frac.flat[0]))
        return work.add(Quantize(kind, rule, Overflow.SAT), edge)
    edge = round_each(work, edge, frac, rule, np.ones(shape, bool))
    return work.add(Affine(Const.exact(np.ldexp(1.0, -frac))), edge, suffix="value")
