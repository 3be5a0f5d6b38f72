"""A model as it is saved: plain QKeras layers that hold exactly what they compute with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.train.libraries import load_keras
from qapflow.train.quantization.custom_objects import custom_objects
from qapflow.train.quantization.switching import quantizing

Array = NDArray[np.float32]

ROLES = {
    "kernel": "kernel_quantizer",
    "depthwise_kernel": "depthwise_quantizer",
    "pointwise_kernel": "pointwise_quantizer",
    "recurrent_kernel": "recurrent_quantizer",
    "bias": "bias_quantizer",
}
ENDS = ("softmax", "sigmoid", "tanh")  # computed from tables by firmware
TRAINING_ONLY = ("initializer", "regularizer", "constraint", "range")


def export_model(model: Any) -> Any:
    """Return a copy without wrappers, folded layers and masks, of the same predictions.

    Kernels and biases of the copy are stored as quantized, where quantizing them again changes
    nothing. A softmax, sigmoid or tanh inside a last layer becomes a layer behind it, so that what
    it reads can be compared. Works on functional and sequential models of any layers; the model
    itself is not changed.
    """
    keras = load_keras().keras
    plain = strip_wrappers(model)
    weights: dict[str, list[Array]] = {}

    def clone(layer: Any) -> Any:
        made, values = export_layer(layer)
        weights[made.name] = values
        return made

    copy = clone_with(plain, clone)
    for layer in copy.layers:
        if layer.name in weights:
            layer.set_weights(weights[layer.name])
    assert isinstance(copy, keras.Model)
    return _split_ends(copy)


def _split_ends(model: Any) -> Any:
    """Give the real functions at the end of a model layers of their own."""
    layers = load_keras().keras.layers
    ends = {
        layer.name: name
        for layer in model.layers
        if (name := _real_function(layer)) and not layer.outbound_nodes
    }
    if not ends:
        return model

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in ends:
            (config["layer"]["config"] if _is_distributed(layer) else config)["activation"] = (
                "linear"
            )
        return type(layer).from_config(config)

    copy = clone_with(model, clone)
    copy.set_weights(model.get_weights())

    def ended(tensor: Any) -> Any:
        name = tensor.node.layer.name
        if name not in ends:
            return tensor
        return layers.Activation(ends[name], name=f"{name}_{ends[name]}")(tensor)

    outputs = [ended(tensor) for tensor in copy.outputs]
    return load_keras().keras.Model(copy.inputs, outputs, name=model.name)


def _real_function(layer: Any) -> str:
    """Return the softmax, sigmoid or tanh that a layer with weights ends in, or nothing."""
    inner = layer.layer if _is_distributed(layer) else layer
    if not inner.weights or hasattr(inner, "cell"):  # whose tanh is inside the loop
        return ""
    name = getattr(getattr(inner, "activation", None), "__name__", "")
    return name if name in ENDS else ""


def _is_distributed(layer: Any) -> bool:
    return type(layer).__name__ == "TimeDistributed"


def clone_with(model: Any, clone: Callable[[Any], Any]) -> Any:
    """Copy a model layer by layer; `clone` is given each layer but those of inputs."""
    keras = load_keras().keras
    with keras.utils.custom_object_scope(custom_objects()), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Keras about QKeras's way to serialize
        return keras.models.clone_model(model, clone_function=clone)


def strip_wrappers(model: Any) -> Any:
    """Return a model without tfmot's wrappers, their masks written into the kernels."""
    wrappers = [layer for layer in model.layers if hasattr(layer, "pruning_vars")]
    if not wrappers:
        return model
    for wrapper in wrappers:  # the last optimizer step came after the last masking
        for variable, mask, _ in wrapper.pruning_vars:
            variable.assign(variable * mask)
    return load_keras().tfmot.sparsity.keras.strip_pruning(model)


def export_layer(layer: Any) -> tuple[Any, list[Array]]:
    """Return the layer of the saved model (without weights yet) and its weights in order."""
    if type(layer).__name__ == "Bidirectional":
        return _export_bidirectional(layer)
    if type(layer).__name__ == "TimeDistributed" and not hasattr(layer.layer, "layers"):
        made, values = export_layer(layer.layer)
        return type(layer)(made, name=layer.name), values
    if hasattr(layer, "cell"):
        return _export_leaf(layer, layer.cell)
    return _export_leaf(layer, layer)


def _export_bidirectional(layer: Any) -> tuple[Any, list[Array]]:
    made, values = {}, []
    for way in ("forward", "backward"):
        inner = getattr(layer, f"{way}_layer")
        made[way], arrays = export_layer(inner)
        made[way]._name = str(inner.name).removeprefix(f"{way}_")  # Keras puts it in front
        values += arrays
    wrapper = type(layer)(
        made["forward"], layer.merge_mode, backward_layer=made["backward"], name=layer.name
    )
    return wrapper, values


def _export_leaf(layer: Any, leaf: Any) -> tuple[Any, list[Array]]:
    """Export a layer whose quantizers, weights and masks are those of `leaf`."""
    from qapflow.train.quantization.keras_classes import PLAIN

    kind = PLAIN.get(type(layer), type(layer))
    with quantizing(leaf):
        config = {key: _full(value) for key, value in layer.get_config().items()}
    if hasattr(layer, "kernel_quantizer") or hasattr(layer, "depthwise_quantizer"):
        config |= {key: None for key in config if key.endswith(TRAINING_ONLY[1:])}
        config |= {key: "zeros" for key in config if key.endswith(TRAINING_ONLY[0])}
    if kind is type(layer):
        values = {_short(weight): weight.numpy() for weight in layer.weights}
        values |= {name: (item.variable * item.mask).numpy() for name, item in _masks(leaf).items()}
    else:
        config = {k: v for k, v in config.items() if k not in ("momentum", "epsilon")}
        config["use_bias"] = True
        kernel, bias = _folded(layer)
        values = {layer.kernel_attribute: kernel, "bias": bias}
    values = {name: _store(config, name, value) for name, value in values.items()}
    return kind.from_config(config), list(values.values())


def _folded(layer: Any) -> tuple[Array, Array]:
    """Fold with masks in place."""
    masks = _masks(layer)
    kernel, bias = (np.asarray(value) for value in layer.folded())
    if layer.kernel_attribute in masks:
        kernel = kernel * np.asarray(masks[layer.kernel_attribute].mask)
    return kernel, bias


def _masks(layer: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = vars(layer).get("_qapflow_masks", {})
    return found


def _short(weight: Any) -> str:
    return str(weight.name).rsplit("/", maxsplit=1)[-1].split(":")[0]


def _full(value: Any) -> Any:
    """Let a quantizer of a configuration quantize fully, whatever training had switched off."""
    if isinstance(value, dict):
        return {k: 1.0 if k == "qnoise_factor" else _full(v) for k, v in value.items()}
    if hasattr(value, "qnoise_factor"):
        return type(value).from_config(_full(value.get_config()))
    return value


def _store(config: dict[str, Any], name: str, values: Array) -> Array:
    """Return the values to store for one weight; changes a quantizer that QKeras cannot load.

    FixedPoint with i < 0 integer bits is quantized_bits with none and the factor 2**i, on values
    that are larger by as much.
    """
    qkeras = load_keras().qkeras
    key = ROLES.get(name, "")
    given = config.get(key)
    if given is None:
        return values
    if isinstance(given, dict) and given["class_name"] == "FixedPoint":
        own = given["config"]
        factor = 2.0 ** own["integer"]
        quantizer = qkeras.quantized_bits(own["bits"], 0, alpha=factor)
        levels = quantizer(values / np.float32(factor)).numpy()
        config[key] = quantizer
        return np.asarray(levels / np.float32(factor), np.float32)
    quantizer = qkeras.quantizers.get_quantizer(given)
    once = np.asarray(quantizer(values), np.float32)
    return once if np.array_equal(np.asarray(quantizer(once)), once) else values
