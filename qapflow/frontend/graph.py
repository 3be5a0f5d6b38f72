"""From a serialized Keras model to a flat list of layers.

Nested models are inlined, wrappers of pruning taken off, shared layers repeated a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qapflow.errors import UsageError
from qapflow.frontend.legacy import update_config
from qapflow.frontend.model import LayerSpec
from qapflow.frontend.weights import Arrays, WeightSource, layer_name, plain_class

MAX_LAYERS = 10_000
MAX_NESTING = 20
MODELS = ("Sequential", "Functional", "Model")

Ref = tuple[str, int]  # layer, output
Call = tuple[str, int]  # layer, which of its calls


class Flattener:
    """Collects the layers of a model in the order they compute."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.layers: list[LayerSpec] = []
        self.names: set[str] = set()
        self.notes: list[str] = []
        self.unwrapped = 0

    def model(
        self, item: Mapping[str, Any], weights: WeightSource, prefix: str = "", feeds: Sequence[Ref] | None = None
    ) -> tuple[Ref, ...]:
        """Add a model and return its outputs; `feeds` stand for its inputs when it is nested."""
        if prefix.count("/") > MAX_NESTING:
            raise UsageError(f"models are nested more than {MAX_NESTING} deep", at=self.at)
        config = item.get("config")
        layers = config if isinstance(config, list) else (config or {}).get("layers")
        if not isinstance(layers, list) or not layers:
            raise UsageError("the model has no layers", at=self.at)
        if len(layers) + len(self.layers) > MAX_LAYERS:
            raise UsageError(
                f"the model has more than {MAX_LAYERS:,} layers", at=self.at, hint="is this a model?"
            )
        for layer in layers:
            if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict):
                raise UsageError("a layer of the model has no configuration", at=self.at)
            update_config(layer)
        if plain_class(item) == "Sequential":
            return self._sequential(item, layers, weights, prefix, feeds)
        return self._functional(config or {}, layers, weights, prefix, feeds)

    def _sequential(
        self,
        item: Mapping[str, Any],
        layers: list[dict[str, Any]],
        weights: WeightSource,
        prefix: str,
        feeds: Sequence[Ref] | None,
    ) -> tuple[Ref, ...]:
        rest = layers
        if feeds is not None:
            refs = tuple(feeds)
            rest = layers[1:] if plain_class(layers[0]) == "InputLayer" else layers
        elif plain_class(layers[0]) == "InputLayer":
            refs = self._layer(layers[0], {}, prefix, (), {})
            rest = layers[1:]
        else:
            refs = self._implied_input(item, layers[0], prefix)
        for layer in rest:
            refs = self._call(layer, layers, weights, prefix, refs)
        return refs

    def _implied_input(
        self, item: Mapping[str, Any], first: dict[str, Any], prefix: str
    ) -> tuple[Ref, ...]:
        config = item.get("config")
        shape = first["config"].get("batch_input_shape")
        if shape is None and isinstance(config, dict):
            shape = config.get("build_input_shape")
        if shape is None and isinstance(first.get("build_config"), dict):
            shape = first["build_config"].get("input_shape")
        if plain_class(first) in MODELS and shape is None:
            inner = first["config"]
            inner_layers = inner if isinstance(inner, list) else inner.get("layers", [])
            if inner_layers:
                return self._implied_input(first, inner_layers[0], prefix)
        if not isinstance(shape, list):
            raise UsageError(
                "the model does not say the shape of its input",
                at=self.at,
                hint="build the model (call it once, or give input_shape) before you save it",
            )
        name = f"{layer_name(first)}_input"
        layer = {"class_name": "InputLayer", "config": {"name": name, "batch_input_shape": shape}}
        return self._layer(layer, {}, prefix, (), {})

    def _functional(
        self,
        config: Mapping[str, Any],
        layers: list[dict[str, Any]],
        weights: WeightSource,
        prefix: str,
        feeds: Sequence[Ref] | None,
    ) -> tuple[Ref, ...]:
        by_name = {str(layer.get("name", layer_name(layer))): layer for layer in layers}
        if len(by_name) != len(layers):
            raise UsageError("two layers of the model have one name", at=self.at)
        made: dict[Call, tuple[Ref, ...]] = {}
        inputs = _endpoints(config.get("input_layers", []))
        if feeds is not None:
            if len(feeds) != len(inputs):
                raise UsageError("a nested model gets another number of inputs", at=self.at)
            for (name, call, _), ref in zip(inputs, feeds, strict=True):
                made[name, call] = (ref,)
        outputs = _endpoints(config.get("output_layers", []))
        if not outputs:
            raise UsageError("the model has no outputs", at=self.at)
        if feeds is None:  # inputs come first and in order, whatever uses them
            order = [(name, call) for name, call, _ in inputs]
        else:
            order = []
        order += [(name, call) for name, call, _ in outputs]
        for target in order:
            self._resolve(target, by_name, layers, weights, prefix, made)
        unused = [n for n in by_name if not any(call[0] == n for call in made)]
        if unused:
            self.notes.append(f"left out, no output needs them: {', '.join(unused)}")
        return tuple(_pick(made[name, call], index) for name, call, index in outputs)

    def _resolve(
        self,
        target: Call,
        by_name: Mapping[str, dict[str, Any]],
        layers: list[dict[str, Any]],
        weights: WeightSource,
        prefix: str,
        made: dict[Call, tuple[Ref, ...]],
    ) -> None:
        pending, open_calls = [target], set()
        while pending:
            call = pending[-1]
            if call in made:
                pending.pop()
                continue
            if call[0] not in by_name:
                raise UsageError(f"the model uses a layer {call[0]!r} that it does not have", at=self.at)
            layer = by_name[call[0]]
            needs = _inbound(layer, call[1])
            missing = [(n, c) for n, c, _ in needs if (n, c) not in made]
            if missing:
                if call in open_calls:
                    raise UsageError(f"layer {call[0]!r} needs its own output", at=self.at)
                open_calls.add(call)
                pending += missing
                continue
            refs = tuple(_pick(made[n, c], index) for n, c, index in needs)
            made[call] = self._call(layer, layers, weights, prefix, refs)
            pending.pop()

    def _call(
        self,
        layer: dict[str, Any],
        siblings: list[dict[str, Any]],
        weights: WeightSource,
        prefix: str,
        refs: tuple[Ref, ...],
    ) -> tuple[Ref, ...]:
        if plain_class(layer) in MODELS and (
            isinstance(layer["config"], list) or "layers" in layer["config"]
        ):
            inside = weights.enter(layer, siblings)
            return self.model(layer, inside, f"{prefix}{layer_name(layer)}/", refs)
        if plain_class(layer) == "PruneLowMagnitude":
            return self._unwrap(layer, siblings, weights, prefix, refs)
        return self._layer(layer, weights.find(layer, siblings), prefix, refs, {})

    def _unwrap(
        self,
        layer: dict[str, Any],
        siblings: list[dict[str, Any]],
        weights: WeightSource,
        prefix: str,
        refs: tuple[Ref, ...],
    ) -> tuple[Ref, ...]:
        found = weights.find(layer, siblings)
        inner = layer["config"].get("layer")
        if not isinstance(inner, dict) or not isinstance(inner.get("config"), dict):
            raise UsageError("a pruning wrapper has no layer inside", at=layer_name(layer))
        update_config(inner)
        self.unwrapped += 1
        own = ("mask", "threshold", "pruning_step")
        kept = {n: a for n, a in found.items() if not n.startswith(own)}
        masks = [a for n, a in found.items() if n.startswith("mask")]
        paired: Arrays = {}
        for name, array in kept.items():
            match = next((m for m in masks if m.shape == array.shape), None)
            if match is not None and "kernel" in name:
                paired[name] = match
                masks = [m for m in masks if m is not match]
        return self._layer(inner, kept, prefix, refs, paired)

    def _layer(
        self,
        layer: Mapping[str, Any],
        found: Arrays,
        prefix: str,
        refs: tuple[Ref, ...],
        masks: Arrays,
    ) -> tuple[Ref, ...]:
        base = f"{prefix}{layer_name(layer)}"
        name, number = base, 2
        while name in self.names:
            name = f"{base}#{number}"
            number += 1
        self.names.add(name)
        config = dict(layer["config"])
        package, _, _ = str(layer.get("class_name", "")).rpartition(">")
        if package:
            config["_package"] = package
        if plain_class(layer) == "Lambda":
            config.pop("function", None)  # never decoded
        self.layers.append(LayerSpec(name, plain_class(layer), config, found, refs, masks))
        return ((name, 0),)


def _pick(refs: tuple[Ref, ...], index: int) -> Ref:
    """Output `index` of a call; a nested model has one ref an output, a layer just one."""
    return refs[index] if len(refs) > 1 else (refs[0][0], refs[0][1] + index)


def _endpoints(items: Any) -> list[tuple[str, int, int]]:
    if isinstance(items, list) and len(items) == 3 and isinstance(items[0], str):
        items = [items]  # Keras 3 writes one endpoint without a list around it
    if isinstance(items, dict):
        items = list(items.values())
    return [(str(i[0]), int(i[1]), int(i[2])) for i in items if isinstance(i, list) and len(i) > 2]


def _inbound(layer: Mapping[str, Any], call: int) -> list[tuple[str, int, int]]:
    nodes = layer.get("inbound_nodes") or []
    if call >= len(nodes):
        return []
    return list(_references(nodes[call]))


def _references(value: Any) -> Iterable[tuple[str, int, int]]:
    """Find tensors in a node of Keras 2 (nested lists) or Keras 3 (args and kwargs)."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            name, call, index = value["config"]["keras_history"]
            yield str(name), int(call), int(index)
            return
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        if (
            len(value) >= 3
            and isinstance(value[0], str)
            and all(isinstance(v, int) and not isinstance(v, bool) for v in value[1:3])
        ):
            yield value[0], value[1], value[2]
            value = value[3:]
        for item in value:
            yield from _references(item)
