"""Samples as the bits of transfers, and back; when transfers wait."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import INT64_BITS, Codes
from qapflow.rtl.design import Port

CHUNK = 1 << 22  # values unpacked into bits at a time


@dataclass(frozen=True)
class Stalls:
    """Percent of cycles in which a sample is held back before the core, or not taken behind it.

    `seed` is that of the shift register that chooses them.
    """

    gap_percent: int = 0
    backpressure_percent: int = 0
    seed: int = 1


def word_count(port: Port) -> int:
    """Return the 32-bit words of one transfer; at least two above 32 bits."""
    return -(-port.bits // 32)


def pack(port: Port, codes: Codes) -> NDArray[np.uint32]:
    """Return transfers [n * beats, words] of codes [n, *shape], least significant word first."""
    rows = np.asarray(codes).reshape(-1, port.values)
    size, step = 32 * word_count(port), max(1, CHUNK // max(port.bits, 1))
    parts = []
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        places = np.arange(port.type.width, dtype=part.dtype if part.dtype != object else object)
        bits = ((part[:, :, None] >> places) & 1).astype(np.uint8).reshape(len(part), -1)
        padded = np.zeros((len(part), size), np.uint8)
        padded[:, : bits.shape[1]] = bits
        parts.append(np.packbits(padded, axis=1, bitorder="little").view("<u4"))
    return np.concatenate(parts) if parts else np.zeros((0, size // 32), np.uint32)


def unpack(port: Port, words: NDArray[np.uint32], shape: tuple[int, ...]) -> Codes:
    """Return codes [n, *shape] of transfers [n * beats, words].

    `shape` is that of the edge: beats * values elements a sample.
    """
    width, step = port.type.width, max(1, CHUNK // max(port.bits, 1))
    parts = []
    for start in range(0, len(words), step):
        part = np.ascontiguousarray(words[start : start + step], "<u4").view(np.uint8)
        bits = np.unpackbits(part, axis=1, bitorder="little")[:, : port.bits]
        values = bits.reshape(len(bits), port.values, width)
        kind = object if width > INT64_BITS else np.int64
        weights = np.array([1 << i for i in range(width)], object)
        if port.type.signed:
            weights[-1] = -weights[-1]
        parts.append(values.astype(kind) @ weights.astype(kind))
    kind = object if width > INT64_BITS else np.int64
    rows = np.concatenate(parts) if parts else np.zeros((0, port.values), kind)
    return np.asarray(rows).reshape(-1, *shape) if prod(shape) else rows
