"""Models of Keras 3 as tf-keras models: what QKeras and pruning can train.

Keras 3 writes files that Keras 2 cannot read, and QKeras 0.9 knows Keras 2 alone. The front end
reads both; here the layers that it finds are made again, with their weights, and the result is
proved to be read as the same integer network.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qapflow.errors import CheckFailed, ModelUnsupported, Unsupported, UsageError
from qapflow.frontend.archive import read_model
from qapflow.frontend.live import read_live
from qapflow.frontend.load import load
from qapflow.frontend.model import LayerSpec, ModelSpec
from qapflow.ir.interpret import interpret
from qapflow.train.leaves import leaves_of
from qapflow.train.libraries import load_keras
from qapflow.train.reading import read_keras_model

OPERATIONS = {  # of keras.ops, between layers
    "ops>Add": "Add", "ops>Subtract": "Subtract", "ops>Multiply": "Multiply",
    "ops>Maximum": "Maximum", "ops>Minimum": "Minimum", "ops>Relu": "ReLU",
}  # fmt: skip
OTHER_MEANING = ("hard_sigmoid", "hard_silu", "hard_swish")  # since Keras 3
SAMPLES = 64


def read_model_file(path: Path) -> Any:
    """Return the tf-keras model of a file that Keras 2 or 3 wrote.

    Raises:
        UsageError: the file is missing, or Keras cannot read it.
        ModelUnsupported: lists the layers of a Keras 3 file that Keras 2 has not.
    """
    try:
        spec = read_model(path)
    except UsageError:  # what Keras itself says of the file is closer to the user
        return read_keras_model(path)
    return rebuild(spec) if spec.keras_version.startswith("3") else read_keras_model(path)


def as_tf_keras(model: Any) -> Any:
    """Return a model in memory as it is, or made again if it is one of Keras 3."""
    packages = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    return rebuild(read_live(model)) if "keras" in packages else model


def rebuild(spec: ModelSpec) -> Any:
    """Return a tf-keras model with the layers and weights of a specification.

    Raises:
        ModelUnsupported: lists the layers that cannot be made, or that the front end cannot read.
        CheckFailed: the model made computes something else.
    """
    problems = list(_problems(spec))
    if problems:
        raise ModelUnsupported(problems, at=f"model {spec.name}")
    keras = load_keras().keras
    tensors: dict[tuple[str, int], Any] = {}
    made: dict[str, tuple[Any, LayerSpec]] = {}
    for layer in spec.layers:
        if layer.class_name == "InputLayer":
            shape = tuple(layer.config["batch_input_shape"][1:])
            tensors[layer.name, 0] = keras.Input(shape, name=_name(layer.name))
            continue
        first = _first(layer, made)
        if first is None:
            first = _make(layer.class_name, {**layer.config, "name": _name(layer.name)})
            made[layer.name] = (first, layer)
        inputs = [tensors[source] for source in layer.inbound]
        outputs = first(inputs[0] if len(inputs) == 1 else inputs)
        for number, tensor in enumerate(load_keras().tf.nest.flatten(outputs)):
            tensors[layer.name, number] = tensor
    model = keras.Model(
        [tensors[name, 0] for name in spec.inputs],
        [tensors[source] for source in spec.outputs],
        name=_name(spec.name),
    )
    for first, layer in made.values():
        _fill(first, layer)
    _compare(spec, model)
    return model


def _name(name: str) -> str:
    """Return a name without the slashes of models in models, which Keras 2 files cannot hold."""
    return name.replace("/", "_")


def _problems(spec: ModelSpec) -> Iterator[Unsupported]:
    layers = load_keras().keras.layers
    for layer in spec.layers:
        kind = layer.class_name
        operands = layer.config.get("_operands", {})
        if kind in OPERATIONS:
            if len(layer.inbound) != len(operands):
                yield Unsupported(layer.name, kind, "an operation with a constant", "use a layer")
        elif not hasattr(layers, kind):
            hint = "train it with the package it is from, and build the file"
            yield Unsupported(layer.name, kind, "Keras 2 has no such layer", hint)
        elif {layer.config.get(f"{gate}activation") for gate in ("", "recurrent_")} & {
            *OTHER_MEANING
        }:
            reason = "its activation is another function in Keras 2"
            yield Unsupported(layer.name, kind, reason, "use sigmoid, tanh or relu")


def _first(layer: LayerSpec, made: Mapping[str, tuple[Any, LayerSpec]]) -> Any:
    """Return the layer that was made for an earlier call of the same one."""
    made_layer, earlier = made.get(re.sub(r"_call\d+$", "", layer.name), (None, None))
    if earlier is None or earlier.class_name != layer.class_name:
        return None
    mine, theirs = layer.weights, earlier.weights
    same = mine.keys() == theirs.keys() and all(mine[key] is theirs[key] for key in mine)
    return made_layer if same else None


def _make(kind: str, config: Mapping[str, Any]) -> Any:
    """Return a layer of Keras 2; settings that only Keras 3 has are left out."""
    layers = load_keras().keras.layers
    own = {
        key: _plain(value)
        for key, value in config.items()
        if not key.startswith("_")
        and not key.endswith("_initializer")  # weights come from the file
    }
    if kind in OPERATIONS:
        return getattr(layers, OPERATIONS[kind])(name=own["name"])
    if kind in ("Bidirectional", "TimeDistributed"):
        inner = _inner(own["layer"], "forward_")
        if kind == "TimeDistributed":
            return layers.TimeDistributed(inner, name=own["name"])
        backward = _inner(own["backward_layer"], "backward_")
        return layers.Bidirectional(
            inner, own["merge_mode"], backward_layer=backward, name=own["name"]
        )
    known = {"name", "trainable", *_parameters(getattr(layers, kind))}
    try:
        return getattr(layers, kind)(**{key: own[key] for key in own if key in known})
    except (TypeError, ValueError) as error:
        words = " ".join(str(error).split())[:300]
        raise UsageError(
            f"Keras 2 cannot make the layer: {words}",
            at=f"layer {own['name']} ({kind})",
            hint="save the model as .h5 with tf-keras",
        ) from error


def _inner(entry: Mapping[str, Any], prefix: str) -> Any:
    config = dict(entry["config"])
    config["name"] = str(config["name"]).removeprefix(prefix)  # Keras puts it in front
    return _make(str(entry["class_name"]), config)


def _parameters(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        if "__init__" in vars(base):
            yield from inspect.signature(vars(base)["__init__"]).parameters


def _plain(value: Any) -> Any:
    """Return a value of a configuration in the form of Keras 2."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "DTypePolicy":
            return "float32"
        kept = {key: _plain(one) for key, one in value.items()}
        return {key: kept[key] for key in kept if key not in ("module", "registered_name")}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _fill(layer: Any, spec: LayerSpec) -> None:
    """Give a layer the weights of the file."""
    ways = ("forward/", "backward/") if hasattr(layer, "forward_layer") else ("",)
    for way, (_, leaf) in zip(ways, leaves_of(layer), strict=True):
        for weight in leaf.weights:
            key = way + str(weight.name).rsplit("/", 1)[-1].split(":")[0]
            weight.assign(spec.weights[key].reshape(weight.shape))


def _compare(spec: ModelSpec, model: Any) -> None:
    """Prove that the file and the model are the same to the front end, on random inputs."""
    ours, theirs = load(spec).net, load(read_live(model)).net
    rng = np.random.default_rng(0)
    codes = [
        rng.integers(node.out.type.lo, node.out.type.hi, (SAMPLES, *node.out.shape), endpoint=True)
        for node in ours.inputs
    ]
    results = []
    for net in (ours, theirs):
        edges = interpret(net, {n.name: c for n, c in zip(net.inputs, codes, strict=True)})
        results.append([net.edge(name).type.decode(edges[name]) for name in net.outputs])
    if not all(np.array_equal(a, b) for a, b in zip(*results, strict=True)):
        raise CheckFailed(
            "the model made again for training computes something else than the file",
            at=f"model {spec.name}",
            hint="save it as .h5 with tf-keras, and report the model",
        )
