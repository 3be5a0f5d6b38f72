"""Layers that work element by element: rectifiers, normalization, steps, merges."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np

from qapflow.importer.reader import Handler, Reader, Refused
from qapflow.importer.sources import Call, kernel_text
from qapflow.importer.weights import cast_values
from qapflow.ir.fixed import Codes, Fixed
from qapflow.ir.ops import Affine, Clip, Const, Leaky, Merge, Threshold

_AGAIN = "let hls4ml 1.0 or later write the project again"
_ONE_BIT = Fixed(False, 1, 0)
ZERO = Const(np.zeros((), np.int64), _ONE_BIT)


def whole(value: int) -> Const:
    """Return an integer as a constant."""
    return Const(np.array(value, np.int64), Fixed.holding(value, value, 0))


def values_of(reader: Reader, call: Call) -> str:
    """Return the flat input of a layer that keeps the size."""
    return reader.source(call, (reader.number(reader.config(call), "n_in"),))


def read_linear(reader: Reader, call: Call) -> None:
    """nnet::linear: a cast."""
    reader.finish(call, values_of(reader, call), call.templates[1])


def read_relu(reader: Reader, call: Call) -> None:
    """nnet::relu."""
    _clip(reader, call, None)


def read_relu_max(reader: Reader, call: Call) -> None:
    """nnet::relu1, relu6, and relu_max<in, out, limit, config>."""
    named = call.function.removeprefix("relu")
    text = named if named.isdigit() else call.templates[2]
    _clip(reader, call, whole(int(text)))


def _clip(reader: Reader, call: Call, upper: Const | None) -> None:
    source = values_of(reader, call)
    made = reader.builder.add(call.name, Clip(ZERO, upper), source, origin=call.name)
    reader.finish(call, made, call.templates[1])


def read_leaky(reader: Reader, call: Call) -> None:
    """nnet::leaky_relu<in, [alpha,] out, config>(data, alpha, res): alpha * x below zero."""
    slope = read_literal(reader, call)
    made = reader.builder.add(call.name, Leaky(slope), values_of(reader, call), origin=call.name)
    reader.finish(call, made, call.templates[-2], 2)


def read_thresholded(reader: Reader, call: Call) -> None:
    """nnet::thresholded_relu<in, [theta,] out, config>: x above theta, else zero."""
    theta = read_literal(reader, call)
    source = values_of(reader, call)
    frac = reader.builder.edges[source].type.frac
    above = _above(theta.codes, theta.type.frac, frac)
    limit = Const(above, Fixed.holding(int(above.min()), int(above.max()), frac))
    made = reader.builder.add(call.name, Leaky(ZERO, limit), source, origin=call.name)
    reader.finish(call, made, call.templates[-2], 2)


def read_prelu(reader: Reader, call: Call) -> None:
    """nnet::prelu<in, alpha, out, config>(data, alpha, res): a slope for each element."""
    source = values_of(reader, call)
    size = reader.builder.edges[source].shape[0]
    kind = reader.type_of(call.templates[1] if len(call.templates) == 4 else call.templates[0])
    slope = Const(reader.constants(call, 1, kind, size), kind.fixed)
    made = reader.builder.add(call.name, Leaky(slope), source, origin=call.name)
    reader.finish(call, made, call.templates[-2], 2)


def read_literal(reader: Reader, call: Call, early: int = 0) -> Const:
    """Return the number a layer is called with, in its type; `early` is that of older kernels."""
    kind = reader.type_of(call.templates[1 if len(call.templates) == 4 else early])
    try:
        value = Fraction(call.arguments[1])
    except ValueError as error:
        raise Refused(f"its parameter {call.arguments[1]!r} is no number") from error
    return Const(cast_values([value], kind).reshape(()), kind.fixed)


def _above(codes: Codes, frac: int, grid: int) -> Codes:
    """Return the least codes on the grid 2**-grid that are above values on the grid 2**-frac."""
    step = Fraction(2) ** (grid - frac)
    flat = [int(Fraction(int(c)) * step // 1) + 1 for c in np.asarray(codes).ravel()]
    return np.array(flat, object).reshape(np.asarray(codes).shape)


def read_hard(reader: Reader, call: Call) -> None:
    """nnet::hard_sigmoid and hard_tanh: slope * x + shift, between 0 and 1 (or -1 and 1)."""
    config = reader.config(call)
    parts = []
    for key in ("slope", "shift"):
        if key not in config or f"{key}_t" not in config:
            raise Refused(f"its configuration has no {key}")
        kind = reader.type_of(config[f"{key}_t"])
        parts.append(Const(cast_values([Fraction(config[key])], kind).reshape(()), kind.fixed))
    source = values_of(reader, call)
    edge = reader.builder.add(f"{call.name}_line", Affine(*parts), source, origin=call.name)
    edge = reader.builder.add(call.name, Clip(ZERO, whole(1)), edge, origin=call.name)
    if call.function == "hard_tanh":
        op = Affine(whole(2), whole(-1))
        edge = reader.builder.add(f"{call.name}_tanh", op, edge, origin=call.name)
    reader.finish(call, edge, call.templates[1])


def read_normalize(reader: Reader, call: Call) -> None:
    """nnet::normalize<in, out, config>(data, res, scale, bias): x * scale + bias, exactly."""
    config = reader.config(call)
    name = "nnet_batchnorm_stream.h" if reader.stream else "nnet_batchnorm.h"
    if "res_T>::product(" in (kernel_text(reader.sources, name) or ""):
        raise Refused("its version of hls4ml cuts products before it adds the bias", _AGAIN)
    size, count = _channels(reader, config)
    scale_kind, bias_kind = reader.type_of(config["scale_t"]), reader.type_of(config["bias_t"])
    scale = Const(reader.constants(call, 2, scale_kind, count), scale_kind.fixed)
    if config.get("product") == "weight_binary":
        scale = Const(2 * scale.codes - 1, Fixed(True, 2, 0))
    elif config.get("product", "mult") not in ("mult", "weight_ternary"):
        raise Refused(f"its products are made by nnet::product::{config['product']}")
    bias = Const(reader.constants(call, 3, bias_kind, count), bias_kind.fixed)
    source = reader.source(call, (size // count, count) if count != size else (size,))
    made = reader.builder.add(call.name, Affine(scale, bias), source, origin=call.name)
    reader.finish(call, made, call.templates[1])


def _channels(reader: Reader, config: dict[str, str]) -> tuple[int, int]:
    """Return elements and channels; without a number of filters each element is one."""
    size = reader.number(config, "n_in")
    each = config.get("n_filt", "-1").startswith("-")
    return size, size if each else reader.number(config, "n_filt")


def read_normalized_step(reader: Reader, call: Call) -> None:
    """nnet::normalize_binary_tanh and normalize_ternary_tanh<in, config>: steps of a channel."""
    config = reader.config(call)
    size, count = _channels(reader, config)
    source = reader.source(call, (size // count, count))
    kind = reader.type_of(call.templates[0])
    steps = [reader.constants(call, k, kind, count) for k in range(2, len(call.arguments))]
    if call.function == "normalize_binary_tanh":
        limits, values, out = steps[0][:, None], [0, 1], _ONE_BIT
    else:
        limits = np.stack([steps[1] + 1, steps[0] + 1], axis=1)
        values, out = [-1, 0, 1], Fixed(True, 2, 0)
        if (limits[:, 0] > limits[:, 1]).any():
            raise Refused("its lower threshold is above the upper one")
    grid = Fixed.holding(int(limits.min()), int(limits.max()), kind.fixed.frac)
    table = np.broadcast_to(np.array(values), (count, len(values)))
    op = Threshold(Const(limits, grid), Const(table, out))
    reader.bind(call.arguments[1], reader.builder.add(call.name, op, source, origin=call.name))


def read_binary(reader: Reader, call: Call) -> None:
    """nnet::binary_tanh: -1 or 1, or one bit; whether zero is 1 depends on the version."""
    text = kernel_text(reader.sources, "nnet_activation.h") or ""
    body = text.partition("voidbinary_tanh(")[2].partition("template<")[0]
    if "if(datareg>=0)" not in body and "if(datareg>0)" not in body:
        raise Refused("its kernel is not in firmware/nnet_utils, and versions differ at zero")
    least = 0 if "if(datareg>=0)" in body else 1
    one_bit = str(reader.type_of(call.templates[1]).fixed) == "u1.0"
    if one_bit and "binary_cast" not in body:
        raise Refused("its version of hls4ml casts -1 to one bit, which makes it 1", _AGAIN)
    source = values_of(reader, call)
    frac = reader.builder.edges[source].type.frac
    limits = Const(np.array([least]), Fixed(False, 1, frac))
    values = Const(np.array([0 if one_bit else -1, 1]), Fixed(True, 2, 0))
    made = reader.builder.add(call.name, Threshold(limits, values), source, origin=call.name)
    reader.finish(call, made, call.templates[1])


def merging(kind: Literal["add", "sub", "mul", "max", "min"]) -> Handler:
    """Return the reader of nnet::add, subtract, multiply, maximum or minimum."""

    def read(reader: Reader, call: Call) -> None:
        first, second = _pair(reader, call)
        made = reader.builder.add(call.name, Merge(kind), first, second, origin=call.name)
        reader.finish(call, made, call.templates[2], 2)

    return read


def read_average(reader: Reader, call: Call) -> None:
    """nnet::average: half the sum; older kernels divide, which cuts towards zero."""
    text = kernel_text(reader.sources, "nnet_merge.h") or ""
    if "*ap_ufixed<1,0>(0.5)" not in text:
        raise Refused("its kernel divides by two in the type of the output")
    first, second = _pair(reader, call)
    total = reader.builder.add(f"{call.name}_sum", Merge("add"), first, second, origin=call.name)
    half = Const(np.array(1), Fixed(False, 1, 1))
    made = reader.builder.add(call.name, Affine(half), total, origin=call.name)
    reader.finish(call, made, call.templates[2], 2)


def _pair(reader: Reader, call: Call) -> tuple[str, str]:
    """Return both inputs with shapes that broadcast as flat arrays do: the shorter one repeats."""
    config = reader.config(call)
    base = reader.number(config, "n_elem", 0)
    sizes = [reader.number(config, f"n_elem{k}", base) for k in (1, 2)]
    small = min(sizes)
    shapes = [(n // small, small) for n in sizes]
    first, second = (reader.source(call, shapes[k], k) for k in (0, 1))
    return first, second
