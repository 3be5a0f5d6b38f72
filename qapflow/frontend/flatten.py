"""A tree of models as one list of layer calls in topological order."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qapflow.errors import UsageError
from qapflow.frontend.calls import Call, Ref
from qapflow.frontend.fields import MAX_LAYERS, RESAVE
from qapflow.frontend.graph import Layer, Model

Source = tuple[str, int]
EACH_STEP = "TimeDistributed"
CallId = tuple[int, int]  # position of the layer in its model, number of the call


@dataclass(frozen=True, eq=False)
class FlatCall:
    """One call of a layer that is no model. `path` finds its weights."""

    name: str
    path: tuple[str, ...]
    layer: Layer
    call: Call
    inbound: tuple[Source, ...]


@dataclass(eq=False)
class _Flattener:
    """Collects calls; names are kept unique."""

    found: list[FlatCall] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def unique(self, name: str) -> str:
        if len(self.names) >= 2 * MAX_LAYERS:
            raise UsageError(
                f"the model makes more than {2 * MAX_LAYERS} layer calls", name, "split it"
            )
        result, count = name, 2
        while result in self.names:
            result, count = f"{name}_call{count}", count + 1
        self.names.add(result)
        return result

    def run(
        self,
        model: Model,
        prefix: str,
        path: tuple[str, ...],
        given: Sequence[Source] | None,
        loops: int = 0,
    ) -> list[Source]:
        """Flatten one call of `model` on `given` tensors (None at the top); return its outputs.

        A model for each time step is that of its layers for each time step: `loops` wrappers.
        """
        links = Links(model, prefix)
        if given is not None and len(given) != len(model.inputs):
            raise UsageError(
                f"a model with {len(model.inputs)} inputs is called with {len(given)}",
                f"model {model.name!r}",
                RESAVE,
            )
        names = [ref.layer for ref in model.inputs]
        fed = {} if given is None else dict(zip(names, given, strict=True))
        outputs: dict[CallId, list[Source]] = {}

        def source(where: CallId, ref: Ref) -> Source:
            return _pick(model.layers[where[0]], outputs[where], ref, fed)

        for where in links.order():
            layer = model.layers[where[0]]
            call = links.calls(layer)[where[1]]
            if given is not None and layer.name in fed:
                outputs[where] = [fed[layer.name]]
                continue
            inbound = tuple(source(links.find(ref), ref) for ref in call.inputs)
            if layer.model is not None:
                inner = self.unique(prefix + layer.name)
                more = loops + (layer.class_name == EACH_STEP)
                outputs[where] = self.run(
                    layer.model, inner + "/", (*path, layer.name), inbound, more
                )
                continue
            name = self.unique(prefix + layer.name)
            outputs[where] = [(name, 0)]
            wrapped = _repeat(layer, loops)
            self.found.append(FlatCall(name, (*path, layer.name), wrapped, call, inbound))
        return [source(links.find_output(ref), ref) for ref in model.outputs]


def _repeat(layer: Layer, loops: int) -> Layer:
    """Return a layer in that many wrappers for each time step."""
    for _ in range(loops):
        config = {
            "name": layer.name,
            "layer": {"class_name": layer.class_name, "config": layer.config},
        }
        layer = replace(layer, class_name=EACH_STEP, config=config, inner=layer)
    return layer


def _pick(layer: Layer, outputs: list[Source], ref: Ref, fed: Mapping[str, Source]) -> Source:
    """Return the flat tensor that `ref` to an output of `layer` means."""
    if layer.name in fed:
        return outputs[0]
    if layer.model is None:
        return outputs[0][0], ref.tensor
    if ref.tensor >= len(outputs):
        raise UsageError("a nested model has no such output", f"layer {ref.layer!r}", RESAVE)
    return outputs[ref.tensor]


class Links:
    """Connections inside one model."""

    def __init__(self, model: Model, prefix: str) -> None:
        self.model = model
        self.at = f"model {(prefix[:-1] or model.name)!r}"
        names = [(k, name) for k, x in enumerate(model.layers) for name in (x.stored_name, x.name)]
        self.index = {name: k for k, name in names}
        self.keras3 = any(call.keras3 for layer in model.layers for call in layer.calls)
        self.shift = self._shifts()

    def calls(self, layer: Layer) -> tuple[Call, ...]:
        """Return the calls of a layer; an input is called once without tensors."""
        return layer.calls or (Call(()),)

    def refs(self) -> list[Ref]:
        """Return every reference to a tensor in this model."""
        found = [ref for layer in self.model.layers for call in layer.calls for ref in call.inputs]
        return [*found, *self.model.outputs]

    def _shifts(self) -> dict[str, int]:
        """Return the number of the first call of each nested model.

        A Keras 2 model built with an Input owns a call of its own that files leave out, so its
        calls are numbered from 1; those of other models and of Keras 3 are numbered from 0.
        """
        highest: dict[str, int] = {}
        for ref in self.refs():
            highest[ref.layer] = max(highest.get(ref.layer, 0), ref.node)
        return {
            layer.name: int(not self.keras3 and highest.get(layer.name, 0) == len(layer.calls))
            for layer in self.model.layers
            if layer.model is not None and layer.calls
        }

    def find_output(self, ref: Ref) -> CallId:
        """Return the call an output of the model means: Keras 3 numbers these from 1."""
        index = self.index.get(ref.layer)
        nested = None if index is None else self.model.layers[index].model
        each = index is not None and self.model.layers[index].class_name == EACH_STEP
        if self.keras3 and nested is not None and nested.kind == "functional" and not each:
            return self.find(Ref(ref.layer, ref.node - 1, ref.tensor))
        return self.find(ref)

    def find(self, ref: Ref) -> CallId:
        """Return the call that a reference means."""
        if ref.layer not in self.index:
            raise UsageError(
                f"a tensor comes from layer {ref.layer!r}, which is not there", self.at, RESAVE
            )
        index = self.index[ref.layer]
        number = ref.node - self.shift.get(ref.layer, 0)
        if not 0 <= number < len(self.calls(self.model.layers[index])):
            raise UsageError(
                f"a tensor comes from call {ref.node} of layer {ref.layer!r}, which was not made",
                self.at,
                RESAVE,
            )
        return index, number

    def order(self) -> list[CallId]:
        """Return the calls in topological order, otherwise in the order of the file."""
        waits: dict[CallId, int] = {}
        readers: dict[CallId, list[CallId]] = {}
        for index, layer in enumerate(self.model.layers):
            for number, call in enumerate(self.calls(layer)):
                sources = {self.find(ref) for ref in call.inputs}
                waits[index, number] = len(sources)
                for source in sources:
                    readers.setdefault(source, []).append((index, number))
        ready = [where for where, count in waits.items() if count == 0]
        heapq.heapify(ready)
        result = []
        while ready:
            where = heapq.heappop(ready)
            result.append(where)
            for reader in readers.get(where, ()):
                waits[reader] -= 1
                if waits[reader] == 0:
                    heapq.heappush(ready, reader)
        if len(result) < len(waits):
            stuck = sorted({self.model.layers[k].name for (k, _), n in waits.items() if n > 0})
            raise UsageError(
                f"layers feed each other in a circle: {', '.join(stuck[:5])}", self.at, RESAVE
            )
        return result


@dataclass(frozen=True, eq=False)
class Flat:
    """A whole model, flat. `dropped` are layers that no output needs."""

    calls: tuple[FlatCall, ...]
    inputs: tuple[str, ...]
    outputs: tuple[Source, ...]
    dropped: tuple[str, ...]


def flatten(model: Model) -> Flat:
    """Inline nested models and drop what no output needs.

    Raises UsageError for circles, dangling references and unconnected layers.
    """
    flattener = _Flattener()
    outputs = flattener.run(model, "", (), None)
    by_name = {call.name: call for call in flattener.found}
    inputs = tuple(ref.layer for ref in model.inputs)
    missing = [name for name in inputs if name not in by_name]
    if missing:
        raise UsageError(f"the input {missing[0]!r} is no layer", f"model {model.name!r}", RESAVE)
    needed = set(inputs)
    queue: list[Any] = [name for name, _ in outputs]
    while queue:
        name = queue.pop()
        if name not in needed:
            needed.add(name)
            queue.extend(source for source, _ in by_name[name].inbound)
    for name in needed:
        call = by_name[name]
        if not call.inbound and call.layer.class_name != "InputLayer":
            raise UsageError("the layer is not connected to any input", f"layer {name!r}", RESAVE)
    kept = tuple(call for call in flattener.found if call.name in needed)
    dropped = tuple(call.name for call in flattener.found if call.name not in needed)
    return Flat(kept, inputs, tuple(outputs), dropped)
