"""Which Keras layer belongs to which edge, and how far a network promises equality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from qapflow.frontend.model import LayerRecord
from qapflow.ir.net import Net

Value = TypeVar("Value")


def exact_frontier(net: Net, records: Sequence[LayerRecord]) -> dict[str, str]:
    """Return edges and names of the last layers that no float layer comes before.

    Without float layers there is no frontier.
    """
    chosen = {record.edge for record in records if record.regime != "exact"}
    if not chosen:
        return {}
    inputs = {node.name for node in net.inputs}
    clear = clear_names(records)
    exact = {
        record.edge: clear[record.edge]
        for record in records
        if record.regime == "exact"
        and record.edge in clear
        and not record.inner
        and record.edge not in inputs
        and not ancestors(net, (record.edge,)) & chosen
    }
    before = {name for edge in exact for name in ancestors(net, net.by_name[edge].inputs)}
    return {edge: name for edge, name in exact.items() if edge not in before}


def clear_names(records: Sequence[LayerRecord]) -> dict[str, str]:
    """Return the name in Keras by edge, without layers of models that are called more than once."""
    short = {record.name: record.name.split("/")[-1] for record in records}
    count = Counter(short.values())
    return {r.edge: short[r.name] for r in records if count[short[r.name]] == 1}


def ancestors(net: Net, edges: Sequence[str]) -> set[str]:
    """Return the edges that these depend on, themselves included."""
    needed = set(edges)
    for node in reversed(net.nodes):
        if node.name in needed:
            needed |= set(node.inputs)
    return needed


def output_layers(net: Net, records: Sequence[LayerRecord]) -> dict[str, str]:
    """Return the name of the Keras layer that gives each output edge of the network."""
    last = {record.edge: record.name.split("/")[-1] for record in records}
    return {name: last[name] for name in net.outputs}


def matched(
    net: Net, records: Sequence[LayerRecord], layers: Mapping[str, Value]
) -> Iterator[tuple[LayerRecord, Value]]:
    """Yield records with the Keras output of the same layer, inner layers by their last name."""
    clear = clear_names(records)
    for record in records:
        name = clear.get(record.edge, "")
        if not record.inner and name in layers and record.edge in net.by_name:
            yield record, layers[name]
