"""Weights listed layer by layer, as HDF5 files and models in memory hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from qapflow.errors import UsageError
from qapflow.frontend.expected import Expected, expected_weights
from qapflow.frontend.graph import Layer, Model
from qapflow.frontend.stored import (
    BIDIRECTIONAL,
    LayerWeights,
    Named,
    holds_weights,
    name_weights,
)

Path = tuple[str, ...]
PRUNED = Expected((), ("mask", "threshold", "pruning_step"))


def assign_listed(
    model: Model, listed: Mapping[str, Named]
) -> tuple[dict[Path, LayerWeights], tuple[str, ...]]:
    """Return the weights of every layer by its path, and notes.

    `listed` holds the weights of each top-level layer in Keras' order: all trainable ones, then
    the others. A file whose layer names differ is matched by order, as Keras does.
    """
    own = {layer.stored_name: layer for layer in model.layers}
    stored = {name: named for name, named in listed.items() if named}
    notes: tuple[str, ...] = ()
    if not set(stored) <= set(own):
        stored, renamed = _by_order(model, stored)
        notes = (f"{renamed} layers of the weight file have other names: matched by order",)
    found: dict[Path, LayerWeights] = {}
    for name, layer in own.items():
        named = stored.get(name, ())
        if layer.model is None:
            found[layer.name,] = name_weights(layer, named)
        else:
            found.update(_assign_nested(layer.model, (layer.name,), named))
    return found, notes


def _by_order(model: Model, stored: Mapping[str, Named]) -> tuple[dict[str, Named], int]:
    weighted = [layer for layer in model.layers if _has_weights(layer)]
    if len(weighted) != len(stored):
        unknown = [name for name in stored if name not in {x.stored_name for x in model.layers}]
        raise UsageError(
            f"the weights of {len(stored)} layers do not belong to this architecture, which has "
            f"{len(weighted)} layers with weights",
            f"layer {unknown[0]!r} of the weights",
            "give the weights that were saved from this architecture",
        )
    pairs = list(zip(weighted, stored.items(), strict=True))
    matched = {layer.stored_name: named for layer, (_, named) in pairs}
    return matched, sum(layer.stored_name != name for layer, (name, _) in pairs)


def _has_weights(layer: Layer) -> bool:
    if layer.model is not None:
        return any(_has_weights(leaf) for _, leaf in layer.model.leaves())
    expected = _expected(layer)
    return layer.pruned or expected is None or bool(expected.names)


def _expected(layer: Layer) -> Expected | None:
    """Return the weights of a layer together with those of its wrappers."""
    inner = holds_weights(layer)
    if inner.class_name in BIDIRECTIONAL:
        return None
    expected = expected_weights(inner.class_name, inner.config)
    if expected is None or not layer.pruned:
        return expected
    masked = PRUNED.fixed if expected.trainable else ("pruning_step",)
    return Expected(expected.trainable, expected.fixed + masked)


def _assign_nested(model: Model, path: Path, named: Named) -> dict[Path, LayerWeights]:
    """Share out the weights of a nested model: by order where it is known, else by name."""
    leaves = [((*path, *tail), leaf) for tail, leaf in model.leaves()]
    shares = _share_by_order(model, path, named) or _share_by_name(leaves, named)
    if shares is None:
        raise UsageError(
            f"its {len(named)} weights cannot be told apart by order or by name",
            f"model {'/'.join(path)!r}",
            "save the model without nested models, or as .keras",
        )
    return {place: name_weights(leaf, shares.get(place, ())) for place, leaf in leaves}


def _share_by_order(model: Model, path: Path, named: Named) -> dict[Path, Named] | None:
    slots = list(_order(model, path, frozen=False))
    trainable = [(place, name) for place, name, group in slots if group]
    slots_in_order = trainable + [(place, name) for place, name, group in slots if not group]
    if any(name == "?" for _, name in slots_in_order) or len(slots_in_order) != len(named):
        return None
    shares: dict[Path, list[tuple[str, object]]] = {}
    for (place, name), (stored_name, array) in zip(slots_in_order, named, strict=True):
        last = stored_name.split(":")[0].split("/")[-1]
        if not _same(name, last):
            return None
        shares.setdefault(place, []).append((stored_name, array))
    return shares  # type: ignore[return-value]


def _same(name: str, stored: str) -> bool:
    """Tell whether a stored name can be this weight (Keras 3 has no `depthwise_kernel`)."""
    return stored == name or stored.startswith(f"{name}_") or name == f"depthwise_{stored}"


def _order(model: Model, path: Path, frozen: bool) -> Iterator[tuple[Path, str, bool]]:
    """Yield place, name and whether it is among the trainable ones, layer by layer."""
    frozen = frozen or not model.trainable
    for layer in model.layers:
        here = (*path, layer.name)
        if layer.model is not None:
            yield from _order(layer.model, here, frozen)
            continue
        expected = _expected(layer)
        if expected is None:
            yield here, "?", True
            continue
        learns = not frozen and bool(layer.config.get("trainable", True))
        for name in expected.trainable:
            yield here, name, learns
        for name in expected.fixed:
            yield here, name, False


def _share_by_name(leaves: list[tuple[Path, Layer]], named: Named) -> dict[Path, Named] | None:
    """Give each weight to the one layer whose name is in its path."""
    shares: dict[Path, list[tuple[str, object]]] = {}
    for stored_name, array in named:
        parts = stored_name.split("/")[:-1]
        fits = [place for place, leaf in leaves
                if leaf.name in parts or leaf.stored_name in parts]  # fmt: skip
        if len(fits) != 1:
            return None
        shares.setdefault(fits[0], []).append((stored_name, array))
    return shares  # type: ignore[return-value]
