"""Functions that the firmware looks up: sigmoid, tanh and the like, and softmax.

Tables are filled in single precision by the C library, here as in a C simulation on this machine.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from qapflow.importer.elements import ZERO, read_literal, values_of
from qapflow.importer.reader import Reader, Refused
from qapflow.importer.sources import Call, CType, kernel_text
from qapflow.importer.weights import cast_values
from qapflow.ir.fixed import Codes, Fixed, Overflow, Rounding, cast
from qapflow.ir.ops import Clip, Const, Merge, Quantize, Reduce, Table, Threshold

Real = Callable[[float], float]
_OTHER = "choose the softmax implementation stable or latency in hls4ml, and write it again"


def _single(name: str) -> Real:
    """Return a function of the C library in single precision.

    Raises:
        Refused: this machine has no C library to ask.
    """
    path = ctypes.util.find_library("m")
    if not path:
        raise Refused("the C library that fills its table is not found on this machine")
    function = getattr(ctypes.CDLL(path), name)
    function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    return lambda value: float(function(value))


def _sigmoid(x: float) -> float:
    return float(np.float32(1.0 / float(np.float32(1) + np.float32(_single("expf")(-x)))))


def _tanh(x: float) -> float:
    return _single("tanhf")(x)


def _softplus(x: float) -> float:
    return float(np.float32(math.log(_single("expf")(x) + 1.0)))


def _softsign(x: float) -> float:
    return float(np.float32(x / (abs(x) + 1.0)))


def _elu(x: float) -> float:
    return float(np.float32(_single("expf")(x) - 1.0))


# Function and range of the table: entries lie at range * (i - size / 2) / size.
_SYMMETRIC: dict[str, tuple[Real, int]] = {
    "sigmoid": (_sigmoid, 16),
    "tanh": (_tanh, 8),
    "softplus": (_softplus, 16),
    "softsign": (_softsign, 16),
}


def read_symmetric(reader: Reader, call: Call) -> None:
    """nnet::sigmoid, tanh, softplus, softsign: index = x * size / range + size / 2, clamped."""
    config = reader.config(call)
    function, span = _SYMMETRIC[call.function]
    size, kind = reader.number(config, "table_size"), reader.type_of(config["table_t"])
    places = [float(np.float32(span * (i - size / 2) / size)) for i in range(size)]
    entries = _entries(function, places, kind)
    data, out = reader.type_of(call.templates[0]), reader.type_of(call.templates[1])
    _check_range(data.fixed, size, span)
    values = cast(entries, kind.fixed.frac, out.fixed, out.rounding, out.overflow)
    offset = span // 2 * size // span
    steps = [_first(index - offset, data.fixed.frac, span, size) for index in range(1, size)]
    op = _steps(steps, values, data.fixed.frac, out.fixed)
    made = reader.builder.add(call.name, op, values_of(reader, call), origin=call.name)
    reader.bind(call.arguments[1], made)


def _check_range(kind: Fixed, size: int, span: int) -> None:
    if kind.integer + math.log2(size / span) > 31:
        raise Refused("the index of its table overflows the integers of C")


def _entries(function: Real, places: list[float], kind: CType) -> Codes:
    return cast_values([Fraction(function(x)) for x in places], kind)


def _first(index: int, frac: int, span: int, size: int) -> int:
    """Return the least code whose index, x * size / span cut towards zero, is at least `index`."""
    step = Fraction(span * 2**frac if frac >= 0 else span, size * (2**-frac if frac < 0 else 1))
    return math.ceil(index * step) if index > 0 else math.floor((index - 1) * step) + 1


def _steps(firsts: list[int], values: Codes, frac: int, kind: Fixed) -> Threshold:
    """Return the step function that has values[i] from code firsts[i - 1] on."""
    kept: list[int] = []
    made = [int(values[0])]
    for first, value in zip(firsts, values[1:].tolist(), strict=True):
        if kept and kept[-1] == first:
            made[-1] = int(value)
        elif int(value) != made[-1]:
            kept.append(first)
            made.append(int(value))
    if not kept:
        kept, made = [0], made * 2
    limits = Fixed.holding(min(kept), max(kept), frac)
    return Threshold(Const(np.array(kept, object), limits), Const(np.array(made, object), kind))


def read_elu(reader: Reader, call: Call) -> None:
    """nnet::elu<in, [alpha,] out, config>: x, and below zero alpha * table[-x * size / 8]."""
    config = reader.config(call)
    size, kind = reader.number(config, "table_size"), reader.type_of(config["table_t"])
    entries = _entries(_elu, [float(np.float32(-8.0 * i / size)) for i in range(size)], kind)
    alpha, place = Const(np.array(1), Fixed(False, 1, 0)), 1
    if len(call.arguments) == 3:
        alpha, place = read_literal(reader, call, early=1), 2
    data, out = reader.type_of(call.templates[0]), reader.type_of(call.templates[-2])
    _check_range(data.fixed, size, 8)
    frac = kind.fixed.frac + alpha.type.frac
    values = cast(entries * int(alpha.codes), frac, out.fixed, out.rounding, out.overflow)
    # From the most negative code up: the index falls to 0 at zero.
    step = Fraction(8 * 2**data.fixed.frac if data.fixed.frac >= 0 else 8, size)
    firsts = [math.floor(-index * step) + 1 for index in range(size - 1, 0, -1)]
    source, node = values_of(reader, call), reader.builder
    below = node.add(f"{call.name}_below", Clip(None, ZERO), source, origin=call.name)
    op = _steps(firsts, values[::-1], data.fixed.frac, out.fixed)
    below = node.add(f"{call.name}_table", op, below, origin=call.name)
    above = node.add(f"{call.name}_above", Clip(ZERO, None), source, origin=call.name)
    above = reader.quantize(call, above, out, f"{call.name}_cast")
    made = node.add(call.name, Merge("add"), above, below, origin=call.name)  # one is zero
    reader.finish(call, made, call.templates[-2], place)


def read_lookup(reader: Reader, call: Call) -> None:
    """nnet::unary_lut<in, out, config>(data, res, table): the bits of x are the index."""
    config = reader.config(call)
    kind, data = reader.type_of(config["table_t"]), reader.type_of(call.templates[0]).fixed
    values = reader.constants(call, 2, kind, reader.number(config, "table_size"))
    if len(values) < 2**data.width:
        raise Refused(f"its table has {len(values)} entries for inputs of {data.width} bits")
    source = _as_type(reader, call, values_of(reader, call), data)
    op = Table(data.lo, Const(_by_code(values, data), kind.fixed))
    made = reader.builder.add(call.name, op, source, origin=call.name)
    reader.finish(call, made, call.templates[1])


def _by_code(values: Codes, kind: Fixed) -> Codes:
    """Return entries, indexed by the bits of a code, in the order of the codes."""
    return np.asarray(values[np.arange(kind.lo, kind.hi + 1) % 2**kind.width])


def _as_type(reader: Reader, call: Call, edge: str, kind: Fixed) -> str:
    """Return an edge that has a type as it is declared, where the network's is narrower."""
    if reader.builder.edges[edge].type == kind:
        return edge
    op = Quantize(kind, Rounding.TRN, Overflow.WRAP)
    return reader.builder.add(f"{call.name}_bits", op, edge, origin=call.name)


def read_softmax(reader: Reader, call: Call) -> None:
    """nnet::softmax and softmax_multidim, stable and latency."""
    config = reader.config(call)
    way = config.get("implementation", "").rpartition("::")[2]
    if way not in ("stable", "latency"):
        raise Refused(f"implementation {way or 'legacy'} of softmax is not read", _OTHER)
    node, name = reader.builder, call.name
    edge = reader.source(call, _slices(reader, call, config))
    kind, sign = reader.type_of(call.templates[0]), 1.0
    early = "inp_norm_t" not in config
    if early:
        config = _early(reader, config, kind, way)
    if way == "stable":
        top = node.add(f"{name}_max", Reduce("max", (1,), True), edge, origin=name)
        parts = (edge, top) if early else (top, edge)
        edge = node.add(f"{name}_distance", Merge("sub"), *parts, origin=name)
        kind = _rounded(kind) if early else reader.type_of(config["inp_norm_t"])
        edge = reader.quantize(call, edge, kind, f"{name}_norm")
        sign = 1.0 if early else -1.0
    accum = reader.type_of(config["accum_t"])
    edge = _powers(reader, call, config, edge, kind, sign)
    edge = reader.quantize(call, edge, accum, f"{name}_powers")
    total = node.add(f"{name}_total", Reduce("sum", (1,), True), edge, origin=name)
    # No power is negative, so that saturating after every addition is saturating once.
    total = reader.quantize(call, total, accum, f"{name}_sum")
    inverse = _inverse(reader, call, config, total)
    made = node.add(name, Merge("mul"), edge, inverse, origin=name)
    reader.finish(call, made, call.templates[1])


def _early(reader: Reader, config: dict[str, str], kind: CType, way: str) -> dict[str, str]:
    """Return the configuration of kernels before 1.1, which sum in the type of the table."""
    text = kernel_text(reader.sources, "nnet_activation.h") or ""
    signs = ("<typenameCONFIG_T::exp_table_t,CONFIG_T>(exp_sum)", "d_xi_xmax[i]=data[i]-x_max;")
    if signs[0] not in text or (
        way == "stable" and (signs[1] not in text or not kind.fixed.signed)
    ):
        raise Refused("an older implementation of softmax is not read", _OTHER)
    size, sums = config["table_size"], config["exp_table_t"]
    sizes = {"exp_table_size": size, "inv_table_size": size}
    return config | sizes | {"accum_t": sums, "inv_inp_t": sums}


def _rounded(kind: CType) -> CType:
    return CType(kind.fixed, Rounding.RND, Overflow.SAT)


def _powers(
    reader: Reader, call: Call, config: dict[str, str], edge: str, kind: CType, sign: float
) -> str:
    """Add the table of powers, indexed by the top bits of a type."""
    exp_kind, exp = reader.type_of(config["exp_table_t"]), _single("expf")
    scale = np.float32(float(config.get("exp_scale", "1")))
    places = _places(kind.fixed, reader.number(config, "exp_table_size"))
    powers = [exp(float(sign * (np.float32(x) * scale))) for x in places]
    entries = cast_values([_real(value, exp_kind) for value in powers], exp_kind)
    return _look_up(reader, call, edge, kind.fixed, entries, exp_kind, "exp")


def _slices(reader: Reader, call: Call, config: dict[str, str]) -> tuple[int, int, int]:
    """Return [outer, summed, inner] axes; streams sum over the values of a word."""
    size = reader.number(config, "n_in")
    lanes = reader.type_of(call.templates[0]).lanes
    if reader.stream:
        return size // lanes, lanes, 1
    inner = reader.number(config, "n_inner", 1) if call.function == "softmax_multidim" else 1
    outer = reader.number(config, "n_outer", 1) if call.function == "softmax_multidim" else 1
    return outer, size // inner // outer, inner


def _real(value: float, kind: CType) -> Fraction:
    """Return a power as a fraction; infinity saturates to the largest value, or wraps to 0."""
    if not math.isinf(value):
        return Fraction(value)
    wraps = kind.overflow is Overflow.WRAP
    return Fraction(0) if wraps else Fraction(kind.fixed.hi) / Fraction(2) ** kind.fixed.frac


def _places(kind: Fixed, size: int) -> list[float]:
    """Return the inputs that a table indexed by the top bits of a type stands for."""
    bits = _bits(kind, size)
    low = kind.width - bits
    codes = [i << low for i in range(size)]
    signed = [c - (1 << kind.width) if kind.signed and c > kind.hi else c for c in codes]
    return [float(np.float32(Fraction(c) / Fraction(2) ** kind.frac)) for c in signed]


def _bits(kind: Fixed, size: int) -> int:
    bits = size.bit_length() - 1
    if 1 << bits != size or bits < 1 or bits > kind.width:
        raise Refused(f"its table of {size} entries does not fit an index of {kind.width} bits")
    return bits


def _look_up(
    reader: Reader, call: Call, edge: str, kind: Fixed, entries: Codes, made: CType, name: str
) -> str:
    """Add a table indexed by the top bits of an edge of a declared type."""
    bits = _bits(kind, len(entries))
    top = Fixed(kind.signed, bits, kind.frac - kind.width + bits)
    cut = Quantize(top, Rounding.TRN, Overflow.WRAP)
    edge = reader.builder.add(f"{call.name}_{name}_index", cut, edge, origin=call.name)
    op = Table(top.lo, Const(_by_code(entries, top), made.fixed))
    return reader.builder.add(f"{call.name}_{name}", op, edge, origin=call.name)


def _inverse(reader: Reader, call: Call, config: dict[str, str], total: str) -> str:
    """Add 1 / x from a table, in which 1 / 0 is the largest value, or 0 where infinity wraps."""
    source, kind = reader.type_of(config["inv_inp_t"]), reader.type_of(config["inv_table_t"])
    edge = reader.quantize(call, total, source, f"{call.name}_whole")
    places = _places(source.fixed, reader.number(config, "inv_table_size"))
    exact = [Fraction(float(np.float32(1) / np.float32(x))) if x else Fraction(0) for x in places]
    entries = cast_values(exact, kind)
    if kind.overflow is not Overflow.WRAP:
        entries[places.index(0.0)] = kind.fixed.hi
    return _look_up(reader, call, edge, source.fixed, entries, kind, "inverse")
