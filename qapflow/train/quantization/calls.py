"""A Keras model as the list of its layer calls, models in models inlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qapflow.errors import UsageError
from qapflow.train.libraries import load_keras


@dataclass(frozen=True, eq=False)
class Value:
    """What one call gives to others, or an input of the model; `tensor` is Keras's symbol of it.

    A model that is called twice has two values of each of its tensors.
    """

    tensor: Any


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer: its arguments and options with values in place of tensors."""

    layer: Any
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    values: tuple[Value, ...]


@dataclass(eq=False)
class Calls:
    """All calls of a model in an order in which they can be made.

    `names` gives each called layer a name of its own (by id): where layers of two models have the
    same one, the later gets its model's name in front.
    """

    inputs: list[Value] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    def of(self, layer: Any) -> list[Call]:
        """Return the calls of one layer."""
        return [call for call in self.calls if call.layer is layer]

    def readers(self, value: Value) -> list[Call]:
        """Return the calls that read a value."""
        flatten = load_keras().tf.nest.flatten
        return [
            call
            for call in self.calls
            if any(item is value for item in flatten((call.arguments, dict(call.options))))
        ]


def list_calls(model: Any) -> Calls:
    """Return the calls of a functional or sequential model, those of models in it included.

    Raises:
        UsageError: the model is not built, or has a `call` of its own, which says nothing of its
            layers.
    """
    _check_graph(model)
    found = Calls(inputs=[Value(tensor) for tensor in model.inputs])
    models = [model]
    found.outputs = _walk(model, found.inputs, found, models)
    for one in models:  # the outermost first: their layers keep their names
        for layer in one.layers:
            _name(layer, one, found.names)
    called = {id(call.layer) for call in found.calls}
    found.names = {key: name for key, name in found.names.items() if key in called}
    return found


def _check_graph(model: Any) -> None:
    if getattr(model, "_nodes_by_depth", None) is not None and model.inputs:
        return
    built = "" if hasattr(model, "layers") and type(model).__name__ != "Sequential" else " yet"
    hint = "call model.build(input_shape), or give the first layer an input shape"
    raise UsageError(
        f"the model has no graph of layers{built}",
        at=f"model {getattr(model, 'name', type(model).__name__)}",
        hint=hint if built else "write it with the functional interface: keras.Model(in, out)",
    )


def _walk(model: Any, inputs: Sequence[Value], found: Calls, models: list[Any]) -> list[Value]:
    nest = load_keras().tf.nest
    values = {id(t): value for t, value in zip(model.inputs, inputs, strict=True)}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            arguments, options = _valued((tuple(node.call_args), node.call_kwargs), values)
            if hasattr(node.layer, "layers"):
                _check_graph(node.layer)
                models.append(node.layer)
                made = _walk(node.layer, nest.flatten(arguments[0]), found, models)
            else:
                made = [Value(tensor) for tensor in nest.flatten(node.outputs)]
                found.calls.append(Call(node.layer, arguments, options, tuple(made)))
            values |= {id(t): v for t, v in zip(nest.flatten(node.outputs), made, strict=True)}
    return [values[id(tensor)] for tensor in model.outputs]


def _valued(structure: Any, values: Mapping[int, Value]) -> Any:
    """Put values in place of tensors; other arguments stay."""
    return load_keras().tf.nest.map_structure(lambda item: values.get(id(item), item), structure)


def _name(layer: Any, model: Any, names: dict[int, str]) -> None:
    """Name a layer after itself, and after its model too if the name is taken."""
    name, number = str(layer.name), 1
    while id(layer) not in names:
        if name not in names.values():
            names[id(layer)] = name
        end = "" if number == 1 else f"_{number}"
        name, number = f"{model.name}_{layer.name}{end}", number + 1
