"""One time step of each recurrent cell, as Keras and QKeras compute it.

The gates are separate sums of products, so that each has its own type. Formulas:
`keras/layers/rnn/{simple_rnn,lstm,gru}.py` and `qkeras/qrecurrent.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from qapflow.frontend.layers.chosen import round_const, round_to, settle_type
from qapflow.frontend.layers.work import Work
from qapflow.frontend.quantizers import quantize_weights
from qapflow.frontend.quantizers.lines import SMOOTH, add_lines
from qapflow.frontend.quantizers.site import Site
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Affine, Const, Dense, Merge, Quantize

FLOAT32_BITS = 24
FINEST = 32


@dataclass(frozen=True)
class Gate:
    """Weights of one gate: of the input, of the state, and the bias of either."""

    kernel: Const
    recurrent: Const
    bias: Const | None
    recurrent_bias: Const | None


@dataclass(frozen=True)
class Step:
    """One time step in translation: the input slice and the states, quantized as the cell says.

    `rounds` tells that floats flow, so that what is wide is rounded to the chosen width.
    """

    work: Work
    gates: tuple[Gate, ...]
    x: str
    states: tuple[str, ...]
    rounds: bool

    def product(self, k: int, name: str, state: str = "") -> tuple[str, str]:
        """Return both sums of gate `k`: of the input and of the state."""
        gate = self.gates[k]
        of_input = self.work.add(Dense(gate.kernel, gate.bias), self.x, suffix=f"{name}_input")
        inner = Dense(gate.recurrent, gate.recurrent_bias)
        return of_input, self.work.add(inner, state or self.states[0], suffix=f"{name}_state")

    def gate(self, k: int, name: str, activation: str) -> str:
        """Return activation(x W + h U + b) of gate `k`."""
        return self.activate(self.merge("add", *self.product(k, name), name), name, activation)

    def activate(self, edge: str, name: str, activation: str) -> str:
        """Apply one of the cell's activations, given by the name of its setting."""
        work, setting = self.work, self.work.config.get(activation)
        if isinstance(setting, str) and setting in SMOOTH:
            site = Site(work.builder, edge, f"{work.spec.name}_{name}_act", work.spec.name)
            made = add_lines(site, setting, work.options.float_bits - 2)
            work.reasons.append(made.reason)
            return made.edge
        return self.narrow(work.activate(edge, setting, f"{name}_act"), f"{name}_chosen")

    def merge(self, kind: str, left: str, right: str, name: str) -> str:
        """Add, subtract or multiply two edges."""
        return self.work.add(Merge(kind), left, right, suffix=name)  # type: ignore[arg-type]

    def narrow(self, edge: str, name: str) -> str:
        """Round a wide edge to the chosen width where floats flow."""
        builder, bits = self.work.builder, self.work.options.float_bits
        if not self.rounds or builder.edges[edge].type.width <= bits:
            return edge
        kind = settle_type(builder, edge, bits)
        return self.work.add(Quantize(kind, Rounding.RND, Overflow.SAT), edge, suffix=name)

    def below_one(self, edge: str) -> bool:
        """Tell whether an edge is proved to lie in [0, 1]."""
        return self.work.builder.intervals[edge].low >= 0 and peak_of(self.work, edge) <= 1


def peak_of(work: Work, edge: str) -> Fraction:
    """Return the largest magnitude an edge can have."""
    interval = work.builder.intervals[edge]
    return max(abs(interval.low), abs(interval.high)) * work.builder.edges[edge].type.lsb


@dataclass(frozen=True)
class Stepped:
    """The next states and what is proved of their magnitudes beyond one step (None: nothing).

    A bound holds if the first state keeps it; `per_step` tells that it is what one step can add.
    """

    states: tuple[str, ...]
    bounds: tuple[Fraction | None, ...]
    per_step: bool = False


def simple_step(step: Step) -> Stepped:
    """H <- act(x W + b + h U)."""
    return Stepped((step.gate(0, "h", "activation"),), (None,))


def lstm_step(step: Step) -> Stepped:
    """i, f, o gates; c <- f c + i act(...); h <- o act(c)."""
    _, carry = step.states
    first = step.gate(0, "i", "recurrent_activation")
    forget = step.gate(1, "f", "recurrent_activation")
    candidate = step.gate(2, "c", "activation")
    out = step.gate(3, "o", "recurrent_activation")
    new = step.merge("mul", first, candidate, "new")
    carry = step.merge("add", step.merge("mul", forget, carry, "kept"), new, "carry")
    grown = peak_of(step.work, new) if step.below_one(forget) else None
    hidden = step.merge("mul", out, step.activate(carry, "carry", "activation"), "hidden")
    return Stepped((hidden, carry), (None, grown), per_step=True)


def gru_step(step: Step) -> Stepped:
    """z, r gates; h <- z h + (1 - z) act(...), the reset before or after the product."""
    (before,) = step.states
    update = step.gate(0, "z", "recurrent_activation")
    reset = step.gate(1, "r", "recurrent_activation")
    if step.work.config.get("reset_after", False):
        of_input, inner = step.product(2, "h")
        inner = step.merge("mul", reset, step.narrow(inner, "h_state_chosen"), "reset")
    else:
        kept = step.narrow(step.merge("mul", reset, before, "reset"), "reset_chosen")
        of_input, inner = step.product(2, "h", kept)
    candidate = step.activate(step.merge("add", of_input, inner, "h"), "h", "activation")
    rest = step.work.add(Affine(Const.exact(-1.0), Const.exact(1.0)), update, suffix="rest")
    kept = step.merge("mul", update, before, "kept")
    new = step.merge("mul", rest, candidate, "new")
    bound = peak_of(step.work, candidate) if step.below_one(update) else None
    return Stepped((step.merge("add", kept, new, "hidden"),), (bound,))


@dataclass(frozen=True)
class Cell:
    """A kind of recurrent layer: how many gates and states, and its step."""

    gates: int
    states: int
    step: Callable[[Step], Stepped]


CELLS: Mapping[str, Cell] = {
    "SimpleRNN": Cell(1, 1, simple_step),
    "LSTM": Cell(4, 2, lstm_step),
    "GRU": Cell(3, 1, gru_step),
}


def read_gates(work: Work, cell: Cell, grid: int) -> tuple[Gate, ...]:
    """Quantize the weights of a layer whose inputs lie on the grid 2**-grid, gate by gate."""
    kernel = work.kernel("kernel", "kernel_quantizer")
    recurrent = _recurrent(work, kernel)
    biases = _biases(work, cell, grid + max(kernel.type.frac, recurrent.type.frac))
    parts = (_split(const, cell.gates) for const in (kernel, recurrent, *biases))
    return tuple(Gate(*gate) for gate in zip(*parts, strict=True))


def _recurrent(work: Work, kernel: Const) -> Const:
    """Quantize the weights of the state."""
    mixed = work.spec.class_name == "QGRU" and work.quantizer("recurrent_quantizer") is None
    if not mixed:
        return work.kernel("recurrent_kernel", "recurrent_quantizer", "recurrent")
    raise work.refuse(
        "QKeras computes with its kernel in place of its recurrent kernel, as it has no "
        "recurrent_quantizer",
        "give the layer a recurrent_quantizer",
    )


def _biases(work: Work, cell: Cell, grid: int) -> tuple[Const | None, Const | None]:
    """Bias of the input and of the state; float biases are rounded by the rule for weights."""
    if not work.config.get("use_bias", True):
        return None, None
    made = quantize_weights(work.quantizer("bias_quantizer"), work.array("bias"), "bias")
    const = made.const
    if not made.exact:
        work.reasons.append(f"bias: {made.reason}")
        const = round_const(const, FINEST)
        const = round_to(const, min(grid, const.type.frac, FINEST))
    two = cell is CELLS["GRU"] and bool(work.config.get("reset_after"))
    if const.codes.ndim != 1 + two or (two and const.codes.shape[0] != 2):
        raise work.refuse(
            f"its bias has shape {const.codes.shape}, with reset_after={two}",
            "use the weights that belong to this architecture",
        )
    if not two:
        return const, None
    return Const(const.codes[0], const.type), Const(const.codes[1], const.type)


def _split(const: Const | None, count: int) -> tuple[Const | None, ...]:
    if const is None:
        return (None,) * count
    parts = np.split(const.codes, count, axis=-1)
    frac = const.type.frac
    return tuple(Const(p, Fixed.holding(int(p.min()), int(p.max()), frac)) for p in parts)
