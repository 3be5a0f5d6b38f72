"""Which tensors a layer is called with, in the forms of Keras 1, 2 and 3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from qapflow.errors import UsageError
from qapflow.frontend.fields import MAX_LAYERS, RESAVE, as_dict, as_list


@dataclass(frozen=True)
class Ref:
    """Output `tensor` of call `node` of a layer."""

    layer: str
    node: int
    tensor: int


@dataclass(frozen=True)
class Tensor:
    """Stands in an argument for tensor `number` of the call."""

    number: int


@dataclass(frozen=True)
class Call:
    """One call of a layer: the tensors it takes and its other arguments.

    `operands` are all arguments, by name or by position ("0", "1"), with `Tensor` for tensors.
    """

    inputs: tuple[Ref, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    keras3: bool = False  # written in the form of Keras 3
    operands: Mapping[str, Any] = field(default_factory=dict)


def parse_calls(nodes: object, at: str) -> tuple[Call, ...]:
    """Return the calls in `inbound_nodes`, in the form of Keras 1/2 or of Keras 3."""
    calls = []
    for node in as_list(nodes, "inbound_nodes", at):
        if isinstance(node, Mapping):
            calls.append(_keras3_call(node, at))
        else:
            calls.append(_keras2_call(as_list(node, "an inbound node", at), at))
    return tuple(calls)


def _keras2_call(node: list[Any], at: str) -> Call:
    refs: list[Ref] = []
    arguments: dict[str, Any] = {}
    if node and isinstance(node[0], str):  # a call with one tensor, not in a list
        node = [node]
    first: list[Any] = []
    operands: dict[str, Any] = {"0": first}
    for position, item in enumerate(node):
        part = as_list(item, "an inbound tensor", at)
        if part and part[0] == "_CONSTANT_VALUE":
            arguments["_constant"] = True
            first.append(part[2] if len(part) > 2 else None)
        else:
            first.append(Tensor(len(refs)))
            refs.append(_ref(part, at))
        keywords = part[3] if len(part) > 3 and position == 0 else {}  # repeated in every part
        for key, value in as_dict(keywords, "call arguments", at).items():
            found = list(find_refs(value))
            if position == 0:
                operands[key] = _numbered(value, count(len(refs)))
            refs.extend(found)
            if not found and value is not None and not (key == "training" and not value):
                arguments[key] = value
            elif found and key != "inputs":
                arguments[key] = "tensor"
    return Call(tuple(refs), arguments, False, operands)


def _numbered(value: Any, numbers: Iterator[int]) -> Any:
    """Replace every [layer, node, tensor] of Keras 2 by a `Tensor`."""
    if isinstance(value, Mapping):
        return {key: _numbered(item, numbers) for key, item in value.items()}
    if not isinstance(value, list | tuple):
        return value
    if len(value) >= 3 and isinstance(value[0], str) and _indices(value):
        return Tensor(next(numbers))
    return [_numbered(item, numbers) for item in value]


def _keras3_call(node: Mapping[str, Any], at: str) -> Call:
    positional = as_list(node.get("args", []), "call arguments", at)
    keywords = as_dict(node.get("kwargs", {}), "call arguments", at)
    refs: list[Ref] = []
    arguments: dict[str, Any] = {}
    numbers = count()
    named = {**{str(k): value for k, value in enumerate(positional)}, **keywords}
    operands = {key: _numbered3(value, numbers) for key, value in named.items()}
    for index, value in enumerate(positional):
        found = list(_histories(value, at))
        refs.extend(found)
        if not found and value is not None:
            arguments[f"_{index}"] = value
    for key, value in keywords.items():
        found = list(_histories(value, at))
        refs.extend(found)
        if found and key != "inputs":
            arguments[key] = "tensor"
        elif not found and value is not None and not (key == "training" and not value):
            arguments[key] = value
    return Call(tuple(refs), arguments, True, operands)


def _numbered3(value: Any, numbers: Iterator[int]) -> Any:
    """Replace every tensor of Keras 3 by a `Tensor`."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            return Tensor(next(numbers))
        return {key: _numbered3(item, numbers) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_numbered3(item, numbers) for item in value]
    return value


def _histories(value: Any, at: str) -> Iterator[Ref]:
    """Yield the tensors in a Keras 3 call argument, in order."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            config = as_dict(value.get("config"), "a tensor", at)
            yield _ref(as_list(config.get("keras_history"), "keras_history", at), at)
            return
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _histories(item, at)


def find_refs(value: Any) -> Iterator[Ref]:
    """Yield every [layer, node, tensor] in a nested list or dictionary, in order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return
    if len(value) >= 3 and isinstance(value[0], str) and _indices(value):
        yield Ref(value[0], value[1], value[2])
        return
    for item in value:
        yield from find_refs(item)


def _indices(part: Any) -> bool:
    return all(isinstance(part[k], int) and 0 <= part[k] <= MAX_LAYERS for k in (1, 2))


def _ref(part: list[Any], at: str) -> Ref:
    if len(part) < 3 or not isinstance(part[0], str) or not _indices(part):
        raise UsageError("an inbound tensor is not [layer, node, tensor]", at, RESAVE)
    return Ref(part[0], part[1], part[2])
