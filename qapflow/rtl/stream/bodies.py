"""The inside of each kind of block as Verilog."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import numpy as np

from qapflow.ir.fixed import Fixed
from qapflow.rtl.stream import blocks as kinds
from qapflow.rtl.stream.parts import Body, Setting, Wire, macros, pack
from qapflow.rtl.stream.turns import write_turns
from qapflow.rtl.stream.wires import grid_of, join, refit_all


@singledispatch
def write_body(work: kinds.Work, at: Setting) -> Body:
    """Return the inside of a block."""
    raise NotImplementedError(type(work).__name__)


@write_body.register
def _(work: kinds.Fork, at: Setting) -> Body:
    return Body(macros().fork(at.inputs[0], at.results[0]), delay=0)


@write_body.register
def _(work: kinds.Kernel, at: Setting) -> Body:
    core = at.build(work.net, f"{at.name}_core")
    ends = [wire.name for wire in (*at.inputs, *at.results)]
    links = zip((port.name for port in (*core.inputs, *core.outputs)), ends, strict=True)
    text = macros().core(core.module, "core", list(links))
    return Body(text, core.files, (), core.delay, core.cost_lut)


@write_body.register
def _(work: kinds.Loop, at: Setting) -> Body:
    return write_turns(work, at)


def _part(
    module: str, at: Setting, parameters: dict[str, object], prefixes: Sequence[str] = ("in",)
) -> Body:
    """Return an instance of a module of the library; inputs are moved to the result's grid."""
    result = at.results[0]
    ends = []
    for prefix, wire in zip(prefixes, at.inputs, strict=True):
        data = f"{wire.name}_data"
        if module == "qapflow_braid" and wire.stream.type != result.stream.type:
            data = aligned(wire, result.stream.type)
        ends.append((prefix, wire, data))
    return Body(macros().part(module, parameters, ends, result), library=(module,))


def aligned(wire: Wire, kind: Fixed) -> str:
    """Return the data of a wire on the grid of another type."""
    count = wire.stream.values
    sources, targets = [grid_of(wire.stream.type)] * count, [grid_of(kind)] * count
    return join(refit_all(f"{wire.name}_data", sources, targets))


@write_body.register
def _(work: kinds.Window, at: Setting) -> Body:
    stream = at.inputs[0].stream
    (top, bottom), (left, right) = work.padding
    fill = pack([work.fill] * stream.values, stream.type.width)
    parameters: dict[str, object] = {"WIDTH": stream.bits}
    parameters |= dict(zip(("HEIGHT_IN", "WIDTH_IN"), work.size, strict=True))
    parameters |= {"TOP": top, "BOTTOM": bottom, "LEFT": left, "RIGHT": right}
    parameters |= dict(zip(("KH", "KW"), work.kernel, strict=True))
    parameters |= dict(zip(("SH", "SW"), work.strides, strict=True))
    parameters |= dict(zip(("DH", "DW"), work.dilation, strict=True))
    parameters["FILL"] = f"{stream.bits}'h{fill}"
    return _part("qapflow_window", at, parameters)


@write_body.register
def _(work: kinds.Gather, at: Setting) -> Body:
    return _part("qapflow_gather", at, {"WIDTH": at.inputs[0].bits, "COUNT": work.count})


@write_body.register
def _(work: kinds.Scatter, at: Setting) -> Body:
    return _part("qapflow_scatter", at, {"WIDTH": at.results[0].bits, "COUNT": work.count})


@write_body.register
def _(work: kinds.Repeat, at: Setting) -> Body:
    down, across = work.factors
    parameters = {"WIDTH": at.inputs[0].bits, "WIDTH_IN": work.width, "FH": down, "FW": across}
    return _part("qapflow_repeat", at, dict(parameters))


@write_body.register
def _(work: kinds.Fold, at: Setting) -> Body:
    stream, result = at.inputs[0].stream, at.results[0].stream
    parameters = {
        "VALUES": stream.values,
        "WIDTH": stream.type.width,
        "SIGNED": int(stream.type.signed),
        "WIDTH_OUT": result.type.width,
        "COUNT": work.count,
        "MAXIMUM": int(work.maximum),
    }
    return _part("qapflow_fold", at, dict(parameters))


@write_body.register
def _(work: kinds.Braid, at: Setting) -> Body:
    parameters = {"WIDTH": at.results[0].bits, "FIRST": work.first, "SECOND": work.second}
    return _part("qapflow_braid", at, dict(parameters), ("a", "b"))


@write_body.register
def _(work: kinds.Mac, at: Setting) -> Body:
    stream, result = at.inputs[0].stream, at.results[0].stream
    values, sums = work.lanes
    weight = max(2, 1 + max(int(w).bit_length() for w in (work.weight.max(), -work.weight.min())))
    words = rom_words(work, stream.values, weight)
    address, bits = max(1, (len(words) - 1).bit_length()), values * sums * weight
    bias = list(work.bias) + [0] * (sums * work.turns - len(work.bias))
    wide = sums * work.turns * result.type.width
    parameters = {
        "N": stream.values,
        "WIDTH": stream.type.width,
        "SIGNED": int(stream.type.signed),
        "M": len(work.bias),
        "WIDTH_OUT": result.type.width,
        "WEIGHT": weight,
        "BEATS": work.beats,
        "PARTS": work.parts,
        "TURNS": work.turns,
        "ADDRESS": address,
        "BIAS": f"{wide}'h{pack(bias, result.type.width)}",
    }
    text = macros().mac(parameters, at.inputs[0], at.results[0], words, bits, address)
    delay = 4 + max(values - 1, 0).bit_length()
    return Body(text, library=("qapflow_mac",), delay=delay, cost_lut=None)


def rom_words(work: kinds.Mac, values: int, width: int) -> list[str]:
    """Return the words of a ROM in hex: for each beat, part and turn the weights of all lanes."""
    lanes, sums = work.lanes
    grown = np.zeros((work.beats, lanes * work.parts, sums * work.turns), np.int64)
    outputs = work.weight.shape[1]
    grown[:, :values, :outputs] = work.weight.reshape(work.beats, values, outputs)
    split = grown.reshape(work.beats, work.parts, lanes, work.turns, sums)
    words = split.transpose(0, 1, 3, 4, 2).reshape(-1, sums * lanes)
    return [pack(word, width) for word in words.tolist()]
