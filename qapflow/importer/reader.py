"""Follow the calls of an hls4ml top function: variables become edges of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from qapflow.errors import Unsupported, UsageError
from qapflow.importer.sources import Call, CType, Sources, parse_type, size_of
from qapflow.importer.weights import cast_values, read_weights
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Codes, Fixed, Overflow
from qapflow.ir.interval import overflows
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Quantize, Reshape
from qapflow.plan import Choice

_AT = "firmware"
_CONVERT = "build the model file itself with qapflow build, which has its own kernel for it"


class Refused(Exception):
    """A layer that no network computes as its firmware does."""

    def __init__(self, reason: str, hint: str = _CONVERT) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


Handler = Callable[["Reader", Call], None]


def _unknown(_: Reader, call: Call) -> None:
    raise Refused(f"the importer does not know nnet::{call.function}")


class Reader:
    """Follows the calls of the top function, one after the other.

    With `exact`, products that the firmware cuts are cut one by one; else sums of products stay one
    node in the type of the accumulator, as estimates want them, and `inexact` says so.
    """

    def __init__(self, sources: Sources, exact: bool) -> None:
        self.sources = sources
        self.exact = exact
        self.builder = NetBuilder()
        self.edges: dict[str, str] = {}  # variable -> node
        self.sums: dict[str, Fixed] = {}  # node -> the type its sums are made in
        self.choices: dict[str, Choice] = {}
        self.inexact: list[Unsupported] = []
        self.unknown: list[Unsupported] = []
        self.layer_of: dict[str, str] = {}
        self.made: set[str] = set()  # variables that calls make
        self.lost: set[str] = set()  # variables of calls that cannot be read
        self.last = ""

    def read(self, handlers: Mapping[str, Handler]) -> None:
        """Translate every call; those that cannot be are listed in `unknown`, all of them.

        What such a layer makes is an input of the network for the layers behind it.
        """
        for call in self.sources.calls:
            try:
                handlers.get(call.function, _unknown)(self, call)
            except Refused as why:
                found = Unsupported(call.name, call.function, why.reason, why.hint)
                self.unknown.append(found)
                self.lost |= set(call.arguments)
        if not self.unknown and not self.made.intersection(self.sources.ports):
            what = "no output of the top function is made by a layer"
            self.unknown.append(Unsupported(self.sources.top, "top function", what, _CONVERT))

    def net(self) -> Net:
        """Return the network; sums that the firmware cuts short have the firmware's type."""
        ports = [name for name in self.sources.ports if name in self.made]
        outputs = tuple(self.edges[name] for name in ports) or (self.last,)
        net = self.builder.finish(outputs)
        if not self.inexact:
            return net
        nodes = tuple(
            Node(n.name, n.op, n.inputs, Edge(n.out.shape, self.sums[n.name]), n.origin)
            if n.name in self.sums
            else n
            for n in net.nodes
        )
        return Net(nodes, net.outputs)

    def source(self, call: Call, shape: tuple[int, ...], place: int = 0) -> str:
        """Return the node behind an argument as [*shape]; what no call made is an input."""
        name = call.arguments[place]
        while name not in self.edges and name in self.sources.aliases:
            name = self.sources.aliases[name]
        if name not in self.edges:
            if name not in self.sources.ports and name not in self.lost:
                what = f"{name} is made by code that is no layer of hls4ml"
                self.unknown.append(Unsupported(call.name, call.function, what, _CONVERT))
            kind = self.type_of(call.templates[min(place, len(call.templates) - 1)])
            self.edges[name] = self.builder.add_input(name, shape, kind.fixed)
        return self.reshape(call, self.edges[name], shape)

    def reshape(self, call: Call, edge: str, shape: tuple[int, ...]) -> str:
        """Return the edge as [*shape]: arrays of the firmware are flat, channels last."""
        have = self.builder.edges[edge].shape
        if have == shape:
            return edge
        if math.prod(have) != math.prod(shape):
            what = f"{list(have)} values reach a layer that reads {list(shape)}"
            raise UsageError(what, f"{_AT}, {call.name}")
        return self.builder.add(f"{call.name}_shape", Reshape(shape), edge, origin=call.name)

    def finish(self, call: Call, edge: str, out: str, place: int = 1) -> None:
        """Cast to the type of the output and bind the variable."""
        made = self.quantize(call, edge, self.type_of(out), f"{call.name}_out")
        self.bind(call.arguments[place], made)

    def bind(self, variable: str, edge: str) -> None:
        """Note which node makes a variable."""
        self.edges[variable] = self.last = edge
        self.made.add(variable)

    def type_of(self, name: str) -> CType:
        """Return a named type."""
        found = self.sources.types.get(name) or parse_type(name)
        if found is None:
            raise UsageError(f"defines.h has no fixed-point type {name!r}", _AT)
        return found

    def has_type(self, name: str) -> bool:
        """Tell whether a name is a fixed-point type."""
        return name in self.sources.types or parse_type(name) is not None

    def config(self, call: Call) -> dict[str, str]:
        """Return the members of a call's configuration."""
        return self.named_config(call.templates[-1])

    def named_config(self, name: str) -> dict[str, str]:
        """Return the members of a configuration."""
        found = self.sources.configs.get(name.rpartition("::")[2])
        if found is None:
            raise UsageError(f"parameters.h has no {name!r}", _AT)
        return dict(found)

    def number(self, config: Mapping[str, str], key: str, default: int | None = None) -> int:
        """Return a size of a configuration; members may be products of others."""
        if key not in config:
            if default is not None:
                return default
            raise UsageError(f"a configuration has no {key}", _AT)
        text = config[key]
        known = dict(self.sources.numbers)
        for part in text.replace("*", " ").split():
            if part in config and part != key:
                known[part] = self.number(config, part)
        return size_of(text, known)

    def constants(self, call: Call, place: int, kind: CType, count: int) -> Codes:
        """Return `count` weights, named by an argument, as the compiler casts them."""
        name = call.arguments[place]
        values = read_weights(self.sources.folder / "weights" / f"{name}.h")
        if len(values) != count:
            what = f"{len(values)} weights in {name} for a layer of {count}"
            raise UsageError(what, f"{_AT}, {call.name}")
        return cast_values(values, kind)

    def quantize(self, call: Call, edge: str, kind: CType, name: str) -> str:
        """Add a cast, unless it changes nothing."""
        have = self.builder.edges[edge].type
        if kind.fixed.contains(have):
            return edge
        op = Quantize(kind.fixed, kind.rounding, kind.overflow)
        return self.builder.add(name, op, edge, origin=call.name)

    def holds(self, edge: str, kind: CType) -> bool:
        """Tell whether a type has every value an edge can carry, partial sums included."""
        have = self.builder.edges[edge].type
        if kind.fixed.frac < have.frac:
            return False
        op = Quantize(kind.fixed, kind.rounding, Overflow.SAT)
        return not overflows(op, self.builder.edges[edge], self.builder.intervals[edge])

    @property
    def stream(self) -> bool:
        """Tell whether layers are connected by streams."""
        return any("io_stream" in c.get("io_type", "") for c in self.sources.configs.values()) or (
            any(kind.lanes > 1 for kind in self.sources.types.values())
        )
