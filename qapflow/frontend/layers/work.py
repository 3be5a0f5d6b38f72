"""What a layer's handler works with: its specification, its inputs, and the growing network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import QapflowError, UsageError
from qapflow.frontend.layers.chosen import round_const, settle_type
from qapflow.frontend.model import LayerSpec, LoadOptions
from qapflow.frontend.quantizers import (
    Quantizer,
    UnsupportedQuantizer,
    add_activation,
    add_keras_activation,
    parse_quantizer,
    quantize_weights,
)
from qapflow.frontend.readers import is_rounding
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Overflow, Rounding
from qapflow.ir.ops import Const, Op, Quantize

QKERAS_ONLY = ("hard_sigmoid",)  # names that Keras and QKeras give to different functions
DTYPES = (None, "float32")

Shape = tuple[int, ...]


class LayerRefused(QapflowError):
    """A layer that cannot be built; collected into `ModelUnsupported`."""

    exit_code = 4


@dataclass
class Work:
    """One layer in translation.

    `reasons` collects why the layer is not exact; empty means regime "exact". `quantizes_next`
    tells whether every reader of the layer's output rounds to a grid of its own, so that the exact
    result may flow on unrounded; `next_quantizers` are those readers if they follow directly.
    `inner` is set when the edge itself differs from the layer's floats by less than any of them
    can tell, `decided` when moreover the result of the only quantizer that reads it is proved for
    every code, `decides` when an input is such an edge.
    """

    spec: LayerSpec
    builder: NetBuilder
    inputs: tuple[str, ...]
    options: LoadOptions
    keras_version: str
    quantizes_next: bool
    next_quantizers: tuple[Quantizer, ...] = ()
    inner: bool = False
    decided: bool = False
    decides: bool = False
    guessed: bool = False
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kernels: list[tuple[NDArray[Any], Const]] = field(default_factory=list)

    @property
    def config(self) -> Mapping[str, Any]:
        """Configuration of the layer."""
        return self.spec.config

    @property
    def input(self) -> str:
        """The only input edge."""
        if len(self.inputs) != 1:
            raise self.refuse(f"it is called with {len(self.inputs)} inputs, one is expected")
        return self.inputs[0]

    def shape(self, edge: str | None = None) -> Shape:
        """Shape of an edge, without the batch."""
        return self.builder.edges[edge or self.input].shape

    def add(self, op: Op, *inputs: str, suffix: str = "") -> str:
        """Add an operation named after the layer."""
        return self.builder.add(
            self._named(suffix), op, *(inputs or (self.input,)), origin=self.spec.name
        )

    def refuse(self, reason: str, hint: str = "") -> LayerRefused:
        """Return the error that refuses this layer."""
        return LayerRefused(reason, hint=hint)

    def misfit(self, reason: str, hint: str = "check the model") -> QapflowError:
        """Return the error for a layer that does not fit the shape of its input.

        Behind a refused layer the shape is a guess, and the misfit proves nothing.
        """
        return UsageError(reason) if self.guessed else LayerRefused(reason, hint=hint)

    def setting(self, name: str, default: Any, *allowed: Any) -> Any:
        """Read a setting that must be one of `allowed`."""
        value = self.config.get(name, default)
        if value not in allowed:
            raise self.refuse(f"{name}={value!r} is not supported")
        return value

    def channels_last(self) -> None:
        """Refuse layers that keep channels first."""
        if self.config.get("data_format") == "channels_first":
            raise self.refuse(
                "data_format='channels_first' is not supported",
                "build the model with channels_last",
            )

    def image_rank(self) -> int:
        """Return 1 or 2 spatial axes as the class name says; the input has them and channels."""
        rank = 1 if self.spec.class_name.endswith("1D") else 2
        if len(self.shape()) != rank + 1:
            raise self.misfit(f"it gets an input of shape {self.shape()}")
        return rank

    def array(self, name: str) -> NDArray[np.floating[Any]]:
        """Return a stored weight by name."""
        if name not in self.spec.weights:
            raise self.refuse(
                f"its weight {name!r} is not in the file", "save the model again, weights included"
            )
        return self.spec.weights[name]

    def kernel(self, name: str, quantizer_key: str, role: str = "kernel") -> Const:
        """Weights of a product, quantized as the layer says; floats are rounded by rule."""
        return self.fold_kernel(self.array(name), quantizer_key, role)

    def fold_kernel(
        self, values: NDArray[np.floating[Any]], quantizer_key: str, role: str = "kernel"
    ) -> Const:
        """Quantize computed weights as the layer says."""
        made = quantize_weights(self.quantizer(quantizer_key), values, role)
        const = made.const
        if not made.exact:
            self.reasons.append(made.reason)
            const = round_const(const, self.options.float_bits)
        self.kernels.append((values, const))
        return const

    def float_const(self, const: Const) -> Const:
        """Round float constants by the rule for weights."""
        return round_const(const, self.options.float_bits)

    def quantizer(self, key: str) -> Quantizer | None:
        """Return the quantizer that a setting names."""
        return self._parse(self.config.get(key))

    def _parse(self, spec: Any) -> Quantizer | None:
        quantizer = parse_quantizer(spec)
        if quantizer is not None and quantizer.note:
            self.notes.append(f"{self.spec.name}: {quantizer.note}")
        return quantizer

    def own_quantizer(self) -> Quantizer | None:
        """Return the layer's own activation, None without one."""
        spec = self.config.get("activation")
        if activation_layer(spec) is not None:
            return None
        quantizer = parse_quantizer(spec)
        return None if quantizer is None or quantizer.kind == "linear" else quantizer

    def deciders(self) -> tuple[Quantizer, ...]:
        """Return the quantizers that alone read the sum of the layer; empty if others do."""
        if activation_layer(self.config.get("activation")) is not None:
            return ()
        own = self.own_quantizer()
        return self.next_quantizers if own is None else (own,)

    def finish(self, edge: str) -> str:
        """Apply the layer's own activation, then settle what is left in floats."""
        return self.activate(self.settle(edge), self.config.get("activation"))

    def activate(self, edge: str, activation: Any, suffix: str = "act") -> str:
        """Add an activation given as Keras writes it: name, string, dictionary or None."""
        if (layer := activation_layer(activation)) is not None:
            return self.keras_activate(edge, *layer, suffix=suffix)
        quantizer = self._parse(activation)
        if quantizer is None or quantizer.kind == "linear":
            return edge
        if quantizer.kind in QKERAS_ONLY and not self.spec.class_name.startswith("Q"):
            return self.keras_activate(edge, quantizer.kind, {}, suffix=suffix)
        made = add_activation(
            self.builder,
            quantizer,
            edge,
            self._named(suffix),
            self.spec.name,
            float_bits=self.options.float_bits,
        )
        if not made.exact and not (self.decides or self.decided):
            self.reasons.append(made.reason)
        return made.edge

    def _named(self, suffix: str) -> str:
        return f"{self.spec.name}_{suffix}" if suffix else self.spec.name

    def keras_activate(
        self, edge: str, name: str, params: Mapping[str, Any], suffix: str = ""
    ) -> str:
        """Add a Keras activation function with parameters."""
        made = add_keras_activation(
            self.builder,
            name,
            params,
            edge,
            self._named(suffix),
            self.spec.name,
            float_bits=self.options.float_bits,
            keras_version=self.keras_version or "2",
        )
        if not made.exact:
            self.reasons.append(made.reason)
        return made.edge

    def settle(self, edge: str) -> str:
        """Round the result of a float layer to the chosen width, unless a quantizer follows."""
        own = self.own_quantizer()
        follows = self.quantizes_next
        if own is not None and own.kind != "relu":
            follows = is_rounding(own)
        width = self.builder.edges[edge].type.width
        if not self.reasons or follows or width <= self.options.float_bits:
            return edge
        kind = settle_type(self.builder, edge, self.options.float_bits)
        self.reasons.append(f"result rounded to {kind}")
        return self.add(Quantize(kind, Rounding.RND, Overflow.SAT), edge, suffix="chosen")


Handler = Callable[[Work], str]


def activation_layer(spec: Any) -> tuple[str, dict[str, Any]] | None:
    """Return name and parameters of an activation given as a Keras layer, such as LeakyReLU."""
    if not isinstance(spec, Mapping) or not isinstance(spec.get("config"), Mapping):
        return None
    config = spec["config"]
    if spec.get("class_name") == "ReLU":
        return "relu", {
            "max_value": config.get("max_value"),
            "negative_slope": number(config.get("negative_slope"), 0.0),
            "threshold": number(config.get("threshold"), 0.0),
        }
    if spec.get("class_name") == "LeakyReLU":
        slope = config.get("negative_slope", config.get("alpha"))
        return "relu", {"negative_slope": number(slope, 0.3)}
    if spec.get("class_name") == "ELU":
        return "elu", {"alpha": number(config.get("alpha"), 1.0)}
    if spec.get("class_name") == "ThresholdedReLU":
        return "relu", {"threshold": number(config.get("theta"), 1.0)}
    return None


def number(value: Any, default: float) -> float:
    """Read a number that Keras may have written as an array."""
    if isinstance(value, Mapping):
        value = value.get("value", value.get("config"))
        if isinstance(value, Mapping):
            value = value.get("value")
    if value is None:
        return default
    try:
        return float(np.asarray(value, np.float64).reshape(()))
    except (TypeError, ValueError) as error:
        raise LayerRefused(f"{value!r} is no number") from error


def pair(value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """Spell a setting that Keras takes as a number or a list out for every axis."""
    items = (value,) * rank if isinstance(value, int) else value
    if isinstance(items, Sequence) and len(items) == rank and min(map(int, items)) >= least:
        return tuple(int(item) for item in items)
    raise LayerRefused(f"{value!r} is no setting for {rank} axes")


__all__ = [
    "DTYPES",
    "Handler",
    "LayerRefused",
    "UnsupportedQuantizer",
    "Work",
    "pair",
]
