"""Layers that move values and compute nothing: padding, streams, permutations, joins."""

from __future__ import annotations

import math

from qapflow.importer.reader import Reader, Refused
from qapflow.importer.sources import Call, kernel_text, size_of
from qapflow.ir.ops import Concat, Pad, Transpose, Upsample

_AGAIN = "let hls4ml 0.6 or later write the project again"
_SIDES = {"height": ("top", "bottom"), "width": ("left", "right")}


def read_padding(reader: Reader, call: Call) -> None:
    """nnet::zeropad1d_cl and zeropad2d_cl."""
    _frame(reader, call, "pad", 1)


def read_cropping(reader: Reader, call: Call) -> None:
    """nnet::cropping1d_cl and cropping2d_cl."""
    _frame(reader, call, "crop", -1)


def _frame(reader: Reader, call: Call, word: str, sign: int) -> None:
    config = reader.config(call)
    axes = ("height", "width") if "in_height" in config else ("width",)
    shape = tuple(reader.number(config, f"in_{axis}") for axis in axes)
    source = reader.source(call, (*shape, reader.number(config, "n_chan")))
    amounts = [
        tuple(sign * reader.number(config, f"{word}_{side}") for side in _SIDES[axis])
        for axis in axes
    ]
    op = Pad((*((before, after) for before, after in amounts), (0, 0)))
    made = reader.builder.add(call.name, op, source, origin=call.name)
    reader.finish(call, made, call.templates[1])


def read_copy(reader: Reader, call: Call) -> None:
    """nnet::clone_stream<in, out, n>(data, res, ...) and repack_stream<in, out, n>(data, res)."""
    size = size_of(call.templates[2], reader.sources.numbers)
    source = reader.source(call, (size,))
    for place in range(1, len(call.arguments)):
        reader.finish(call, source, call.templates[1], place)


def read_transpose(reader: Reader, call: Call) -> None:
    """nnet::transpose<in, out, config>, and transpose_2d<in, config> of older versions."""
    name = call.templates[-1]
    shape = reader.sources.lists.get(f"{name}_from_shape")
    order = reader.sources.lists.get(f"{name}_perm")
    if call.function == "transpose_2d":
        config = reader.config(call)
        shape = (reader.number(config, "height"), reader.number(config, "width"))
        order = (1, 0)
    if shape is None or order is None:
        raise Refused("its configuration has no shape and order")
    source = reader.source(call, shape)
    made = reader.builder.add(call.name, Transpose(order), source, origin=call.name)
    reader.finish(call, made, call.templates[1] if len(call.templates) > 2 else call.templates[0])


def read_concatenate(reader: Reader, call: Call) -> None:
    """nnet::concatenate1d, 2d and 3d; axes are counted with the batch."""
    config = reader.config(call)
    rank = int(call.function.removeprefix("concatenate")[0])
    text = kernel_text(reader.sources, "nnet_merge.h")
    if rank > 1 and text is not None and f"axis=={rank}||CONFIG_T::axis==-1" not in text:
        raise Refused("its version of hls4ml counts the axes of arrays in another way", _AGAIN)
    shapes = [
        tuple(reader.number(config, f"n_elem{k}_{axis}") for axis in range(rank)) for k in (1, 2)
    ]
    axis = _axis(config, rank)
    first, second = (reader.source(call, shapes[k], k) for k in (0, 1))
    made = reader.builder.add(call.name, Concat(axis), first, second, origin=call.name)
    reader.finish(call, made, call.templates[2], 2)


def _axis(config: dict[str, str], rank: int) -> int:
    axis = int(config.get("axis", "-1"))
    return axis % rank if axis < 0 else max(axis - 1, 0)


def read_resize(reader: Reader, call: Call) -> None:
    """nnet::resize_nearest<in, config>: whole factors only."""
    config = reader.config(call)
    shape = tuple(reader.number(config, key) for key in ("height", "width") if key in config)
    wanted = tuple(reader.number(config, f"new_{key}") for key in ("height", "width"))
    wanted = wanted[-len(shape) :]
    if any(new % old for new, old in zip(wanted, shape, strict=True)):
        raise Refused(f"it resizes {list(shape)} to {list(wanted)}, which is no whole factor")
    source = reader.source(call, (*shape, reader.number(config, "n_chan")))
    factors = tuple(new // old for new, old in zip(wanted, shape, strict=True))
    if math.prod(shape) == 0:
        raise Refused("it resizes nothing")
    made = reader.builder.add(call.name, Upsample(factors), source, origin=call.name)
    reader.bind(call.arguments[1], made)
