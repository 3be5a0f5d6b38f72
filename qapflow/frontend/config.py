"""Layer configurations of every Keras version under the names and forms of Keras 2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Keras 1 argument -> Keras 2 argument, for all layers where it occurs.
KERAS1_NAMES = {
    "output_dim": "units",
    "nb_filter": "filters",
    "subsample": "strides",
    "subsample_length": "strides",
    "border_mode": "padding",
    "bias": "use_bias",
    "p": "rate",
    "init": "kernel_initializer",
    "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "atrous_rate": "dilation_rate",
    "pool_length": "pool_size",
    "stride": "strides",
    "consume_less": "implementation",
}
KERAS1_CLASSES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "Deconvolution2D": "Conv2DTranspose",
}
KERAS1_MERGES = {
    "sum": "Add",
    "mul": "Multiply",
    "concat": "Concatenate",
    "ave": "Average",
    "max": "Maximum",
}
KERAS1_ORDERINGS = {"tf": "channels_last", "th": "channels_first"}
KERAS1_CLASSES_RENAMED = frozenset(
    {
        "AveragePooling1D", "Conv1D", "Conv2D", "Conv2DTranspose", "Dense", "Dropout", "GRU",
        "GaussianDropout", "LSTM", "MaxPooling1D", "SeparableConv2D", "SimpleRNN",
        "SpatialDropout1D", "SpatialDropout2D",
    }
)  # fmt: skip
# Classes a package of its own may define anew; such a one keeps its package in the class name.
_NAMES = """
    Activation ActivityRegularization Add AlphaDropout Attention Average AveragePooling1D
    AveragePooling2D BatchNormalization Bidirectional Concatenate Conv1D Conv1DTranspose Conv2D
    Conv2DTranspose Cropping1D Cropping2D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU
    EinsumDense Embedding Flatten GRU GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D GroupNormalization Identity
    InputLayer LSTM Lambda LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D Maximum
    Minimum MultiHeadAttention Multiply Normalization PReLU Permute ReLU RepeatVector Rescaling
    Reshape Resizing SeparableConv1D SeparableConv2D SimpleRNN Softmax SpatialDropout1D
    SpatialDropout2D Subtract ThresholdedReLU TimeDistributed UpSampling1D UpSampling2D
    ZeroPadding1D ZeroPadding2D UnitNormalization QActivation QAdaptiveActivation QAveragePooling2D
    QBatchNormalization QBidirectional QConv1D QConv2D QConv2DBatchnorm QConv2DTranspose QDense
    QDepthwiseConv2D QDepthwiseConv2DBatchnorm QGRU QGlobalAveragePooling2D QLSTM QSeparableConv1D
    QSeparableConv2D QSimpleRNN PruneLowMagnitude Sequential Functional Model
"""
KERAS_CLASSES = frozenset(_NAMES.split())
# "Custom" and "Addons"-like packages name no module; "Custom" is the default of the decorator.
KNOWN_PACKAGES = frozenset({"", "keras", "tf_keras", "tensorflow", "qkeras", "keras_core"})
TFMOT = "tensorflow_model_optimization"
OPERATIONS = ("TFOpLambda", "SlicingOpLambda")  # calls of a TensorFlow function, by its name
ATTENTION = ("MultiHeadAttention", "Attention")  # called with several tensors by name
CODE_KEYS = frozenset({"function", "mask", "output_shape", "defaults", "closure"})


def plain_class(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return class name without its package, and the package.

    A foreign class that is called like a Keras or QKeras class keeps its package in the name
    ("mylib>Dense"): it may compute something else.
    """
    written = str(entry.get("class_name", ""))
    registered = entry.get("registered_name")
    module = entry.get("module")
    prefix, _, name = written.rpartition(">")
    if not prefix and isinstance(registered, str) and ">" in registered:
        prefix = registered.rpartition(">")[0]
    home = module.partition(".")[0] if isinstance(module, str) else ""
    package = prefix or ("" if home in KNOWN_PACKAGES else home)
    if isinstance(module, str) and re.match(r"(tf_)?keras(\.src)?\.ops\b", module):
        return f"ops>{name}", "keras.ops"
    foreign = package not in KNOWN_PACKAGES and TFMOT not in (home, package)
    if home in KNOWN_PACKAGES - {""} and prefix in KNOWN_PACKAGES | {"Custom"}:
        foreign = False
    if foreign and (name in KERAS_CLASSES or name.removeprefix("Q") in KERAS_CLASSES):
        return f"{package}>{name}", package
    config = entry.get("config")
    if name == "Merge" and isinstance(config, Mapping):
        name = KERAS1_MERGES.get(str(config.get("mode")), name)
    return KERAS1_CLASSES.get(name, name), package


def plain_value(value: Any) -> Any:
    """Return a configuration value without tuples, dtype policies and code in their Keras 3 forms.

    Code (`__lambda__`) is left out undecoded.
    """
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    name = value.get("class_name")
    if name == "__tuple__":
        return plain_value(value.get("items", []))
    if name == "__lambda__":
        return {"class_name": "__lambda__"}
    if name == "function" and str(value.get("module", "")).partition(".")[0] in (
        "keras",
        "tf_keras",
    ):
        return value.get("config")
    return {str(key): plain_value(item) for key, item in value.items() if key != "shared_object_id"}


def plain_dtype(value: Any) -> Any:
    """Return the name of a dtype or dtype policy."""
    if isinstance(value, Mapping):
        inner = value.get("config")
        return inner.get("name", "float32") if isinstance(inner, Mapping) else "float32"
    return value


def plain_config(
    class_name: str, written_class: str, package: str, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a layer's configuration in Keras 2 names."""
    if class_name.endswith("Lambda"):
        named = class_name in OPERATIONS and isinstance(config.get("function"), str)
        hidden = CODE_KEYS - {"function"} if named else CODE_KEYS
        config = {key: value for key, value in config.items() if key not in hidden}
    result = {key: plain_value(value) for key, value in config.items() if key != "layer"}
    if "dtype" in result:
        result["dtype"] = plain_dtype(config["dtype"])
    if "batch_shape" in result and result.get("batch_input_shape") is None:
        result["batch_input_shape"] = result["batch_shape"]
    if package:
        result["_package"] = package
    from_keras1(class_name, written_class, result)
    return result


def from_keras1(class_name: str, written_class: str, config: dict[str, Any]) -> None:
    """Rename Keras 1 arguments in place; a configuration of a later version stays as it is."""
    if class_name == "Reshape" or class_name.endswith("Lambda"):
        return
    for old, new in KERAS1_NAMES.items():
        if old in config and new not in config and _is_keras1(old, class_name):
            config[new] = config.pop(old)
    if config.get("dim_ordering") in KERAS1_ORDERINGS:
        config["data_format"] = KERAS1_ORDERINGS[config.pop("dim_ordering")]
    if class_name == "BatchNormalization" and "mode" in config and "center" not in config:
        config["center"] = config["scale"] = True
    if written_class == "Merge" and "concat_axis" in config:
        config["axis"] = config["concat_axis"]
    if class_name in ("GRU", "QGRU"):  # files without the key are older than it
        config.setdefault("reset_after", False)
    if "filter_length" in config:
        config["kernel_size"] = [config.pop("filter_length")]
    if "nb_row" in config and "nb_col" in config:
        config["kernel_size"] = [config.pop("nb_row"), config.pop("nb_col")]
    if written_class == "LeakyReLU" and "negative_slope" in config and "alpha" not in config:
        config["alpha"] = config["negative_slope"]


def _is_keras1(old: str, class_name: str) -> bool:
    """Tell whether `old` is a Keras 1 argument in this class (some names live on elsewhere)."""
    if old == "output_dim":
        return class_name not in ("Embedding",)
    if old in ("p", "bias", "init", "stride"):
        return class_name in KERAS1_CLASSES_RENAMED
    return True
