"""Which weights the layers of Keras and QKeras have, in the order they are stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KERNEL = """
    Dense Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose EinsumDense BinaryDense
    TernaryDense
"""
KERNEL = frozenset(_KERNEL.split())
RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN"})
NORMALISATIONS = frozenset({"BatchNormalization", "LayerNormalization", "GroupNormalization"})
FUSED = {
    "QConv2DBatchnorm": "kernel",
    "QDepthwiseConv2DBatchnorm": "depthwise_kernel",
}
_WITHOUT_WEIGHTS = """
    InputLayer Activation ReLU LeakyReLU ELU Softmax ThresholdedReLU Flatten Reshape Permute
    RepeatVector Masking ZeroPadding1D ZeroPadding2D Cropping1D Cropping2D UpSampling1D
    UpSampling2D MaxPooling1D MaxPooling2D AveragePooling1D AveragePooling2D GlobalMaxPooling1D
    GlobalMaxPooling2D GlobalAveragePooling1D GlobalAveragePooling2D Concatenate Add Subtract
    Multiply Average Maximum Minimum Dot Dropout SpatialDropout1D SpatialDropout2D
    GaussianDropout GaussianNoise AlphaDropout ActivityRegularization Identity QActivation
    QAveragePooling2D QGlobalAveragePooling2D
"""
WITHOUT_WEIGHTS = frozenset(_WITHOUT_WEIGHTS.split())


@dataclass(frozen=True)
class Expected:
    """Names of a layer's weights: trainable ones first, as Keras stores them."""

    trainable: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names in order."""
        return self.trainable + self.fixed


# Layers that have the same weights whatever their configuration says.
ALWAYS: Mapping[str, Expected] = {
    "UnitNormalization": Expected(),
    "RMSNormalization": Expected(("scale",)),
    "PReLU": Expected(("alpha",)),
    "Embedding": Expected(("embeddings",)),
    "AdaptiveActivation": Expected(("step",), ("ema_min", "ema_max")),
    "Normalization": Expected((), ("mean", "variance", "count")),
    "FixedPointQuantizer": Expected((), ("keep_negative", "bits", "integers")),
}


def expected_weights(class_name: str, config: Mapping[str, Any]) -> Expected | None:
    """Return the weights of a layer, None for a class that is not known."""
    if class_name in FUSED:
        norm = _norm(config, moving=True)
        bias = ("bias",) if _flag(config, "use_bias") else ()
        return Expected((FUSED[class_name], *bias, *norm.trainable), ("iteration", *norm.fixed))
    if class_name in WITHOUT_WEIGHTS:
        return Expected()
    plain = re.sub(r"^Q(?=[A-Z])", "", class_name)
    bias = ("bias",) if _flag(config, "use_bias") else ()
    if plain == "EinsumDense":
        return Expected(("kernel", "bias") if config.get("bias_axes") else ("kernel",))
    if plain in KERNEL:
        return Expected(("kernel", *bias))
    if plain in ("DepthwiseConv1D", "DepthwiseConv2D"):
        return Expected(("depthwise_kernel", *bias))
    if plain in ("SeparableConv1D", "SeparableConv2D"):
        return Expected(("depthwise_kernel", "pointwise_kernel", *bias))
    if plain in RECURRENT:
        return Expected(("kernel", "recurrent_kernel", *bias))
    if plain == "RNN":
        return _cells(config)
    if plain in NORMALISATIONS:
        return _norm(config, moving=plain == "BatchNormalization")
    if plain == "Normalization" and config.get("mean") is not None:
        return Expected()
    return ALWAYS.get(plain)


def cell_configs(config: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return class and configuration of each cell of an RNN layer, the stacked ones in order."""
    cell = config.get("cell")
    if not isinstance(cell, Mapping) or not isinstance(cell.get("config"), Mapping):
        return []
    if cell.get("class_name") != "StackedRNNCells":
        return [(str(cell.get("class_name")), cell["config"])]
    found = [cell_configs({"cell": item}) for item in cell["config"].get("cells", ())]
    return [pair for pairs in found for pair in pairs]


def _cells(config: Mapping[str, Any]) -> Expected | None:
    """Return the weights of an RNN layer; those of stacked cells carry the cell's number."""
    names = []
    cells = cell_configs(config)
    for number, (class_name, own) in enumerate(cells):
        expected = expected_weights(class_name.removesuffix("Cell"), own)
        if expected is None or class_name.removesuffix("Cell").removeprefix("Q") not in RECURRENT:
            return None
        names += [f"{number}/{name}" if len(cells) > 1 else name for name in expected.names]
    return Expected(tuple(names)) if names else None


def _flag(config: Mapping[str, Any], key: str) -> bool:
    return bool(config.get(key, True))


def _norm(config: Mapping[str, Any], moving: bool) -> Expected:
    trainable = [
        name for name, key in (("gamma", "scale"), ("beta", "center")) if _flag(config, key)
    ]
    return Expected(tuple(trainable), ("moving_mean", "moving_variance") if moving else ())


def check_shapes(
    class_name: str, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> str:
    """Return what contradicts the configuration, "" if nothing does."""
    for name, wanted in wanted_shapes(class_name, config, shapes).items():
        found = shapes.get(name)
        if found is None:
            continue
        fits = len(found) == len(wanted) and all(
            want is None or want == have for want, have in zip(wanted, found, strict=True)
        )
        if not fits:
            text = ", ".join("?" if want is None else str(want) for want in wanted)
            return f"its {name} has shape {found}, its configuration asks for ({text})"
    return ""


def wanted_shapes(
    class_name: str, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes that follow from the configuration alone; None is any length."""
    plain = re.sub(r"^Q(?=[A-Z])|Batchnorm$", "", class_name)
    units, filters = _whole(config.get("units")), _whole(config.get("filters"))
    dims = int(plain[-2]) if re.search(r"[12]D$", plain) else 0
    window = _window(config.get("kernel_size"), dims)
    if plain == "Dense" and units is not None:
        return {"kernel": (None, units), "bias": (units,)}
    if plain in ("Conv1D", "Conv2D") and filters is not None:
        wanted = {"kernel": (*window, None, filters), "bias": (filters,)}
        return {**wanted, **_channel_shapes(shapes, filters, class_name)}
    if plain.startswith("DepthwiseConv"):
        return {"depthwise_kernel": (*window, None, _whole(config.get("depth_multiplier", 1)))}
    if plain.startswith("SeparableConv") and filters is not None:
        ones = (1,) * dims
        return {"depthwise_kernel": (*window, None, None),
                "pointwise_kernel": (*ones, None, filters), "bias": (filters,)}  # fmt: skip
    if plain == "BatchNormalization":
        sizes = [shape for shape in shapes.values() if len(shape) == 1]
        return dict.fromkeys(shapes, sizes[0]) if sizes else {}
    gates = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}.get(plain)
    if gates and units is not None:
        width = gates * units
        bias = (2, width) if plain == "GRU" and config.get("reset_after") else (width,)
        return {"kernel": (None, width), "recurrent_kernel": (units, width), "bias": bias}
    return {}


def _channel_shapes(
    shapes: Mapping[str, tuple[int, ...]], filters: int, class_name: str
) -> dict[str, tuple[int | None, ...]]:
    if class_name not in FUSED:
        return {}
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    return {name: (filters,) for name in names if name in shapes}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _window(value: object, dims: int) -> tuple[int | None, ...]:
    if isinstance(value, int):
        return (value,) * dims
    if isinstance(value, list | tuple) and len(value) == dims:
        return tuple(_whole(item) for item in value)
    return (None,) * dims
