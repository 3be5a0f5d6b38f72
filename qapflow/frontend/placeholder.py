"""Stand-ins for what a refused layer would give, so that the layers behind it are checked too.

Only complaints that do not hang on shapes count there: the shapes are guesses.
"""

from __future__ import annotations

from qapflow.frontend.model import LayerSpec
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed

KIND = Fixed(True, 8, 4)
SIDE = 64  # long enough for any window that follows
CHANNELS = 4


def add_placeholder(builder: NetBuilder, layer: LayerSpec, shape: tuple[int, ...]) -> str:
    """Add an edge in place of the output of `layer`."""
    return builder.add_input(f"{layer.name}_placeholder", shape, KIND)


def guess_inputs(layer: LayerSpec) -> tuple[tuple[int, ...], ...]:
    """Return shapes with which the layer's weights would work, one for each input."""
    return (_guess(layer),) * max(len(layer.inbound), 1)


def _guess(layer: LayerSpec) -> tuple[int, ...]:
    groups = int(layer.config.get("groups") or 1)
    for name in ("kernel", "depthwise_kernel"):
        if name in layer.weights and layer.weights[name].ndim >= 2:
            shape = layer.weights[name].shape
            depth = shape[-1] if layer.class_name.endswith("Transpose") else shape[-2] * groups
            return (SIDE,) * (len(shape) - 2) + (depth,)
    rank = 2 if layer.class_name.endswith("2D") else int(layer.class_name.endswith("1D"))
    channels = next((w.shape[-1] for w in layer.weights.values() if w.ndim == 1), CHANNELS)
    return (SIDE,) * rank + (channels,)
