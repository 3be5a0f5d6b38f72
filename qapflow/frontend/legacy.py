"""Old and new spellings of layer configurations brought to those of Keras 2."""

from __future__ import annotations

from typing import Any

# Keras 1 -> Keras 2
RENAMED = {
    "output_dim": "units",
    "nb_filter": "filters",
    "border_mode": "padding",
    "subsample": "strides",
    "subsample_length": "strides",
    "filter_length": "kernel_size",
    "pool_length": "pool_size",
    "stride": "strides",
    "p": "rate",
    "dim_ordering": "data_format",
    "bias": "use_bias",
    "init": "kernel_initializer",
    "mode": "mode",
}
CLASSES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "AtrousConvolution2D": "Conv2D",
}
RENAMED_FOR = {
    "Dense": {"output_dim", "bias", "init"},
    "Conv1D": {"nb_filter", "border_mode", "subsample_length", "filter_length", "bias", "init"},
    "Conv2D": {"nb_filter", "border_mode", "subsample", "dim_ordering", "bias", "init"},
    "MaxPooling1D": {"pool_length", "stride", "border_mode"},
    "AveragePooling1D": {"pool_length", "stride", "border_mode"},
    "MaxPooling2D": {"border_mode", "dim_ordering"},
    "AveragePooling2D": {"border_mode", "dim_ordering"},
    "Dropout": {"p"},
    "Flatten": set(),
}
DATA_FORMATS = {"tf": "channels_last", "th": "channels_first"}


def update_config(layer: dict[str, Any]) -> None:
    """Rename what other versions of Keras spell otherwise, in place."""
    layer["class_name"] = CLASSES.get(str(layer.get("class_name")), layer.get("class_name"))
    config = layer["config"]
    if isinstance(config, list):
        return
    if "batch_shape" in config and "batch_input_shape" not in config:
        config["batch_input_shape"] = config["batch_shape"]
    for old in RENAMED_FOR.get(str(layer["class_name"]), ()):
        if old in config:
            config.setdefault(RENAMED[old], config.pop(old))
    if {"nb_row", "nb_col"} <= config.keys():
        config.setdefault("kernel_size", [config.pop("nb_row"), config.pop("nb_col")])
    if config.get("data_format") in DATA_FORMATS:
        config["data_format"] = DATA_FORMATS[config["data_format"]]
    config.setdefault("name", layer.get("name", ""))
