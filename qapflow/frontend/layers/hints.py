"""What to say of classes that no handler translates."""

from __future__ import annotations

from collections.abc import Mapping

from qapflow.frontend.layers.table import HANDLERS
from qapflow.frontend.model import LayerSpec

RECURRENT = "use LSTM or GRU behind Conv layers"
CUDNN = "build the model again with LSTM or GRU, whose weights are converted by load_weights"
OPERATION = "replace the TensorFlow operation by a Keras layer (Add, Multiply, Reshape ...)"
ATTENTION = "attention is not built: use Dense, pooling and Multiply layers"

HINTS: Mapping[str, str] = {
    "Lambda": "replace the Lambda by Keras layers: its code is never run, so it cannot be built",
    "TensorFlowOpLayer": OPERATION,
    "InstanceProperty": OPERATION,
    "InstanceMethod": OPERATION,
    "ClassMethod": OPERATION,
    "CuDNNLSTM": CUDNN,
    "CuDNNGRU": CUDNN,
    "ConvLSTM1D": RECURRENT,
    "ConvLSTM2D": RECURRENT,
    "PruneLowMagnitude": "strip the wrapper with tfmot.sparsity.keras.strip_pruning",
    "QuantizeWrapperV2": "models of tfmot's quantize_model are not built: quantize with QKeras",
    "QuantizeLayer": "models of tfmot's quantize_model are not built: quantize with QKeras",
    "ClusterWeights": "strip the wrapper with tfmot.clustering.keras.strip_clustering",
    "Masking": "masking depends on the data: give sequences of fixed length",
    "AdditiveAttention": ATTENTION,
    "Conv3DTranspose": "merge two of the axes with Reshape and use Conv2DTranspose",
    "Conv3D": "merge two of the axes with Reshape and use Conv2D",
}
OTHERWISE = "replace it by layers that docs/layers.md lists"


def why_unknown(layer: LayerSpec) -> tuple[str, str]:
    """Return reason and way out for a layer of a class without handler."""
    name = layer.class_name
    plain, called, _ = name.partition("(")
    if called and plain in HANDLERS:
        hint = "call it with its input only, and save the model again"
        return f"it is called with settings that change what it computes: {name}", hint
    package, custom, own = name.rpartition(">")
    if package == "ops":
        return f"the operation {own} is not supported", OPERATION
    if custom and (own in HANDLERS or own in HINTS):
        return (
            f"{own} of the package {package!r} is not the layer of that name in Keras or QKeras",
            OTHERWISE,
        )
    return f"layers of class {name} are not supported", HINTS.get(plain, OTHERWISE)
