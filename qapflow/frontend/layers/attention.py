"""Attention: softmax(query key / sqrt(size)) value (Vaswani et al., arXiv 1706.03762)."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.chosen import round_const, settle_type
from qapflow.frontend.layers.operands import HINT, Operands, read_operands
from qapflow.frontend.layers.product import permute, reshape
from qapflow.frontend.layers.work import Work
from qapflow.ir.fixed import Overflow, Rounding
from qapflow.ir.ops import Affine, Const, Dense, MatMul, Quantize

FAR = 64.0  # a masked score lies so far below all others that its exponential is 0
CALLED_WITH = frozenset({"0", "1", "2", "query", "value", "key", "use_causal_mask", "training"})
F64 = NDArray[np.float64]


def multi_head_attention(work: Work) -> str:
    """Translate MultiHeadAttention over the only axis of a sequence."""
    given = _arguments(work)
    if work.config.get("use_gate") or work.config.get("sliding_window") is not None:
        raise work.refuse("gates and sliding windows are not supported", "leave them out")
    query, value = given.edge(0, "query"), given.edge(1, "value")
    key = given.edge(2, "key") if {"2", "key"} & given.values.keys() else value
    if any(len(work.shape(edge)) != 2 for edge in (query, value, key)):
        raise work.refuse("it attends over more than one axis", "use sequences [time, features]")
    size = int(work.config["key_dim"])
    queries = _heads(work, query, "query", 1 / sqrt(size))
    keys, values = _heads(work, key, "key", 1.0), _heads(work, value, "value", 1.0)
    mixed = _attend(work, queries, permute(work, keys, (0, 2, 1)), values, _causal(given))
    heads, length, depth = work.shape(mixed)
    rows = reshape(work, permute(work, mixed, (1, 0, 2)), (length, heads * depth))
    kernel = _weight(work, "output", 0)
    if kernel.ndim != 3:
        raise work.refuse("its output has several axes", "use output_shape with one number")
    made = _project(work, rows, kernel.reshape(heads * depth, -1), "output", 1.0)
    return work.finish(made)


def attention(work: Work) -> str:
    """Translate Attention with scores that are products."""
    given = _arguments(work)
    work.setting("score_mode", "dot", "dot")
    edges = given.get(0, "inputs")
    if not isinstance(edges, list) or len(edges) not in (2, 3):
        raise work.misfit("it needs two or three inputs")
    query, value = edges[0], edges[1]
    if any(len(work.shape(edge)) < 2 for edge in edges):
        raise work.misfit("its inputs are no sequences")
    rank = len(work.shape(query))
    key = permute(work, edges[-1], (*range(rank - 2), rank - 1, rank - 2))
    scale = 1.0
    if work.config.get("use_scale"):
        scale = float(work.array("scale" if "scale" in work.spec.weights else "0"))
    causal = _causal(given) or bool(work.config.get("causal"))
    return work.finish(_attend(work, query, key, value, causal, scale))


def _arguments(work: Work) -> Operands:
    given = read_operands(work)
    called = work.config.get("_operands", {})
    for name, value in called.items():
        if name not in CALLED_WITH and value not in (None, False):
            raise work.refuse(f"it is called with {name}", "call it without a mask")
    if called.get("training"):
        raise work.refuse("it is called with training=True", HINT)
    return given


def _causal(given: Operands) -> bool:
    return bool(given.get(99, "use_causal_mask", default=False))


def _attend(work: Work, query: str, key: str, value: str, causal: bool, scale: float = 1.0) -> str:
    """[..., t, k], [..., k, s] and [..., s, v] -> [..., t, v]."""
    scores = work.add(MatMul(), query, key, suffix="scores")
    if scale != 1.0:
        factor = round_const(Const.exact(scale), work.options.float_bits)
        scores = work.add(Affine(factor), scores, suffix="scores")
    if causal:
        scores = _mask(work, scores)
    weights = work.keras_activate(scores, "softmax", {}, suffix="weights")
    return _rounded(work, work.add(MatMul(), weights, value, suffix="mixed"))


def _mask(work: Work, scores: str) -> str:
    """Move the scores of later steps far below all others."""
    shape = work.shape(scores)
    kept = np.tril(np.ones(shape[-2:]))
    interval, kind = work.builder.intervals[scores], work.builder.edges[scores].type
    low = np.floor(min(float(interval.low * kind.lsb), 0.0)) - FAR
    return work.add(
        Affine(Const.exact(kept), Const.exact((1 - kept) * low)), scores, suffix="masked"
    )


def _heads(work: Work, edge: str, role: str, scale: float) -> str:
    """[t, n] -> [heads, t, k]."""
    kernel = _weight(work, role, 0)
    channels, heads, size = kernel.shape
    made = _project(work, edge, kernel.reshape(channels, heads * size), role, scale)
    made = reshape(work, _rounded(work, made), (work.shape(edge)[0], heads, size))
    return permute(work, made, (1, 0, 2))


def _project(work: Work, edge: str, kernel: F64, role: str, scale: float) -> str:
    weight = work.fold_kernel(np.asarray(kernel * scale, np.float32), "", role)
    bias = None
    if work.config.get("use_bias", True):
        values = np.asarray(_weight(work, role, 1).ravel() * scale, np.float32)
        bias = round_const(Const.exact(values), work.options.float_bits)
    return work.add(Dense(weight, bias), edge, suffix=role)


def _weight(work: Work, role: str, number: int) -> F64:
    """Return kernel (0) or bias (1) by the names of HDF5 files and of both .keras formats."""
    long = "attention_output" if role == "output" else role
    short = f"{role}_dense/{number}"
    names = (f"{long}/{('kernel', 'bias')[number]}", short, f"_{short}")
    found = next((name for name in names if name in work.spec.weights), names[0])
    return np.asarray(work.array(found), np.float64)


def _rounded(work: Work, edge: str) -> str:
    """Round an intermediate result to the width of float layers."""
    bits = work.options.float_bits
    if work.builder.edges[edge].type.width <= bits:
        return edge
    kind = settle_type(work.builder, edge, bits)
    work.reasons.append(f"products rounded to {kind}")
    return work.add(Quantize(kind, Rounding.RND, Overflow.SAT), edge, suffix="rounded")
