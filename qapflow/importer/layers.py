"""Layers of an hls4ml top function as nodes: what they compute, in the types of the firmware."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from qapflow.errors import Unsupported, UsageError
from qapflow.importer.sources import Call, CType, Sources, read_weights, size_of
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Codes, Fixed, cast
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Clip, Const, Dense, Quantize
from qapflow.plan import Choice

_AT = "firmware"


class Reader:
    """Follows the calls of the top function, one after the other."""

    def __init__(self, sources: Sources, weights: Path) -> None:
        self.sources = sources
        self.weights = weights
        self.builder = NetBuilder()
        self.edges: dict[str, str] = {}  # variable -> node
        self.sums: dict[str, Fixed] = {}  # node -> the type its sums are made in
        self.choices: dict[str, Choice] = {}
        self.inexact: list[Unsupported] = []
        self.unknown: list[Unsupported] = []
        self.last = ""
        self.layer_of: dict[str, str] = {}

    def read(self) -> None:
        """Translate every call; what is not known is listed in `unknown`."""
        for call in self.sources.calls:
            read = _READERS.get(call.function)
            if read is None:
                reason = "the importer does not know this function"
                self.unknown.append(Unsupported(call.name, call.function, reason))
                return
            read(self, call)
            self.last = self.edges[call.arguments[1]]

    def net(self) -> Net:
        """Return the network; sums that the firmware cuts short have the firmware's type."""
        net = self.builder.finish((self.last,))
        if not self.inexact:
            return net
        nodes = tuple(
            Node(n.name, n.op, n.inputs, Edge(n.out.shape, self.sums[n.name]), n.origin)
            if n.name in self.sums
            else n
            for n in net.nodes
        )
        return Net(nodes, net.outputs)

    def source(self, call: Call, size: int) -> str:
        """Return the node behind a call's first argument, which may be an input."""
        name = call.arguments[0]
        if name not in self.edges:
            kind = self.type_of(call.templates[0])
            self.edges[name] = self.builder.add_input(name, (size,), kind.fixed)
        return self.edges[name]

    def type_of(self, name: str) -> CType:
        """Return a named type."""
        found = self.sources.types.get(name)
        if found is None:
            raise UsageError(f"defines.h has no fixed-point type {name!r}", _AT)
        return found

    def config(self, call: Call) -> dict[str, str]:
        """Return the members of a call's configuration."""
        found = self.sources.configs.get(call.templates[-1])
        if found is None:
            raise UsageError(f"parameters.h has no {call.templates[-1]!r}", _AT)
        return dict(found)

    def number(self, config: dict[str, str], key: str) -> int:
        """Return a size of a configuration."""
        if key not in config:
            raise UsageError(f"a configuration has no {key}", _AT)
        return size_of(config[key], self.sources.numbers)

    def quantize(self, call: Call, edge: str, kind: CType, name: str) -> str:
        """Add a cast, unless it changes nothing."""
        have = self.builder.edges[edge].type
        if kind.fixed.contains(have):
            return edge
        op = Quantize(kind.fixed, kind.rounding, kind.overflow)
        return self.builder.add(name, op, edge, origin=call.name)

    def refuse(self, call: Call, reason: str) -> None:
        """Note that the network is not exact."""
        self.inexact.append(Unsupported(call.name, call.function, reason))


def _dense(reader: Reader, call: Call) -> None:
    config = reader.config(call)
    shape = (reader.number(config, "n_in"), reader.number(config, "n_out"))
    source = reader.source(call, shape[0])
    strategy = config.get("strategy", "nnet::latency").rpartition("::")[2]
    codes, bias = _constants(reader, call, config, shape, strategy)
    name = reader.builder.add(call.name, Dense(codes, bias), source, origin=call.name)
    reuse = reader.number(config, "reuse_factor")
    known = strategy in ("latency", "resource", "distributed_arithmetic")
    if not known:
        reader.refuse(call, f"strategy {strategy} has no plan")
    chosen = strategy if known else "latency"
    reader.choices[name] = Choice(chosen, reuse)  # type: ignore[arg-type]
    reader.layer_of[call.templates[-1]] = name
    sums = reader.type_of(config["accum_t"])
    reader.sums[name] = sums.fixed
    _check_sums(reader, call, source, codes, bias, sums)
    summed = reader.quantize(call, name, sums, f"{call.name}_sum")
    out = reader.quantize(call, summed, reader.type_of(call.templates[1]), f"{call.name}_out")
    reader.edges[call.arguments[1]] = out


def _constants(
    reader: Reader, call: Call, config: dict[str, str], shape: tuple[int, int], strategy: str
) -> tuple[Const, Const | None]:
    """Return weights [n_in, n_out] and bias as the compiler casts them."""
    kind, bias_kind = reader.type_of(config["weight_t"]), reader.type_of(config["bias_t"])
    values = read_weights(reader.weights / f"{call.arguments[2]}.h")
    if len(values) != math.prod(shape):
        what = f"{len(values)} weights for {shape[0]} x {shape[1]}"
        raise UsageError(what, f"{_AT}, {call.name}")
    flat = cast_values(values, kind)
    # Shared multipliers read their weights output by output.
    matrix = flat.reshape(shape[::-1]).T if strategy == "resource" else flat.reshape(shape)
    offsets = cast_values(read_weights(reader.weights / f"{call.arguments[3]}.h"), bias_kind)
    bias = Const(offsets, bias_kind.fixed) if offsets.any() else None
    return Const(matrix, kind.fixed), bias


def _check_sums(
    reader: Reader, call: Call, source: str, weight: Const, bias: Const | None, sums: CType
) -> None:
    """Products cut to the accumulator's grid, or sums that saturate, are no exact sum."""
    grid = reader.builder.edges[source].type.frac + weight.type.frac
    lost = max(grid, bias.type.frac if bias else grid) - sums.fixed.frac
    if lost > 0:
        reader.refuse(call, f"its accumulator drops {lost} bits of every product")
    elif str(sums.overflow) != "WRAP":
        reader.refuse(call, "its accumulator saturates after every addition")


def cast_values(values: list[Fraction], kind: CType) -> Codes:
    """Return the codes that the C++ compiler makes of literals of type double."""
    frac = max(kind.fixed.frac, 0)
    deep = frac + 60  # a double of these magnitudes ends within 60 bits below the grid
    exact = [Fraction(float(value)) * 2**deep for value in values]
    raw = np.array([math.floor(value) for value in exact], object)
    wide = Fixed(True, 128 + deep, deep)
    return np.asarray(cast(raw, wide.frac, kind.fixed, kind.rounding, kind.overflow), np.int64)


def _relu(reader: Reader, call: Call) -> None:
    source = reader.source(call, reader.number(reader.config(call), "n_in"))
    zero = Const(np.zeros((), np.int64), Fixed(False, 1, 0))
    name = reader.builder.add(call.name, Clip(zero, None), source, origin=call.name)
    kind = reader.type_of(call.templates[1])
    reader.edges[call.arguments[1]] = reader.quantize(call, name, kind, f"{call.name}_out")


def _linear(reader: Reader, call: Call) -> None:
    source = reader.source(call, reader.number(reader.config(call), "n_in"))
    kind = reader.type_of(call.templates[1])
    reader.edges[call.arguments[1]] = reader.quantize(call, source, kind, call.name)


_READERS: dict[str, Callable[[Reader, Call], None]] = {
    "dense": _dense,
    "relu": _relu,
    "linear": _linear,
}
