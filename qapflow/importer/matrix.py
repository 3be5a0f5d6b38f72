"""Dense layers and convolutions: sums of products as the accumulators of the firmware make them."""

from __future__ import annotations

import math
import re

import numpy as np

from qapflow.errors import Unsupported
from qapflow.importer.products import TYPES, Sum, cut_products
from qapflow.importer.reader import Reader, Refused
from qapflow.importer.sources import Call, CType
from qapflow.importer.windows import padding_of
from qapflow.ir.fixed import Fixed, Overflow, cast
from qapflow.ir.ops import Affine, Const, Conv, Dense
from qapflow.plan import Choice

Shape = tuple[int, ...]

_STRATEGIES = ("latency", "resource", "distributed_arithmetic")
_TREES = "let hls4ml write the project with strategy latency or resource"
_KERNEL_KEYS = ("kernel", "conv_kernel")
_KERNELS = re.compile(
    r"(Depthwise)?Dense(Latency|Resource)\w*|Conv1D(Latency|Resource)|BatchedDenseForConv1D"
)


def read_dense(reader: Reader, call: Call) -> None:
    """nnet::dense<in, out, config>(data, res, weights, biases)."""
    config = reader.config(call)
    n_in, n_out = reader.number(config, "n_in"), reader.number(config, "n_out")
    weight = _weights(reader, call, config, (n_in, n_out), call.arguments[2])
    source = reader.source(call, (n_in,))
    if _multiplier(reader, config) in ("both_binary", "data_binary"):
        source = _signs(reader, call, source)
    made = _sum(reader, call, call.name, source, Dense(weight), call.templates[-1])
    reader.finish(call, made, call.templates[1])


def _signs(reader: Reader, call: Call, source: str) -> str:
    """One bit stands for -1 or 1."""
    two, one = Const(np.array(2), Fixed(False, 2, 0)), Const(np.array(-1), Fixed(True, 1, 0))
    return reader.builder.add(f"{call.name}_signs", Affine(two, one), source, origin=call.name)


def read_conv(reader: Reader, call: Call) -> None:
    """nnet::conv_1d_cl, conv_2d_cl and their pointwise forms."""
    config = reader.config(call)
    op, source = _conv(reader, call, config, call.arguments[2], 0, depthwise=False)
    made = _sum(reader, call, call.name, source, op, call.templates[-1])
    reader.finish(call, made, call.templates[1])


def read_depthwise(reader: Reader, call: Call) -> None:
    """nnet::depthwise_conv_1d_cl and depthwise_conv_2d_cl."""
    config = reader.config(call)
    op, source = _conv(reader, call, config, call.arguments[2], 0, depthwise=True)
    made = _sum(reader, call, call.name, source, op, call.templates[-1])
    reader.finish(call, made, call.templates[1])


def read_separable(reader: Reader, call: Call) -> None:
    """nnet::separable_conv_*<in, [between,] out, config>(data, res, w_dw, w_pw, b_dw, b_pw)."""
    config = reader.config(call)
    first = reader.named_config(config["depthwise_config"])
    second = reader.named_config(config["pointwise_config"])
    between = call.templates[1] if len(call.templates) == 4 else call.templates[0]
    op, source = _conv(reader, call, first, call.arguments[2], 0, depthwise=True)
    name = f"{call.name}_depthwise"
    inner = _sum(reader, call, name, source, op, config["depthwise_config"], call.arguments[4])
    inner = reader.quantize(call, inner, reader.type_of(between), f"{call.name}_between")
    weight = _weights(reader, call, second, _matrix(reader, second), call.arguments[3])
    rank = len(_spatial(second))
    one = (1,) * rank
    kernel = Const(weight.codes.reshape(*one, *weight.codes.shape), weight.type)
    op = Conv(kernel, None, one, ((0, 0),) * rank, one)
    name = f"{call.name}_pointwise"
    made = _sum(reader, call, name, inner, op, config["pointwise_config"], call.arguments[5])
    reader.finish(call, made, call.templates[-2])


def _spatial(config: dict[str, str]) -> tuple[str, ...]:
    return ("height", "width") if "in_height" in config else ("width",)


def _matrix(reader: Reader, config: dict[str, str]) -> tuple[int, int]:
    size = math.prod(reader.number(config, f"filt_{axis}", 1) for axis in _spatial(config))
    return size * reader.number(config, "n_chan"), reader.number(config, "n_filt")


def _conv(
    reader: Reader, call: Call, config: dict[str, str], name: str, place: int, depthwise: bool
) -> tuple[Conv, str]:
    """Return the convolution without its bias, and what it reads as [*spatial, channels]."""
    axes = _spatial(config)
    if any(reader.number(config, key, 1) > 1 for key in config if key.startswith("dilation")):
        raise Refused("its windows are dilated, which kernels of some hls4ml versions leave out")
    kernel = tuple(reader.number(config, f"filt_{axis}", 1) for axis in axes)
    channels, filters = reader.number(config, "n_chan"), reader.number(config, "n_filt")
    padding = tuple(padding_of(reader, config, axis) for axis in axes)
    strides = tuple(reader.number(config, f"stride_{axis}", 1) for axis in axes)
    shape = tuple(reader.number(config, f"in_{axis}") for axis in axes)
    if depthwise:
        if channels != filters:
            raise Refused(f"a depthwise convolution makes {filters} of {channels} channels")
        weight = _weights(reader, call, config, (math.prod(kernel), channels), name, True)
        codes = weight.codes.reshape(*kernel, 1, channels)
    else:
        weight = _weights(reader, call, config, (math.prod(kernel) * channels, filters), name)
        codes = weight.codes.reshape(*kernel, channels, filters)
    groups = channels if depthwise else 1
    op = Conv(Const(codes, weight.type), None, strides, padding, (1,) * len(axes), groups)
    _check_windows(reader, config, op, shape)
    return op, reader.source(call, (*shape, channels), place)


def _check_windows(reader: Reader, config: dict[str, str], op: Conv, shape: Shape) -> None:
    """Refuse a convolution whose windows are not those that the firmware counts."""
    kernel = op.weight.codes.shape[: len(shape)]
    spans = zip(_spatial(config), shape, kernel, op.strides, op.padding, strict=True)
    for axis, n, k, s, (before, after) in spans:
        out = reader.number(config, f"out_{axis}")
        if (n + before + after - k) // s + 1 != out:
            raise Refused(f"its output {axis} of {out} does not follow from its windows")


def _weights(
    reader: Reader,
    call: Call,
    config: dict[str, str],
    shape: tuple[int, int],
    name: str,
    depthwise: bool = False,
) -> Const:
    """Return weights [n_in, n_out] as the multipliers see them."""
    kind_name = config["weight_t"]
    if not reader.has_type(kind_name):
        raise Refused(f"its weights are of type {kind_name}, which is no fixed-point type")
    kind = reader.type_of(kind_name)
    place = call.arguments.index(name)
    flat = reader.constants(call, place, kind, math.prod(shape))
    # Shared multipliers read their weights output by output, but for depthwise ones.
    turned = _strategy(reader, config) in ("resource", "resource_unrolled") and not depthwise
    codes = flat.reshape(shape[::-1]).T if turned else flat.reshape(shape)
    product = _multiplier(reader, config)
    if not product and kind.fixed.width == 1:
        raise Refused("its kernel is chosen by the type of its one-bit weights")
    if product in ("weight_binary", "both_binary"):
        return Const(2 * codes - 1, Fixed(True, 2, 0))
    if product not in ("", "mult", "weight_ternary", "data_binary"):
        raise Refused(f"its products are made by nnet::product::{product}")
    return Const(codes, kind.fixed)


def _multiplier(reader: Reader, config: dict[str, str]) -> str:
    inner = reader.sources.configs.get(config.get("mult_config", ""), {})
    return config.get("product") or inner.get("product") or ""


def _plain(reader: Reader, config: dict[str, str]) -> bool:
    """Tell whether the sums are made by kernels of hls4ml that are known."""
    inner = reader.sources.configs.get(config.get("mult_config", ""), {})
    named = [part[key] for part in (config, inner) for key in _KERNEL_KEYS if key in part]
    return all(_KERNELS.fullmatch(name) for name in named)


def _strategy(reader: Reader, config: dict[str, str]) -> str:
    inner = reader.sources.configs.get(config.get("mult_config", ""), {})
    text = config.get("strategy") or inner.get("strategy") or "nnet::latency"
    return text.rpartition("::")[2].lower()


def _sum(
    reader: Reader,
    call: Call,
    name: str,
    source: str,
    op: Dense | Conv,
    config_name: str,
    bias_name: str = "",
) -> str:
    """Add the sums of a layer; return the edge that has them in the type they are made in."""
    config = reader.named_config(config_name)
    kind = reader.type_of(config["accum_t"])
    bias_name = bias_name or call.arguments[3]
    outputs = op.weight.codes.shape[-1]
    bias_kind = reader.type_of(config["bias_t"])
    raw = reader.constants(call, call.arguments.index(bias_name), bias_kind, outputs)
    bias = cast(raw, bias_kind.fixed.frac, kind.fixed, kind.rounding, kind.overflow)
    counted = _multiplier(reader, config) == "both_binary"
    if not isinstance(op, Dense) and _multiplier(reader, config) in ("both_binary", "data_binary"):
        raise Refused("a convolution of one-bit values pads with zeros that stand for -1")
    node = reader.builder
    layer = Sum(call, name, source, op, bias, kind)
    if counted:
        made = node.add(name, op, source, origin=call.name)
        _note(reader, layer, made, config_name)
        return _matches(reader, layer, made)
    cut = node.edges[source].type.frac + op.weight.type.frac - kind.fixed.frac
    if cut > 0 and reader.exact:
        made, summed = cut_products(reader, layer)
    else:
        made = node.add(name, _with_bias(layer), source, origin=call.name)
        summed = made
        if cut > 0:
            reason = f"its accumulator drops {cut} bits of every product"
            reader.inexact.append(Unsupported(call.name, call.function, reason, TYPES))
    _note(reader, layer, made, config_name)
    if kind.overflow is not Overflow.WRAP and not reader.holds(summed, kind):
        _refuse_saturation(reader, layer)
    return reader.quantize(call, summed, kind, f"{name}_sum")


def _refuse_saturation(reader: Reader, layer: Sum) -> None:
    reason = "its accumulator saturates after every addition"
    found = Unsupported(layer.call.name, layer.call.function, reason, TYPES)
    reader.inexact.append(found)


def _matches(reader: Reader, layer: Sum, signed: str) -> str:
    """Count matches of one-bit inputs and weights in the accumulator, and make sums of -1 and 1."""
    count = layer.op.weight.codes.shape[0]
    name, origin, node = layer.name, layer.call.name, reader.builder
    half, two = Const(np.array(1), Fixed(False, 1, 1)), Const(np.array(2), Fixed(False, 2, 0))
    frac = max(layer.kind.fixed.frac, 1)
    starts = (layer.bias << (frac - layer.kind.fixed.frac)) + (count << (frac - 1))
    kind = Fixed.holding(int(starts.min()), int(starts.max()), frac)
    edge = node.add(f"{name}_matches", Affine(half, Const(starts, kind)), signed, origin=origin)
    if layer.kind.overflow is not Overflow.WRAP and not reader.holds(edge, layer.kind):
        raise Refused("its accumulator saturates after every addition", TYPES)
    edge = reader.quantize(layer.call, edge, layer.kind, f"{name}_counted")
    less = Const(np.array(-count), Fixed.holding(-count, 0, 0))
    edge = node.add(f"{name}_signed", Affine(two, less), edge, origin=origin)
    bits = max((count - 1).bit_length(), 1) + 2
    return reader.quantize(layer.call, edge, CType(Fixed(True, bits, 0)), f"{name}_bits")


def _with_bias(layer: Sum) -> Dense | Conv:
    bias = Const(layer.bias, layer.kind.fixed) if layer.bias.any() else None
    op = layer.op
    if isinstance(op, Dense):
        return Dense(op.weight, bias)
    return Conv(op.weight, bias, op.strides, op.padding, op.dilation, op.groups)


def _note(reader: Reader, layer: Sum, made: str, config_name: str) -> None:
    """Keep what estimates ask for: the plan of the layer, and the type of its sums."""
    config = reader.named_config(config_name)
    reader.layer_of[config_name] = made
    strategy = _strategy(reader, config)
    known = strategy in _STRATEGIES
    if not known:
        reason = f"strategy {strategy} has no plan"
        found = Unsupported(layer.call.name, layer.call.function, reason)
        reader.inexact.append(found)
    if strategy == "distributed_arithmetic" or not _plain(reader, config):
        reason = "its sums are code that hls4ml wrote for its weights"
        found = Unsupported(layer.call.name, layer.call.function, reason, _TREES)
        reader.inexact.append(found)
    chosen = strategy if known else "latency"
    reuse = reader.number(config, "reuse_factor", 1)
    reader.choices[made] = Choice(chosen, reuse)  # type: ignore[arg-type]
    reader.sums[made] = layer.kind.fixed
