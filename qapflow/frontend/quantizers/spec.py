"""Quantizers as data: which kinds exist, what parameters each takes, and what they mean unset.

The table follows the constructors of QKeras 0.9.0. Parameters that later versions added stand at
the end of each entry; only their neutral value is understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from qapflow.errors import QapflowError


class UnsupportedQuantizer(QapflowError):
    """A quantizer that cannot be reproduced exactly; `reason` and `hint` go to `Unsupported`."""

    exit_code = 4

    def __init__(self, reason: str, hint: str = "", at: str = "") -> None:
        super().__init__(reason, at, hint or "use a quantizer that docs/quantizers.md lists")
        self.reason = reason


@dataclass(frozen=True)
class Quantizer:
    """One quantizer or activation with every parameter filled in.

    `text` is how the user wrote it (or the shortest way to write it); `note` says what a reader
    would not expect from `text`.
    """

    kind: str
    params: Mapping[str, Any]
    text: str
    note: str = ""

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash((self.kind, self.text))

    def __getitem__(self, name: str) -> Any:
        return self.params[name]

    def replace(self, **params: Any) -> Quantizer:
        """Return the same quantizer with other parameters (the text stays)."""
        return Quantizer(
            self.kind, MappingProxyType({**self.params, **params}), self.text, self.note
        )


_NOISE: dict[str, Any] = {
    "qnoise_factor": 1.0,
    "var_name": None,
    "use_ste": True,
    "use_variables": False,
}
_BITS: dict[str, Any] = {"bits": 8, "integer": 0, "symmetric": 0}
_SCALE: dict[str, Any] = {"alpha": None, "use_stochastic_rounding": False, "scale_axis": None}
_LATER_SCALE: dict[str, Any] = {
    "elements_per_scale": None,
    "min_po2_exponent": None,
    "max_po2_exponent": None,
}
_PO2: dict[str, Any] = {
    "use_stochastic_rounding": False,
    "quadratic_approximation": False,
    "log2_rounding": "rnd",
    **_NOISE,
}

# kind -> parameter -> default, in the order of positional arguments
KINDS: Mapping[str, Mapping[str, Any]] = {
    "quantized_bits": {
        **_BITS,
        "keep_negative": True,
        **_SCALE,
        **_NOISE,
        **_LATER_SCALE,
        "post_training_scale": None,
    },
    "quantized_linear": {
        **_BITS,
        "symmetric": 1,
        "keep_negative": True,
        **_SCALE,
        "qnoise_factor": 1.0,
        "var_name": None,
        "use_variables": False,
    },
    "bernoulli": {"alpha": None, "temperature": 6.0, "use_real_sigmoid": True},
    "ternary": {
        "alpha": None,
        "threshold": None,
        "use_stochastic_rounding": False,
        "number_of_unrolls": 5,
    },
    "stochastic_ternary": {
        "alpha": None,
        "threshold": None,
        "temperature": 8.0,
        "use_real_sigmoid": True,
        "number_of_unrolls": 5,
    },
    "binary": {
        "use_01": False,
        "alpha": None,
        "use_stochastic_rounding": False,
        "scale_axis": None,
        **_LATER_SCALE,
    },
    "stochastic_binary": {"alpha": None, "temperature": 6.0, "use_real_sigmoid": True},
    "quantized_relu": {
        "bits": 8,
        "integer": 0,
        "use_sigmoid": 0,
        "negative_slope": 0.0,
        "use_stochastic_rounding": False,
        "relu_upper_bound": None,
        "is_quantized_clip": True,
        **_NOISE,
        "enable_fast_inference": False,
    },
    "quantized_ulaw": {**_BITS, "u": 255.0},
    "quantized_tanh": {
        "bits": 8,
        "use_stochastic_rounding": False,
        "symmetric": False,
        "use_real_tanh": False,
    },
    "quantized_sigmoid": {
        "bits": 8,
        "symmetric": False,
        "use_real_sigmoid": False,
        "use_stochastic_rounding": False,
    },
    "quantized_po2": {"bits": 8, "max_value": None, **_PO2},
    "quantized_relu_po2": {"bits": 8, "max_value": None, "negative_slope": 0, **_PO2},
    "quantized_hswish": {
        **_BITS,
        **_SCALE,
        **_NOISE,
        "relu_shift": 3,
        "relu_upper_bound": 6,
        "keep_negative": True,
        **_LATER_SCALE,
        "post_training_scale": None,
    },
    # functions of qkeras.quantizers; `hard_sigmoid` shadows the one of Keras inside QKeras layers
    "hard_sigmoid": {},
    "smooth_sigmoid": {},
    "binary_sigmoid": {},
    "hard_tanh": {},
    "smooth_tanh": {},
    "binary_tanh": {},
}

# activations of Keras that a quantizer may name
KERAS_ACTIVATIONS = (
    "linear",
    "relu",
    "relu6",
    "relu1",  # of BinaryNet's Keras port, as `ternary_tanh`
    "ternary_tanh",
    "leaky_relu",
    "sigmoid",
    "tanh",
    "softmax",
    "elu",
    "selu",
    "softplus",
    "softsign",
    "exponential",
    "swish",
    "silu",
    "gelu",
    "mish",
    "celu",
    "hard_silu",
    "hard_swish",
    "log_sigmoid",
    "soft_shrink",
    "hard_shrink",
    "tanh_shrink",
)

# parameters that do not change what a quantizer computes at inference
INERT = ("var_name", "use_ste", "use_variables", "use_stochastic_rounding")

# parameters understood only at this value
NEUTRAL: Mapping[str, Any] = {
    "qnoise_factor": 1.0,
    "elements_per_scale": None,
    "min_po2_exponent": None,
    "max_po2_exponent": None,
    "post_training_scale": None,
    "enable_fast_inference": False,
}


def make(kind: str, params: Mapping[str, Any], text: str = "", note: str = "") -> Quantizer:
    """Fill in defaults; without `text`, write the parameters that differ from them."""
    full = {**KINDS.get(kind, {}), **params}
    return Quantizer(kind, MappingProxyType(full), text or _write(kind, full), note)


def _write(kind: str, params: Mapping[str, Any]) -> str:
    defaults = KINDS.get(kind, {})
    parts: list[str] = []
    for name, value in params.items():
        positional = name in ("bits", "integer") and len(parts) == ("bits", "integer").index(name)
        if positional:
            parts.append(str(value))
        elif name not in defaults or value != defaults[name]:
            parts.append(f"{name}={value!r}")
    return f"{kind}({','.join(parts)})" if parts else kind
