"""What a layer's handler works with: its specification, its inputs, and the growing network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import QapflowError
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
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Overflow, Rounding
from qapflow.ir.ops import Const, Op, Quantize

BIAS_FRAC = 32  # finest grid on which a float bias or offset is kept

Shape = tuple[int, ...]


class LayerRefused(QapflowError):
    """A layer that cannot be built; collected into `ModelUnsupported`."""

    exit_code = 4


@dataclass
class Work:
    """One layer in translation.

    `reasons` collects why the layer is not exact; empty means regime "exact". `quantizes_next`
    tells whether every reader of the layer's output is a quantizer, so that the exact result may
    flow on unrounded.
    """

    spec: LayerSpec
    builder: NetBuilder
    inputs: tuple[str, ...]
    options: LoadOptions
    keras_version: str
    quantizes_next: bool
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
        name = self.spec.name + (f"_{suffix}" if suffix else "")
        return self.builder.add(name, op, *(inputs or (self.input,)), origin=self.spec.name)

    def refuse(self, reason: str, hint: str = "") -> LayerRefused:
        """Return the error that refuses this layer."""
        return LayerRefused(reason, hint=hint)

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
        made = quantize_weights(self._quantizer(quantizer_key), values, role)
        const = made.const
        if not made.exact:
            self.reasons.append(made.reason)
            const = round_const(const, self.options.float_bits)
        self.kernels.append((values, const))
        return const

    def bias(self, quantizer_key: str = "bias_quantizer", name: str = "bias") -> Const | None:
        """Bias, None without one."""
        if not self.config.get("use_bias", True):
            return None
        return self.fold_bias(self.array(name), quantizer_key)

    def fold_bias(
        self, values: NDArray[np.floating[Any]], quantizer_key: str = "bias_quantizer"
    ) -> Const:
        """Quantize a bias; a float bias keeps every bit down to 2**-32."""
        made = quantize_weights(self._quantizer(quantizer_key), values, "bias")
        if made.const.type.frac <= BIAS_FRAC:
            if not made.exact and made.const.type.width > 24:
                self.reasons.append(f"bias: {made.reason}")
            return made.const
        if not made.exact:
            self.reasons.append(f"bias: {made.reason}")
        return Const.exact(np.ldexp(np.rint(np.ldexp(values.astype(float), BIAS_FRAC)), -BIAS_FRAC))

    def _quantizer(self, key: str) -> Quantizer | None:
        return self._parse(self.config.get(key))

    def _parse(self, spec: Any) -> Quantizer | None:
        quantizer = parse_quantizer(spec)
        if quantizer is not None and quantizer.note:
            self.notes.append(f"{self.spec.name}: {quantizer.note}")
        return quantizer

    def finish(self, edge: str) -> str:
        """Apply the layer's own activation, then settle what is left in floats."""
        return self.activate(self.settle(edge), self.config.get("activation"))

    def activate(self, edge: str, activation: Any, suffix: str = "act") -> str:
        """Add an activation given as Keras writes it: name, string, dictionary or None."""
        quantizer = self._parse(activation)
        if quantizer is None or quantizer.kind == "linear":
            return edge
        made = add_activation(
            self.builder,
            quantizer,
            edge,
            f"{self.spec.name}_{suffix}" if suffix else self.spec.name,
            self.spec.name,
            float_bits=self.options.float_bits,
        )
        if not made.exact:
            self.reasons.append(made.reason)
        return made.edge

    def keras_activate(self, edge: str, name: str, params: Mapping[str, Any]) -> str:
        """Add a Keras activation function with parameters."""
        made = add_keras_activation(
            self.builder,
            name,
            params,
            edge,
            self.spec.name,
            self.spec.name,
            float_bits=self.options.float_bits,
            keras_version=self.keras_version or "2",
        )
        if not made.exact:
            self.reasons.append(made.reason)
        return made.edge

    def settle(self, edge: str) -> str:
        """Round the result of a float layer to the chosen width, unless a quantizer follows."""
        quantized = parse_quantizer(self.config.get("activation"))
        follows = self.quantizes_next if quantized is None else quantized.kind.startswith("quant")
        width = self.builder.edges[edge].type.width
        if not self.reasons or follows or width <= self.options.float_bits:
            return edge
        kind = settle_type(self.builder, edge, self.options.float_bits)
        self.reasons.append(f"result rounded to {kind}")
        return self.add(Quantize(kind, Rounding.RND, Overflow.SAT), edge, suffix="chosen")


Handler = Callable[[Work], str]


def pair(value: Any, rank: int) -> tuple[int, ...]:
    """Spell a setting that Keras takes as a number or a list out for every axis."""
    if isinstance(value, int):
        return (value,) * rank
    if isinstance(value, Sequence) and len(value) == rank:
        return tuple(int(item) for item in value)
    raise LayerRefused(f"{value!r} is no setting for {rank} axes")


__all__ = ["Handler", "LayerRefused", "UnsupportedQuantizer", "Work", "pair"]
