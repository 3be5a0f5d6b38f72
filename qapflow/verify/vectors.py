"""Verification vectors: corners, samples driven to each layer's edge cases, random, the user's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.ir.fixed import Codes, shrink
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Clip, Quantize, Reshape, Table, Threshold
from qapflow.verify.coverage import chunks, tie_mask, will_saturate

POOL = 2048  # random samples searched for ties and saturations
FEW = 4  # samples below which all are random
PROBED_COLUMNS = 1024  # input elements whose influence is measured one by one
PROBED_ELEMENTS = 4  # elements of each quantizer that are driven to both ends
ONE_HOTS = 32  # input elements that are alone non-zero once


@dataclass(frozen=True, eq=False)
class Vectors:
    """Input codes by name, each [n, *shape], and for each sample what it was made for."""

    codes: Mapping[str, Codes]
    tags: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tags)

    def head(self, count: int) -> Vectors:
        """Return the first `count` samples."""
        return Vectors({k: v[:count] for k, v in self.codes.items()}, self.tags[:count])

    def where(self, tag: str) -> Vectors:
        """Return the samples with this tag."""
        keep = np.array([t == tag for t in self.tags], bool)
        return Vectors({k: v[keep] for k, v in self.codes.items()}, (tag,) * int(keep.sum()))


def make_vectors(
    net: Net, count: int = 1000, seed: int = 0, user: Mapping[str, Codes] | None = None
) -> Vectors:
    """Return `count` samples made for this network and then all of the user's.

    The first quarter at most are corners, the next quarter at most were searched for: the smallest
    and largest sums of each quantizer's input, saturations and rounding ties. The rest is random:
    half uniform over all codes, half small (normal, of several widths). Below 4 all are
    random.

    Raises:
        UsageError: `count` is negative or `user` does not have the inputs of the network.
    """
    if count < 0:
        raise UsageError(f"the number of vectors cannot be {count}", hint="give 0 or more")
    flat = Flat(net)
    rng = np.random.default_rng(seed)
    rows, tags = _corners(flat)
    room = max(1, count // 4) if count >= FEW else 0  # zeros would be the first, and tell least
    rows, tags = rows[:room], tags[:room]
    if count >= 16:
        found, names = _directed(flat, rng, count // 4)
        rows, tags = np.concatenate([rows, found]), [*tags, *names]
    rest = max(0, count - len(tags))
    uniform = flat.uniform(rng, rest - rest // 2)
    small = flat.small(rng, rest // 2)
    rows = np.concatenate([rows, uniform, small])[:count]
    tags = [*tags, *["random"] * len(uniform), *["small random"] * len(small)][:count]
    codes = flat.split(rows)
    if user:
        codes, added = _append(net, codes, user)
        tags += ["user"] * added
    return Vectors(codes, tuple(tags))


def input_range(net: Net, node: Node) -> tuple[int, int]:
    """Return the lowest and the highest code of an input that mean something.

    Where all that reads an input looks rows up in tables, Keras fails on numbers without a row.
    """
    low, high = node.out.type.lo, node.out.type.hi
    pending = [node.name]
    while pending:
        name = pending.pop()
        readers = [reader for reader in net.nodes if name in reader.inputs]
        if not readers or name in net.outputs:
            return node.out.type.lo, node.out.type.hi
        for reader in readers:
            if isinstance(reader.op, Table) and reader.op.values.codes.ndim == 2:
                shift = node.out.type.frac - net.edge(name).type.frac
                last = reader.op.first + len(reader.op.values.codes) - 1
                low, high = max(low, reader.op.first << shift), min(high, last << shift)
            elif isinstance(reader.op, Clip | Reshape | Quantize):
                pending.append(reader.name)
            else:
                return node.out.type.lo, node.out.type.hi
    return low, high


class Flat:
    """All inputs of a network side by side: one row a sample, one column an input element."""

    def __init__(self, net: Net) -> None:
        self.net = net
        sizes = [prod(node.out.shape) for node in net.inputs]
        wide = any(node.out.type.width > 62 for node in net.inputs)
        self.dtype = np.dtype(object if wide else np.int64)
        ranges = [input_range(net, node) for node in net.inputs]
        self.low = self._columns([low for low, _ in ranges], sizes)
        self.high = self._columns([high for _, high in ranges], sizes)
        self.size = sum(sizes)

    def _columns(self, values: list[int], sizes: list[int]) -> Codes:
        parts = [np.full(n, v, self.dtype) for v, n in zip(values, sizes, strict=True)]
        return np.concatenate(parts)

    def split(self, rows: Codes) -> dict[str, Codes]:
        """Return rows [n, columns] as codes by input name."""
        result, start = {}, 0
        for node in self.net.inputs:
            stop = start + prod(node.out.shape)
            block = shrink(rows[:, start:stop])
            result[node.name] = np.ascontiguousarray(block).reshape(len(rows), *node.out.shape)
            start = stop
        return result

    def clip(self, rows: Codes) -> Codes:
        """Return rows with every code inside its column's range."""
        return np.minimum(np.maximum(rows.astype(self.dtype), self.low), self.high)

    def uniform(self, rng: np.random.Generator, count: int) -> Codes:
        """Draw every code of a column equally likely."""
        if self.dtype == np.int64:
            return rng.integers(self.low, self.high, (count, self.size), np.int64, endpoint=True)
        bits = rng.integers(0, 1 << 62, (count, self.size, 3), np.int64).astype(object)
        value = bits[..., 0] + (bits[..., 1] << 62) + (bits[..., 2] << 124)
        return np.asarray(self.low + value % (self.high - self.low + 1))

    def small(self, rng: np.random.Generator, count: int) -> Codes:
        """Draw normally around zero, each sample as wide as 1 code to a quarter of the range."""
        span = (self.high - self.low).astype(np.float64)
        power = rng.uniform(0, 1, (count, 1))
        deviation = np.maximum(span / 4, 1) ** power
        rows = np.rint(rng.normal(0, 1, (count, self.size)) * deviation)
        if self.dtype == object:
            return self.clip(np.vectorize(int, otypes=[object])(rows) if rows.size else rows)
        return self.clip(np.clip(rows, -(2.0**62), 2.0**62))


def _corners(flat: Flat) -> tuple[Codes, list[str]]:
    """Return the fixed corner samples, the most telling first."""
    zero = np.zeros(flat.size, flat.dtype)
    even = np.arange(flat.size) % 2 == 0
    rows = [zero, flat.low, flat.high]
    tags = ["zero", "minimum", "maximum"]
    for first, second in ((flat.low, flat.high), (flat.high, flat.low)):
        rows.append(np.where(even, first, second))
        tags.append("alternating extremes")
    for step in (1, -1):
        rows.append(flat.clip(zero + step))
        tags.append("single lsb")
    rows += [flat.clip(flat.low + 1), flat.clip(flat.high - 1)]
    tags += ["next to minimum", "next to maximum"]
    picked = np.unique(np.linspace(0, flat.size - 1, min(ONE_HOTS, flat.size)).astype(int))
    for column in picked:
        for value in (flat.high, flat.low):
            row = zero.copy()
            row[column] = value[column]
            rows.append(row)
            tags.append("one-hot extremes")
    return np.stack(rows), tags


def _directed(flat: Flat, rng: np.random.Generator, room: int) -> tuple[Codes, list[str]]:
    """Return at most `room` samples that were searched for, shared out among the quantizers."""
    quantizers = [node for node in flat.net.nodes if isinstance(node.op, Quantize)]
    groups = [*_extremes(flat, rng), *_selected(flat, quantizers, rng, room)]
    rows: list[Codes] = []
    tags: list[str] = []
    depth = max((len(group) for _, group in groups), default=0)
    for rank in range(depth):
        for tag, group in groups:
            if rank < len(group) and len(rows) < room:
                rows.append(group[rank])
                tags.append(tag)
    empty = np.zeros((0, flat.size), flat.dtype)
    return (np.stack(rows) if rows else empty), tags


def _extremes(flat: Flat, rng: np.random.Generator) -> list[tuple[str, Codes]]:
    """Drive elements of each sum that is quantized, looked up or given out to both ends.

    The influence of every input element is measured by moving it alone; a sample with each input
    at the end its influence points to is extreme exactly where the network is linear up to that
    sum (every first layer) and a good guess beyond.
    """
    columns = np.arange(flat.size)
    if flat.size > PROBED_COLUMNS:
        columns = np.sort(rng.choice(flat.size, PROBED_COLUMNS, replace=False))
    base = np.zeros(flat.size, flat.dtype)
    rows = np.repeat(base[None], len(columns) + 1, axis=0)
    rows[np.arange(len(columns)) + 1, columns] = flat.high[columns]
    sums = _sums(flat.net)
    wanted = {edge: _elements(flat.net.edge(edge).shape, rng) for edge in sums}
    seen: dict[str, list[Codes]] = {edge: [] for edge in sums}
    for _, edges in _run(flat, rows):
        for edge, elements in wanted.items():
            seen[edge].append(edges[edge].reshape(len(edges[edge]), -1)[:, elements])
    groups = []
    for edge, origin in sums.items():
        pre = np.concatenate(seen[edge])
        influence = np.zeros((pre.shape[1], flat.size), np.int8)
        influence[:, columns] = np.sign(pre[1:] - pre[0]).astype(np.int8).T
        top = np.where(influence > 0, flat.high, np.where(influence < 0, flat.low, base))
        bottom = np.where(influence > 0, flat.low, np.where(influence < 0, flat.high, base))
        groups.append((f"largest sums of {origin}", top))
        groups.append((f"smallest sums of {origin}", bottom))
    return groups


def _sums(net: Net) -> dict[str, str]:
    """Return edges that are quantized, looked up or given out, with the layer they belong to."""
    steps = [node for node in net.nodes if isinstance(node.op, Quantize | Table | Threshold)]
    found = {node.inputs[0]: node.origin for node in steps}
    ends = set(net.outputs) - {node.name for node in steps} - found.keys()
    found |= {node.name: node.origin for node in net.nodes if node.name in ends}
    inputs = {node.name for node in net.inputs}
    return {edge: origin for edge, origin in found.items() if edge not in inputs}


def _elements(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.intp]:
    """Return flat places of some channels in the middle of the other axes, away from padding."""
    places = np.arange(prod(shape)).reshape(shape)
    middle = places[tuple(n // 2 for n in shape[:-1])].reshape(-1)
    return np.sort(rng.permutation(middle)[:PROBED_ELEMENTS])


def _selected(
    flat: Flat, quantizers: list[Node], rng: np.random.Generator, room: int
) -> list[tuple[str, Codes]]:
    """Pick from a random pool the samples with most ties and most saturations a quantizer."""
    keep = max(1, room // max(1, 4 * len(quantizers)))
    size = min(POOL, 8 * room)
    pool = np.concatenate([flat.uniform(rng, size // 2), flat.small(rng, size - size // 2)])
    scores: dict[tuple[str, str], list[Codes]] = {}
    for _, edges in _run(flat, pool):
        for node in quantizers:
            assert isinstance(node.op, Quantize)
            codes, frac = edges[node.inputs[0]], flat.net.edge(node.inputs[0]).type.frac
            for kind, mask in (
                ("rounding ties", tie_mask(node.op, codes, frac)),
                ("saturation", will_saturate(node.op, codes, frac)),
            ):
                score = mask.reshape(len(mask), -1).sum(axis=1)
                scores.setdefault((kind, node.name), []).append(score)
    groups = []
    for (kind, name), parts in scores.items():
        score = np.concatenate(parts)
        order = np.argsort(-score, kind="stable")[:keep]
        best = order[score[order] > 0]
        groups.append((f"{kind} of {flat.net.by_name[name].origin}", pool[best]))
    return groups


def _run(flat: Flat, rows: Codes) -> Iterator[tuple[slice, dict[str, Codes]]]:
    """Evaluate rows in chunks that fit in memory, keeping every edge."""
    for part in chunks(flat.net, len(rows)):
        yield part, interpret(flat.net, flat.split(rows[part]), keep="all")


def _append(
    net: Net, codes: dict[str, Codes], user: Mapping[str, Codes]
) -> tuple[dict[str, Codes], int]:
    names = [node.name for node in net.inputs]
    if sorted(user) != sorted(names):
        raise UsageError(
            f"the given inputs are {', '.join(sorted(user))}, the network has {', '.join(names)}"
        )
    counts = {len(user[name]) for name in names}
    if len(counts) > 1:
        raise UsageError("the given inputs have different numbers of samples")
    for node in net.inputs:
        array = np.asarray(user[node.name])
        if array.shape[1:] != node.out.shape:
            raise UsageError(
                f"input {node.name!r} has shape {array.shape[1:]}, the network {node.out.shape}"
            )
    joined = {name: np.concatenate([codes[name], user[name]]) for name in names}
    return joined, counts.pop()
