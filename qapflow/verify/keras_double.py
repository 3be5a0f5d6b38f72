"""What Keras's process changes to compute in double precision what it else computes in single."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_EPSILON = b"eps = tf.keras.backend.epsilon()"
_BARE = {
    b"pow(2.0,": b"pow(np.float64(2.0),",
    b"log(1 + self.u)": b"log(np.float64(1 + self.u))",
    _EPSILON: _EPSILON.replace(b"tf", b"np.float64(np.float32(tf") + b"))",
}
_CALL = re.compile(r"\w+\(.*\)", re.DOTALL)  # a quantizer as text
_REAL = re.compile(r"(?<![\w.])\d+(?:\.\d*(?:e[+-]?\d+)?|e[+-]?\d+)", re.IGNORECASE)

_QUANTIZED = {  # of a layer: its quantizer and what that quantizes
    "kernel": "kernel",
    "bias": "bias",
    "depthwise": "depthwise_kernel",
    "pointwise": "pointwise_kernel",
    "recurrent": "recurrent_kernel",
    "gamma": "gamma",
    "beta": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}


def double_qkeras(folder: Path) -> None:
    """Import QKeras from a copy in `folder` that says float64 wherever its source says float32.

    Its quantizers cast their inputs to float32 whatever precision Keras is set to, and a bare 2.0
    or epsilon before a tensor becomes float32 in a graph. A copy, since TensorFlow compiles layers
    from the files it finds, not from what was imported.
    """
    spec = PathFinder.find_spec("qkeras")
    if spec is None or spec.origin is None:
        return
    source = Path(spec.origin).parent
    for path in source.rglob("*.py"):
        text = path.read_bytes().replace(b"float32", b"float64")
        copy = folder / "qkeras" / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        for single, double in _BARE.items():
            text = text.replace(single, double)
        copy.write_bytes(text)
    sys.path.insert(0, str(folder))


def round_constants(config: Any) -> Any:
    """Return a model's configuration with every real number as float32 holds it.

    In single precision Keras turns a slope of 0.3 into the nearest float32: that is the number to
    compute with, also in double precision. Real numbers in texts of quantizers are rounded too.
    """
    if isinstance(config, dict):
        return {name: round_constants(value) for name, value in config.items()}
    if isinstance(config, list):
        return [round_constants(value) for value in config]
    if isinstance(config, float):
        return float(np.float32(config))
    if isinstance(config, str) and _CALL.fullmatch(config):
        return _REAL.sub(lambda found: repr(float(np.float32(found[0]))), config)
    return config


def quantized_weights(model: Any) -> dict[str, Array]:
    """Return what weight quantizers give in single precision, by place, layer and quantizer.

    A level times a scale of 1.7 is rounded to float32 by Keras: that product is the constant to
    compute with, also in double precision. Weights that are quantized after a folding are left out.
    """
    return {
        f"{place}:{layer.name}:{name}": np.asarray(quantizer(weight))
        for place, layer, name, quantizer, weight in weight_quantizers(model)
    }


def pin_weights(model: Any, found: Mapping[str, Array], make: Callable[[Array], Any]) -> None:
    """Let the quantizers of a copy of the model give what `quantized_weights` found.

    `make` turns an array into a constant of the copy's precision.

    Raises:
        ValueError: the copy has other layers.
    """
    places = {
        f"{place}:{layer.name}:{name}": (layer, name)
        for place, layer, name, _, _ in weight_quantizers(model)
    }
    if set(places) != set(found):
        raise ValueError(f"its layers differ: {sorted(set(places) ^ set(found))[0]}")
    for key, (layer, name) in places.items():
        vars(layer)[name] = _give(make(found[key]))


def weight_quantizers(model: Any) -> Iterator[tuple[int, Any, str, Any, Any]]:
    """Yield place, layer, the quantizer's attribute, quantizer and weight; no folding layers."""
    for place, layer in enumerate(model._flatten_layers(include_self=False)):
        for role, attribute in _QUANTIZED.items():
            name = f"{role}_quantizer_internal"
            quantizer, weight = vars(layer).get(name), vars(layer).get(attribute)
            if quantizer is not None and weight is not None and not _folds(layer):
                yield place, layer, name, quantizer, weight


def _folds(layer: Any) -> bool:
    return hasattr(layer, "get_folded_weights")


def _give(constant: Any) -> Callable[[Any], Any]:
    return lambda weight: constant
