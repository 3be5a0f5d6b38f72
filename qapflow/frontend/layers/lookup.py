"""Tables of vectors."""

from __future__ import annotations

import numpy as np

from qapflow.frontend.layers.chosen import round_const
from qapflow.frontend.layers.work import Work
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Clip, Const, Quantize, Table

LARGEST = 1 << 16  # values of one table


def embedding(work: Work) -> str:
    """Translate Embedding: [...] -> [..., n], row k of its weights for the number k.

    Keras cuts real numbers to whole ones towards zero, and fails on numbers that have no row; here
    those get the nearest row.
    """
    if work.config.get("mask_zero"):
        raise work.refuse("mask_zero hangs on the data", "give sequences of fixed length")
    for key in ("lora_rank", "quantization_mode"):
        work.setting(key, None, None)
    values = work.array("embeddings").astype(np.float32)
    if values.ndim != 2 or values.size > LARGEST:
        raise work.refuse(
            f"its table of shape {values.shape} does not fit on a chip",
            "use a smaller one",
        )
    const = _rows(work, values)
    edge = whole_number(work, work.input)
    interval, last = work.builder.intervals[edge], len(values) - 1
    if interval.low < 0 or interval.high > last:
        ends = Const.exact(0.0), Const.exact(float(last))
        edge = work.add(Clip(*ends), edge, suffix="index")
        work.notes.append(f"{work.spec.name}: numbers outside 0 to {last} get the nearest row")
    first, high = work.builder.intervals[edge].low, work.builder.intervals[edge].high
    return work.add(Table(first, Const(const.codes[first : high + 1], const.type)), edge)


def whole_number(work: Work, edge: str) -> str:
    """Cut to whole numbers towards zero, on a grid of whole numbers."""
    kind, interval = work.builder.edges[edge].type, work.builder.intervals[edge]
    if kind.frac == 0:
        return edge
    low, high = int(interval.low * kind.lsb), int(interval.high * kind.lsb)
    whole = Fixed.holding(low, high, 0)
    op = Quantize(whole, Rounding.TRN_ZERO, Overflow.SAT)
    return work.add(op, edge, suffix="whole")


def _rows(work: Work, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Const:
    const = Const.exact(values)
    bits = work.options.float_bits
    if const.type.width > bits:
        const = round_const(const, bits)
        work.reasons.append(f"its vectors are rounded to {const.type}")
    work.kernels.append((values, const))
    return const
