"""QKeras quantizers: read as data, applied to weights exactly, turned into integer operations."""

from qapflow.frontend.quantizers.parse import parse_quantizer
from qapflow.frontend.quantizers.spec import Quantizer, UnsupportedQuantizer
from qapflow.frontend.quantizers.weights import QuantizedWeights, quantize_weights

__all__ = [
    "QuantizedWeights",
    "Quantizer",
    "UnsupportedQuantizer",
    "parse_quantizer",
    "quantize_weights",
]
