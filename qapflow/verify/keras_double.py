"""What Keras's process changes to compute in double precision what it else computes in single."""

from __future__ import annotations

import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import numpy as np

_EPSILON = b"eps = tf.keras.backend.epsilon()"
_BARE = {
    b"pow(2.0,": b"pow(np.float64(2.0),",
    _EPSILON: _EPSILON.replace(b"tf", b"np.float64(np.float32(tf") + b"))",
}
_CALL = re.compile(r"\w+\(.*\)", re.DOTALL)  # a quantizer as text
_REAL = re.compile(r"(?<![\w.])\d+(?:\.\d*(?:e[+-]?\d+)?|e[+-]?\d+)", re.IGNORECASE)


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
