"""Find the nodes that a user's choices mean, and say so when there are none."""

from __future__ import annotations

import difflib

from qapflow.errors import UsageError
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Conv, Dense
from qapflow.plan.overrides import LayerOverride, Overrides
from qapflow.plan.reuse import (
    has_weights,
    is_depthwise,
    multiplier_shape,
    nearest,
    valid_reuse_factors,
)


def match_overrides(net: Net, given: Overrides, model: LayerOverride) -> dict[str, LayerOverride]:
    """Return what the user fixed for each node with weights, the narrowest setting first.

    `model` holds for all layers; a reuse factor there must be valid in every layer it reaches.

    Raises:
        UsageError: a layer or class that the network does not have.
    """
    nodes = [node for node in net.nodes if has_weights(node)]
    by_class = {n.name: o for key, o in given.classes.items() for n in _of_class(nodes, key, o.at)}
    by_name = {n.name: o for key, o in given.layers.items() for n in _named(net, nodes, key, o.at)}
    merged = {}
    shared = []
    for node in nodes:
        own = (by_name.get(node.name, LayerOverride()), by_class.get(node.name, LayerOverride()))
        layers = (*own, model)
        merged[node.name] = LayerOverride(
            next((o.strategy for o in layers if o.strategy), None),
            next((o.reuse_factor for o in layers if o.reuse_factor), None),
            model.at,
        )
        if not any(o.reuse_factor for o in own):
            shared.append(node)
    _check_shared(shared, merged, model)
    return merged


def _check_shared(
    nodes: list[Node], merged: dict[str, LayerOverride], model: LayerOverride
) -> None:
    """Refuse a reuse factor for all layers that some cannot have, with one that all can have."""
    factor = model.reuse_factor
    nodes = [n for n in nodes if merged[n.name].strategy in (None, "resource")]
    if factor is None or factor == 1 or not nodes:
        return
    wrong = [n for n in nodes if factor not in valid_reuse_factors(n)]
    if not wrong:
        return
    common = sorted(set.intersection(*(set(valid_reuse_factors(n)) for n in nodes)))
    each = "; ".join(
        f"{n.origin or n.name} {multiplier_shape(n)[0]}x{multiplier_shape(n)[1]}: nearest "
        + " or ".join(map(str, nearest(valid_reuse_factors(n), factor)))
        for n in wrong
    )
    close = " or ".join(map(str, nearest(tuple(common), factor)))
    what = f"reuse factor {factor} is not valid in every layer ({each})"
    hint = f"{close}, the nearest that all layers can have, or one a layer in a plan file"
    raise UsageError(what, model.at, hint)


def _class_names(node: Node) -> set[str]:
    op = node.op
    if isinstance(op, Dense):
        return {"dense", "qdense"}
    if not isinstance(op, Conv):
        return set()
    rank = op.weight.codes.ndim - 2
    kind = "depthwiseconv" if is_depthwise(node) else "conv"
    plain = f"{kind}{rank}d"
    return {plain, f"q{plain}", f"q{plain}batchnorm"}


def _of_class(nodes: list[Node], key: str, at: str) -> list[Node]:
    found = [node for node in nodes if key.casefold() in _class_names(node)]
    if found:
        return found
    known = sorted({name for node in nodes for name in _class_names(node)})
    close = difflib.get_close_matches(key.casefold(), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"the model has {', '.join(known)}"
    raise UsageError(f"no layer with weights has the class {key!r}", at, hint)


def _named(net: Net, nodes: list[Node], key: str, at: str) -> list[Node]:
    found = [node for node in nodes if key in (node.name, node.origin)]
    if found:
        return found
    known = sorted({node.origin or node.name for node in nodes})
    if any(key in (node.name, node.origin) for node in net.nodes):
        what = f"layer {key!r} has no weights, so neither strategy nor reuse factor"
        raise UsageError(what, at, f"layers with weights are {', '.join(known)}")
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"layers with weights are {', '.join(known)}"
    raise UsageError(f"the model has no layer {key!r}", at, hint)
