"""Where quantizers lose bits: counted by the interpreter, on every sample.

A quantizer rounds (low bits are lost) and may then leave the range of its type (high bits are
lost). Both are read off the codes before it, which only the interpreter knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import Codes, overflow, round_ratio
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Net
from qapflow.ir.ops import Quantize, Scan
from qapflow.ir.semantics import evaluate, run_scan
from qapflow.verify.coverage import chunks, ratio

INSIDE = "/"  # between the name of a loop and that of a node of its body


@dataclass(frozen=True)
class Losses:
    """What one quantizer lost: `above` and `below` left the range, `rounded` lost low bits.

    `first_above` and `first_below` are the first samples with such a value, None without one.
    """

    values: int = 0
    above: int = 0
    below: int = 0
    rounded: int = 0
    first_above: int | None = None
    first_below: int | None = None


def exceed(op: Quantize, codes: Codes, frac: int) -> NDArray[np.int8]:
    """Tell which codes on the grid 2**-frac leave the range once rounded: 1 above, -1 below."""
    above, divisor = ratio(op, codes, frac)
    rounded = round_ratio(above, divisor, op.rounding)
    return _side(rounded, overflow(rounded, op.type, op.overflow))


def _side(rounded: Codes, kept: Codes) -> NDArray[np.int8]:
    more = np.asarray(rounded > kept, bool).astype(np.int8)
    return more - np.asarray(rounded < kept, bool).astype(np.int8)


def count(op: Quantize, codes: Codes, frac: int, start: int = 0) -> Losses:
    """Count the losses of codes [n, ...]; `start` is the number of the first sample."""
    above, divisor = ratio(op, codes, frac)
    rounded = round_ratio(above, divisor, op.rounding)
    side = _side(rounded, overflow(rounded, op.type, op.overflow))
    rows = side.reshape(len(side), -1)
    first = [np.flatnonzero((rows == sign).any(axis=1)) for sign in (1, -1)]
    return Losses(
        values=side.size,
        above=int(np.count_nonzero(side > 0)),
        below=int(np.count_nonzero(side < 0)),
        rounded=int(np.count_nonzero(rounded * divisor != above)),
        first_above=start + int(first[0][0]) if len(first[0]) else None,
        first_below=start + int(first[1][0]) if len(first[1]) else None,
    )


def count_losses(net: Net, inputs: Mapping[str, Codes]) -> dict[str, Losses]:
    """Count the losses of every quantizer on inputs [n, *shape], those in loop bodies too."""
    places = quantizers(net)
    found = {name: Losses() for name in places}
    samples = min((len(array) for array in inputs.values()), default=0)
    for part in chunks(net, samples):
        edges = every_edge(net, {name: array[part] for name, array in inputs.items()})
        for name, (op, source, frac) in places.items():
            found[name] = _add(found[name], count(op, edges[source], frac, part.start))
    return found


def _add(a: Losses, b: Losses) -> Losses:
    return replace(
        a,
        values=a.values + b.values,
        above=a.above + b.above,
        below=a.below + b.below,
        rounded=a.rounded + b.rounded,
        first_above=b.first_above if a.first_above is None else a.first_above,
        first_below=b.first_below if a.first_below is None else a.first_below,
    )


def quantizers(net: Net, prefix: str = "") -> dict[str, tuple[Quantize, str, int]]:
    """Return operation, source edge and its grid of every quantizer, bodies of loops included."""
    found: dict[str, tuple[Quantize, str, int]] = {}
    for node in net.nodes:
        if isinstance(node.op, Quantize):
            (source,) = node.inputs
            frac = net.edge(source).type.frac
            found[prefix + node.name] = (node.op, prefix + source, frac)
        elif isinstance(node.op, Scan):
            found |= quantizers(node.op.body, f"{prefix}{node.name}{INSIDE}")
    return found


def every_edge(net: Net, inputs: Mapping[str, Codes]) -> dict[str, Codes]:
    """Return the codes of all edges; those in bodies of loops are [n, steps, *shape]."""
    edges = interpret(net, inputs, keep="all")
    for node in net.nodes:
        if isinstance(node.op, Scan):
            sources = tuple(edges[name] for name in node.inputs)
            inner = _body_edges(node.op, sources)
            edges |= {f"{node.name}{INSIDE}{name}": codes for name, codes in inner.items()}
    return edges


def _body_edges(op: Scan, codes: tuple[Codes, ...]) -> dict[str, Codes]:
    seen: dict[str, list[Codes]] = {}

    def step(values: dict[str, Codes]) -> dict[str, Codes]:
        for name, made in _run_body(op.body, values):
            seen.setdefault(name, []).append(made)
        return values

    run_scan(op, codes, step)
    return {name: np.stack(parts, axis=1) for name, parts in seen.items()}


def _run_body(body: Net, values: dict[str, Codes]) -> Iterator[tuple[str, Codes]]:
    """Run one step, adding to `values`; yield every edge, those of loops inside too."""
    for node in body.nodes:
        if node.inputs:
            sources = tuple(body.edge(name) for name in node.inputs)
            arguments = tuple(values[name] for name in node.inputs)
            values[node.name] = evaluate(node.op, node.out, sources, arguments)
            if isinstance(node.op, Scan):
                for name, codes in _body_edges(node.op, arguments).items():
                    yield f"{node.name}{INSIDE}{name}", codes
        yield node.name, values[node.name]
