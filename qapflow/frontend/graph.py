"""The architecture part of a model file as objects: models, layers, calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qapflow.errors import UsageError
from qapflow.frontend.calls import Call, Ref, find_refs, parse_calls
from qapflow.frontend.config import plain_class, plain_config
from qapflow.frontend.fields import MAX_DEPTH, MAX_LAYERS, RESAVE, as_dict, as_list, as_text

MODEL_CLASSES = ("Sequential", "Functional", "Model")
FIRST_NODE = 0


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a model; `pruned` tells of a pruning wrapper that was taken off.

    `model` is set for a nested model, whose class is Model, or TimeDistributed if it runs for each
    time step.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    calls: tuple[Call, ...]
    model: Model | None = None
    pruned: bool = False
    inner: Layer | None = None  # the layer in a TimeDistributed or Bidirectional wrapper
    outer_name: str = ""  # name of the stripped wrapper

    @property
    def stored_name(self) -> str:
        """Name under which a weight file lists this layer."""
        return self.outer_name or self.name


@dataclass(frozen=True, eq=False)
class Model:
    """A Sequential or Functional model."""

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]
    trainable: bool = True
    kind: str = "functional"

    def leaves(self) -> Iterator[tuple[tuple[str, ...], Layer]]:
        """Yield every layer that is no model, with its path of names."""
        for layer in self.layers:
            if layer.model is None:
                yield (layer.name,), layer
            else:
                for path, leaf in layer.model.leaves():
                    yield (layer.name, *path), leaf


def parse_model(entry: Mapping[str, Any], at: str, depth: int = 0) -> Model:
    """Return the model in a configuration of any Keras version.

    Raises UsageError when it is no Sequential or Functional model.
    """
    if depth > MAX_DEPTH:
        raise UsageError(f"models are nested more than {MAX_DEPTH} deep", at, "flatten the model")
    class_name, _ = plain_class(entry)
    config = entry.get("config")
    if class_name not in MODEL_CLASSES:
        raise UsageError(
            f"{entry.get('class_name')!r} is no Sequential or Functional model, so the file does "
            "not say how its layers are connected",
            at,
            "rebuild it with tf.keras.Sequential or tf.keras.Model(inputs, outputs)",
        )
    if class_name == "Sequential" or isinstance(config, list):
        return _parse_sequential(config, at, depth)
    return _parse_functional(as_dict(config, "the model's config", at), at, depth)


def _parse_layers(entries: object, at: str, depth: int) -> list[Layer]:
    found = as_list(entries, "the list of layers", at)
    if not found:
        raise UsageError("the model has no layers", at, RESAVE)
    if len(found) > MAX_LAYERS:
        raise UsageError(
            f"the model has {len(found)} layers, more than {MAX_LAYERS}", at, "split the model"
        )
    layers = [parse_layer(as_dict(entry, "a layer", at), at, depth) for entry in found]
    seen: set[str] = set()
    for layer in layers:
        if layer.name in seen:
            raise UsageError(
                f"two layers are called {layer.name!r}", at, "give every layer its own name"
            )
        seen.add(layer.name)
    return layers


def parse_layer(entry: Mapping[str, Any], at: str, depth: int) -> Layer:
    """Return one layer; pruning wrappers are replaced by the layer in them."""
    class_name, package = plain_class(entry)
    raw = entry.get("config")
    if class_name in MODEL_CLASSES:
        return _parse_nested(entry, at, depth)
    config = as_dict(raw, f"the config of a {class_name} layer", at)
    name = as_text(entry.get("name", config.get("name")), f"the name of a {class_name} layer", at)
    if "layers" in config and isinstance(config["layers"], list) and class_name == "Merge":
        raise UsageError("a Keras 1 Merge layer holds models of its own", f"layer {name!r}", RESAVE)
    calls = parse_calls(entry.get("inbound_nodes", []), at)
    if is_operation(entry, config, calls):
        class_name, package = f"ops>{class_name}", "keras.ops"
    inner_entry = config.get("layer")
    inner = None
    if isinstance(inner_entry, Mapping) and depth < MAX_DEPTH:
        if class_name == "PruneLowMagnitude":
            inner = parse_layer(as_dict(inner_entry, "a pruned layer", at), at, depth + 1)
            if inner.model is None:
                return _strip(inner, name, calls)
        elif plain_class(inner_entry)[0] in MODEL_CLASSES:
            if class_name == "TimeDistributed":
                return _parse_each_step(as_dict(inner_entry, "a wrapped model", at), config, name,
                                        calls, at, depth)  # fmt: skip
        else:
            inner = parse_layer(as_dict(inner_entry, "a wrapped layer", at), at, depth + 1)
    flat = plain_config(class_name, str(entry.get("class_name", "")), package, config)
    if class_name == "InputLayer":
        check_shape(flat.get("batch_input_shape"), name)
    if inner is not None:
        flat["layer"] = {"class_name": inner.class_name, "config": inner.config}
    return Layer(name, class_name, flat, calls, None, False, inner)


def is_operation(
    entry: Mapping[str, Any], config: Mapping[str, Any], calls: tuple[Call, ...]
) -> bool:
    """Tell whether Keras 3 recorded a plain operation like `x + y`, called like a layer class.

    HDF5 files do not say the module, but unlike layers operations have no dtype policy.
    """
    settings = {"dtype", "trainable"} & config.keys()
    return not settings and "module" not in entry and any(call.keras3 for call in calls)


def _strip(inner: Layer, wrapper_name: str, calls: tuple[Call, ...]) -> Layer:
    return Layer(
        inner.name, inner.class_name, inner.config, calls, None, True, inner.inner, wrapper_name
    )


def _parse_nested(entry: Mapping[str, Any], at: str, depth: int) -> Layer:
    model = parse_model(entry, at, depth + 1)
    name = entry.get("name") or model.name
    calls = parse_calls(entry.get("inbound_nodes", []), at)
    return Layer(as_text(name, "the name of a nested model", at), "Model", {}, calls, model)


def _parse_each_step(
    entry: Mapping[str, Any],
    config: Mapping[str, Any],
    name: str,
    calls: tuple[Call, ...],
    at: str,
    depth: int,
) -> Layer:
    """Return a model that runs for each time step."""
    model = parse_model(entry, at, depth + 1)
    learns = model.trainable and bool(config.get("trainable", True))
    return Layer(name, "TimeDistributed", {}, calls, replace(model, trainable=learns))


def _parse_functional(config: dict[str, Any], at: str, depth: int) -> Model:
    name = str(config.get("name") or "model")
    layers = _parse_layers(config.get("layers"), at, depth)
    inputs = tuple(find_refs(config.get("input_layers")))
    outputs = tuple(find_refs(config.get("output_layers")))
    if not inputs or not outputs:
        raise UsageError("the model names no inputs or no outputs", at, RESAVE)
    for layer in layers:
        if layer.class_name != "InputLayer" and layer.name in {ref.layer for ref in inputs}:
            raise UsageError(
                f"{layer.name!r} is named as an input but is no InputLayer", at, RESAVE
            )
    return Model(name, tuple(layers), inputs, outputs, bool(config.get("trainable", True)))


def _parse_sequential(config: Any, at: str, depth: int) -> Model:
    fields = {"layers": config} if isinstance(config, list) else as_dict(config, "config", at)
    layers = _parse_layers(fields.get("layers"), at, depth)
    name = str(fields.get("name") or "sequential")
    if layers[0].class_name != "InputLayer":
        shape = fields.get("build_input_shape") or fields.get("batch_input_shape")
        layers.insert(0, _synthesise_input(name, layers, shape, at, depth))
    chain = [Layer(**{**vars(layers[0]), "calls": ()})]
    for layer in layers[1:]:
        before = Ref(chain[-1].name, FIRST_NODE, 0)
        chain.append(Layer(**{**vars(layer), "calls": (Call((before,)),)}))
    first, last = chain[0].name, chain[-1].name
    trainable = bool(fields.get("trainable", True))
    return Model(
        name, tuple(chain), (Ref(first, 0, 0),), (Ref(last, 0, 0),), trainable, "sequential"
    )


def _synthesise_input(name: str, layers: list[Layer], shape: Any, at: str, depth: int) -> Layer:
    first = layers[0]
    found = _first_shape(first) or shape
    if found is None and depth == 0:
        raise UsageError(
            "the file does not say the shape of the input",
            at,
            "give the first layer an input_shape, or call model.build(), and save again",
        )
    if found is not None:
        check_shape(found, first.name)
    used = {layer.name for layer in layers}
    own = f"{first.name}_input"
    while own in used:
        own += "_"
    dtype = first.config.get("dtype") or "float32"
    config = {"name": own, "batch_input_shape": found, "dtype": dtype, "_synthesised": True}
    return Layer(own, "InputLayer", config, ())


def check_shape(shape: Any, name: str) -> None:
    """Raise UsageError when `shape` is no list of sizes (None: any size)."""
    sizes = shape if isinstance(shape, list | tuple) else []
    whole = [isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes]
    if not sizes or not all(good or size is None for good, size in zip(whole, sizes, strict=True)):
        raise UsageError(f"{shape!r} is no shape of an input", f"layer {name!r}", RESAVE)


def _first_shape(layer: Layer) -> Any:
    while layer.model is not None:
        layer = layer.model.layers[0]
    shape = layer.config.get("batch_input_shape")
    short = layer.config.get("input_shape")
    if shape is None and isinstance(short, list | tuple):
        shape = [None, *short]
    if shape is None and layer.config.get("input_dim") is not None:
        shape = [None, layer.config["input_dim"]]
    return shape
