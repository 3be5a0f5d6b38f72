"""Pooling as the kernels of hls4ml do it, which differ between arrays and streams."""

from __future__ import annotations

import math

from qapflow.errors import UsageError
from qapflow.importer.reader import Reader, Refused
from qapflow.importer.sources import Call, CType, kernel_text
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Pool, Quantize, Reduce

_AGAIN = "let hls4ml 1.0 or later write the project again"
_SIDES = {"height": ("pad_top", "pad_bottom"), "width": ("pad_left", "pad_right")}


def read_pooling(reader: Reader, call: Call) -> None:
    """nnet::pooling1d_cl and pooling2d_cl: maximum or mean of windows."""
    config = reader.config(call)
    axes = ("height", "width") if "in_height" in config else ("width",)
    inputs = tuple(_extent(reader, config, "in", axis) for axis in axes)
    size = tuple(reader.number(config, f"pool_{axis}") for axis in axes)
    strides = tuple(reader.number(config, f"stride_{axis}") for axis in axes)
    padding = tuple(padding_of(reader, config, axis) for axis in axes)
    padded = any(any(pair) for pair in padding)
    source = reader.source(call, (*inputs, reader.number(config, "n_filt")))
    kind = _accumulator(reader, call, config)
    if not _current(reader) and size != strides:
        raise Refused("windows that overlap or leave gaps are cut in its version of hls4ml")
    if _is_max(config):
        if padded and not reader.type_of(call.templates[0]).fixed.signed:
            raise Refused("it pads unsigned values with half their range, which can win")
        made = _maximum(reader, call, source, kind, Pool("max", size, strides, padding))
    else:
        if padded:
            raise Refused("its means at the edges are divided by fewer values than the others")
        op = Pool("sum", size, strides, padding)
        made = _mean(reader, call, source, kind, op, math.prod(size))
        made = reader.quantize(call, made, kind, f"{call.name}_mean")
    _check_size(reader, call, config, axes, made)
    reader.finish(call, made, call.templates[1])


def read_global_pooling(reader: Reader, call: Call) -> None:
    """nnet::global_pooling1d_cl and global_pooling2d_cl."""
    config = reader.config(call)
    axes = ("height", "width") if "in_height" in config else ("width",)
    inputs = tuple(_extent(reader, config, "in", axis) for axis in axes)
    source = reader.source(call, (*inputs, reader.number(config, "n_filt")))
    kind = _accumulator(reader, call, config)
    whole = tuple(range(len(axes)))
    if _is_max(config):
        made = _maximum(reader, call, source, kind, Reduce("max", whole))
    else:
        made = _mean(reader, call, source, kind, Reduce("sum", whole), math.prod(inputs))
        if not reader.stream:  # streams cast the quotient to the output at once
            made = reader.quantize(call, made, kind, f"{call.name}_mean")
    reader.finish(call, made, call.templates[1])


def _current(reader: Reader) -> bool:
    """Tell whether the kernels compare and add in accum_t, as those since hls4ml 1.0 do."""
    name = "nnet_pooling_stream.h" if reader.stream else "nnet_pooling.h"
    text = kernel_text(reader.sources, name)
    signs = ("typenameCONFIG_T::accum_tpool_window", "accum_tmax(Tx[N])")
    return text is None or signs[0 if reader.stream else 1] in text


def _accumulator(reader: Reader, call: Call, config: dict[str, str]) -> CType:
    """Return the type that windows are compared and added in; early kernels had the data's."""
    if _current(reader):
        if "accum_t" not in config:
            raise Refused("its configuration names no type to compare and add in")
        return reader.type_of(config["accum_t"])
    if not _is_max(config):
        raise Refused("its version of hls4ml adds in types of its own", _AGAIN)
    return reader.type_of(call.templates[0])


def padding_of(reader: Reader, config: dict[str, str], axis: str) -> tuple[int, int]:
    """Return the padding before and after an axis."""
    before, after = _SIDES[axis]
    return reader.number(config, before, 0), reader.number(config, after, 0)


def _extent(reader: Reader, config: dict[str, str], prefix: str, axis: str) -> int:
    """Return a size; one axis is called n_in and n_out."""
    key = f"{prefix}_{axis}"
    return reader.number(config, key if key in config else f"n_{prefix}")


def _is_max(config: dict[str, str]) -> bool:
    return config.get("pool_op", "nnet::Max").rpartition("::")[2] == "Max"


def _maximum(reader: Reader, call: Call, source: str, kind: CType, op: Pool | Reduce) -> str:
    """Arrays are compared in their own type, streams after a cast to the accumulator."""
    if reader.stream:
        source = reader.quantize(call, source, kind, f"{call.name}_in")
        return reader.builder.add(call.name, op, source, origin=call.name)
    made = reader.builder.add(call.name, op, source, origin=call.name)
    return reader.quantize(call, made, kind, f"{call.name}_max")


def _mean(
    reader: Reader, call: Call, source: str, kind: CType, op: Pool | Reduce, count: int
) -> str:
    """Add the sums in the type of the accumulator, and divide them, cut towards zero."""
    cast = reader.quantize(call, source, kind, f"{call.name}_in")
    exact = reader.builder.edges[cast].type.frac <= kind.fixed.frac
    if not reader.stream and cast != source and kind.rounding not in (Rounding.TRN, Rounding.RND):
        raise Refused("its accumulator rounds after every addition")
    made = reader.builder.add(f"{call.name}_total", op, cast, origin=call.name)
    if kind.overflow is not Overflow.WRAP and not reader.holds(made, kind):
        raise Refused("its accumulator saturates after every addition")
    made = reader.quantize(call, made, kind, f"{call.name}_sum")
    assert exact
    have = reader.builder.edges[made].type
    # The quotient has the fraction bits of the accumulator, one bit more than needed at the top.
    quotient = Fixed(True, have.width + kind.fixed.frac - have.frac + 1, kind.fixed.frac)
    op_divide = Quantize(quotient, Rounding.TRN_ZERO, Overflow.WRAP, count)
    return reader.builder.add(call.name, op_divide, made, origin=call.name)


def _check_size(
    reader: Reader, call: Call, config: dict[str, str], axes: tuple[str, ...], made: str
) -> None:
    shape = reader.builder.edges[made].shape[:-1]
    told = tuple(_extent(reader, config, "out", axis) for axis in axes)
    if shape != told:
        raise UsageError(f"windows of {list(shape)} for an output of {list(told)}", call.name)
