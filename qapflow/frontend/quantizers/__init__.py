"""QKeras quantizers: read as data, applied to weights exactly, turned into integer operations."""

from qapflow.frontend.quantizers.activations import add_activation
from qapflow.frontend.quantizers.keras_activations import add_keras_activation
from qapflow.frontend.quantizers.parse import parse_quantizer
from qapflow.frontend.quantizers.site import Activated
from qapflow.frontend.quantizers.spec import Quantizer, UnsupportedQuantizer
from qapflow.frontend.quantizers.weights import QuantizedWeights, quantize_weights

__all__ = [
    "Activated",
    "QuantizedWeights",
    "Quantizer",
    "UnsupportedQuantizer",
    "add_activation",
    "add_keras_activation",
    "parse_quantizer",
    "quantize_weights",
]
