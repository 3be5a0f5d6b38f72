"""Dense and convolution: the dictionaries hls4ml's `ModelGraph.from_layer_list` reads.

Where hls4ml's kernel does less than the operation, the operation is rewritten instead: dilation
becomes zeros inside the kernel, groups become zero blocks, padding of a stream becomes a step of
its own (hls4ml's line buffers have none), and so does the repetition of channels for a depthwise
layer with several filters a channel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from qapflow.ir.fixed import Codes
from qapflow.ir.ops import Const, Conv, Dense
from qapflow.lower.moves import pad_rows, repeat_channels
from qapflow.lower.program import Kernel, Layer, Wire
from qapflow.plan import Choice


@dataclass(frozen=True, eq=False)
class Prepared:
    """One layer, its input and output as hls4ml shapes them, and the steps before it.

    `before` are pairs of a kernel and the shape it makes.
    """

    layer: Layer
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    before: tuple[tuple[Kernel, tuple[int, ...]], ...] = ()


def dense(op: Dense, x: Wire, out: Wire, choice: Choice) -> Prepared:
    """Lower a dense layer; with more than one axis it is a convolution of width 1."""
    n_in, n_out = op.weight.codes.shape
    if len(x.shape) == 1:
        sizes = {"n_in": n_in, "n_out": n_out}
        return Prepared(_layer("Dense", sizes, op, op.weight.codes, out, choice), (n_in,), (n_out,))
    width = prod(x.shape[:-1])
    sizes = _sizes_1d((width,), (width,), (1,), (1,), ((0, 0),)) | {
        "n_chan": n_in,
        "n_filt": n_out,
    }
    layer = _layer("Conv1D", sizes, op, op.weight.codes[None], out, choice)
    return Prepared(layer, (width, n_in), (width, n_out))


def conv(op: Conv, x: Wire, out: Wire, choice: Choice, stream: bool) -> Prepared:
    """Lower a convolution over one or two spatial axes."""
    filters = out.shape[-1]
    depthwise = is_depthwise(op)
    codes = inflate(op.weight.codes, op.dilation)
    kernel = codes.shape[:-2]
    codes = codes.reshape(*kernel, filters, 1) if depthwise else ungroup(codes, op.groups)
    before: list[tuple[Kernel, tuple[int, ...]]] = []
    strides, padding = op.strides, op.padding
    if stream:
        every = strides[0] if len(kernel) == 2 and kernel[0] == 1 else 1
        if every > 1 or any(map(any, padding)):
            # a line buffer of one row ignores the vertical stride
            rows, *columns = (n + sum(p) for n, p in zip(x.shape[:-1], padding, strict=True))
            shape = (out.shape[0] if every > 1 else rows, *columns, x.shape[-1])
            before.append((pad_rows(x, padding, every), shape))
            x = replace(x, shape=shape)
        strides = (1, *strides[1:]) if every > 1 else strides
        padding = ((0, 0),) * len(kernel)
    if depthwise and filters != x.shape[-1]:
        shape = (*x.shape[:-1], filters)
        before.append((repeat_channels(x, filters // x.shape[-1], stream), shape))
        x = replace(x, shape=shape)
    make = _sizes_1d if len(kernel) == 1 else _sizes_2d
    sizes = make(x.shape[:-1], out.shape[:-1], kernel, strides, padding)
    sizes |= {"n_chan": x.shape[-1], "n_filt": filters}
    name = f"{'Depthwise' if depthwise else ''}Conv{len(kernel)}D"
    layer = _layer(name, sizes, op, codes, out, choice)
    return Prepared(layer, x.shape, out.shape, tuple(before))


def is_depthwise(op: Conv) -> bool:
    """Tell whether every input channel is convolved on its own."""
    return op.weight.codes.shape[-2] == 1 and op.groups > 1


def inflate(codes: Codes, dilation: tuple[int, ...]) -> Codes:
    """Return a kernel with dilation - 1 zeros between its taps."""
    if all(d == 1 for d in dilation):
        return codes
    kernel = codes.shape[:-2]
    sizes = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    wide = np.zeros((*sizes, *codes.shape[-2:]), codes.dtype)
    wide[tuple(slice(None, None, d) for d in dilation)] = codes
    return wide


def ungroup(codes: Codes, groups: int) -> Codes:
    """Return the full kernel of a grouped convolution: zero blocks off the diagonal."""
    if groups == 1:
        return codes
    inner, filters = codes.shape[-2:]
    part = filters // groups
    full = np.zeros((*codes.shape[:-2], inner * groups, filters), codes.dtype)
    for g in range(groups):
        columns = slice(g * part, (g + 1) * part)
        full[..., g * inner : (g + 1) * inner, columns] = codes[..., columns]
    return full


def multiplier_shape(op: Dense | Conv) -> tuple[int, int]:
    """Return (inputs, outputs) of the matrix-vector product that a reuse factor divides."""
    if isinstance(op, Dense):
        return op.weight.codes.shape[0], op.weight.codes.shape[1]
    spans = zip(op.weight.codes.shape[:-2], op.dilation, strict=True)
    taps = prod((k - 1) * d + 1 for k, d in spans)
    if is_depthwise(op):
        return taps * op.weight.codes.shape[-1], op.weight.codes.shape[-1]
    return taps * op.weight.codes.shape[-2] * op.groups, op.weight.codes.shape[-1]


Spans = tuple[int, ...]
Margins = tuple[tuple[int, int], ...]


def _sizes_1d(size: Spans, out: Spans, kernel: Spans, step: Spans, pad: Margins) -> dict[str, int]:
    return {
        "in_width": size[0],
        "out_width": out[0],
        "filt_width": kernel[0],
        "stride_width": step[0],
        "pad_left": pad[0][0],
        "pad_right": pad[0][1],
        "dilation": 1,
    }


def _sizes_2d(size: Spans, out: Spans, kernel: Spans, step: Spans, pad: Margins) -> dict[str, int]:
    sizes = {"dilation": 1}
    names = ("height", "width"), (("top", "bottom"), ("left", "right"))
    for axis, (name, (before, after)) in enumerate(zip(*names, strict=True)):
        sizes |= {
            f"in_{name}": size[axis],
            f"out_{name}": out[axis],
            f"filt_{name}": kernel[axis],
            f"stride_{name}": step[axis],
            f"pad_{before}": pad[axis][0],
            f"pad_{after}": pad[axis][1],
        }
    return sizes


def _layer(
    name: str, sizes: dict[str, int], op: Dense | Conv, codes: Codes, out: Wire, choice: Choice
) -> Layer:
    weights = np.ldexp(codes.astype(np.float64), -op.weight.type.frac)
    attributes: dict[str, Any] = dict(sizes)
    attributes |= {
        "weight_quantizer": None,
        "bias_quantizer": None,
        "data_format": "channels_last",
        "bias_data": None,
    }
    if name.startswith("Depthwise"):
        attributes |= {
            "depthwise_data": weights,
            "depthwise_quantizer": None,
            "depth_multiplier": 1,
        }
    else:
        attributes["weight_data"] = weights
    if op.bias is not None:
        attributes["bias_data"] = _values(op.bias, out.shape[-1])
    bias = None if op.bias is None else op.bias.type
    return Layer(
        name, attributes, op.weight.type, bias, out.type, choice.strategy, choice.reuse_factor
    )


def _values(const: Const, size: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    codes = np.broadcast_to(const.codes, (size,))
    return np.ldexp(codes.astype(np.float64), -const.type.frac)
