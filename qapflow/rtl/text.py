"""Verilog and VHDL of scheduled logic: one module a piece, one a table, and the core around them.

The lines of the pieces are alkaid's; modules, registers and handshakes are templates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qapflow.ir.fixed import Fixed
from qapflow.rtl.design import Language, Module, Port
from qapflow.rtl.pipeline import CONSTANT, INPUT, Piece, Pipeline
from qapflow.rtl.ports import part_names
from qapflow.rtl.templates import render

SUFFIX: dict[Language, str] = {"verilog": "v", "vhdl": "vhd"}
PREFIX = "alkaid_"  # its modules have names such as mux, which a larger design may have as well
LIBRARY = {
    -2: "negative",
    0: "shift_adder",
    1: "shift_adder",
    4: "shift_adder",
    6: "mux",
    7: "multiplier",
    10: "binop",
}
TABLE = 8
_INSTANCE = {
    "verilog": re.compile(rf"(?<= )({'|'.join(sorted(set(LIBRARY.values())))})(?= #\()"),
    "vhdl": re.compile(rf"(?<=work\.)({'|'.join(sorted(set(LIBRARY.values())))})(?= generic)"),
}
_NUMBER = re.compile(r"\b(v|op_)(\d+)\b")
_DECLARED = re.compile(r"wire \[\d+:0\] (v\d+);\s*|signal (v\d+):.*")


@dataclass(frozen=True)
class Wire:
    """A value of `width` bits and what drives it ("" where a piece does)."""

    value: int
    width: int
    source: str = ""


@dataclass(frozen=True)
class Slice:
    """Bits `high` to `low` of a port and what drives them."""

    port: str
    high: int
    low: int
    source: str


def write_pieces(
    pipeline: Pipeline, top: str, language: Language
) -> tuple[list[Module], dict[str, bytes]]:
    """Return the modules of all pieces, in order, and their files by path."""
    files: dict[str, bytes] = {}
    modules = []
    layers = pipeline.traced.layers
    names = part_names(layers)
    for piece in pipeline.pieces:
        name = f"{top}_s{piece.stage}_{names[piece.layer]}"
        path = f"src/{name}.{SUFFIX[language]}"
        files[path] = _piece_text(pipeline, piece, name, language)
        tables = dict(_tables(piece.logic, language))
        files |= tables
        used = {LIBRARY[op.opcode] for op in piece.logic.ops if op.opcode in LIBRARY}
        library = library_files(used, language)
        files |= library
        needs = (path, *sorted(library), *sorted(tables))
        modules.append(Module(name, (layers[piece.layer],), needs, piece.cost_lut))
    return modules, files


def _piece_text(pipeline: Pipeline, piece: Piece, name: str, language: Language) -> bytes:
    signals, lines = _lines(piece, language)
    border = {f"v{v}" for v in (*piece.reads, *piece.makes)}
    if language == "verilog":
        lines = [_undeclared(line, border) for line in lines]
    else:
        signals = [line for line in signals if _undeclared(line, border)]
    return render(
        f"piece.{SUFFIX[language]}.j2",
        name=name,
        layer=" ".join(pipeline.traced.layers[piece.layer].split()),
        stage=piece.stage,
        inputs=[Wire(v, pipeline.width(v)) for v in piece.reads],
        outputs=[Wire(v, pipeline.width(v)) for v in piece.makes],
        signals=signals,
        lines=lines,
    )


def _lines(piece: Piece, language: Language) -> tuple[list[str], list[str]]:
    """Return alkaid's lines, with the numbers of the whole logic and the names of its modules."""
    if language == "verilog":
        from alkaid.codegen.rtl.verilog.comb import ssa_gen as verilog

        signals, lines = [], verilog(piece.logic, {})
        lines = [line for line in lines if "= model_inp[" not in line]
    else:
        from alkaid.codegen.rtl.vhdl.comb import ssa_gen as vhdl

        signals, lines = vhdl(piece.logic, {})
        lines = [line for line in lines if "<= model_inp(" not in line]

    def renumber(text: str) -> str:
        return _NUMBER.sub(lambda m: f"{m[1]}{piece.numbers[int(m[2])]}", text)

    named = [_INSTANCE[language].sub(rf"{PREFIX}\1", renumber(line)) for line in lines]
    return [renumber(line) for line in signals], named


def _undeclared(line: str, border: set[str]) -> str:
    """Return a line without the declaration of a value that is a port already."""
    found = _DECLARED.match(line)
    if found and (found[1] or found[2]) in border:
        return line[found.end() :]
    return line


def _tables(logic: Any, language: Language) -> Iterator[tuple[str, bytes]]:
    from alkaid.codegen.rtl.verilog.lookup import lookup_name, table_hex

    for op in logic.ops:
        out_bits = int(sum(op.qint.kif))
        if op.opcode != TABLE or not out_bits:
            continue
        name = lookup_name(logic, op)
        values = table_hex(logic, op)
        if language == "vhdl":
            values = [_binary(text, out_bits) for text in values]
        in_bits = int(sum(logic.ops[op.addr[0]].qint.kif))
        suffix = SUFFIX[language]
        facts = {"name": name, "in_bits": in_bits, "out_bits": out_bits, "values": values}
        yield f"src/{name}.{suffix}", render(f"table.{suffix}.j2", **facts)


def _binary(text: str, bits: int) -> str:
    return "X" * bits if "X" in text else f"{int(text, 16):0{bits}b}"[-bits:]


def library_files(names: set[str], language: Language) -> dict[str, bytes]:
    """Return alkaid's own modules by path, renamed so that they collide with nothing."""
    from importlib.resources import files as resources

    folder = resources("alkaid") / "codegen" / "rtl" / language / "source"
    found = {}
    for name in sorted(names):
        text = (folder / f"{name}.{SUFFIX[language]}").read_text(encoding="utf-8")
        renamed = re.sub(rf"\b(module|entity|of|end entity) {name}\b", rf"\1 {PREFIX}{name}", text)
        mark = "//" if language == "verilog" else "--"
        head = f"{mark} {name} of alkaid (LGPL-3.0-or-later, see NOTICE), renamed {PREFIX}{name}\n"
        found[f"src/alkaid/{PREFIX}{name}.{SUFFIX[language]}"] = (head + renamed).encode()
    return found


def write_core(
    pipeline: Pipeline,
    modules: Sequence[Module],
    ports: tuple[tuple[Port, ...], tuple[Port, ...]],
    facts: dict[str, Any],
    language: Language,
) -> bytes:
    """Return the module with the ports, the registers, the stall and all pieces."""
    inputs, outputs = ports
    stages = pipeline.schedule.stages
    made = {v for piece in pipeline.pieces for v in piece.makes}
    wires = [Wire(v, w, source) for v, w, source in _input_wires(pipeline, inputs, language)]
    wires += [Wire(v, pipeline.width(v)) for v in sorted(made)]
    registers: dict[int, list[Wire]] = defaultdict(list)
    for value, end in sorted(pipeline.last.items()):
        for stage in range(stages[value] + 1, end + 1):
            before = _signal(pipeline, value, stage - 1)
            registers[stage].append(Wire(value, pipeline.width(value), before))
    pieces = [
        {
            "module": module.name,
            "instance": f"i_{module.name}",
            "wires": [(v, _signal(pipeline, v, piece.stage)) for v in (*piece.reads, *piece.makes)],
        }
        for piece, module in zip(pipeline.pieces, modules, strict=True)
    ]
    return render(
        f"core.{SUFFIX[language]}.j2",
        **facts,
        stages=pipeline.schedule.count,
        inputs=[_described(port) for port in inputs],
        outputs=[_described(port) for port in outputs],
        wires=wires,
        registers=[{"number": n, "held": held} for n, held in sorted(registers.items())],
        pieces=pieces,
        assigns=list(_assigns(pipeline, outputs, language)),
    )


def _described(port: Port) -> dict[str, Any]:
    size = "x".join(map(str, port.shape)) or "1"
    sign = "signed" if port.type.signed else "unsigned"
    note = f"{size} {sign} values of {port.type.width} bits, code * 2**{-port.type.frac}"
    return {"name": port.name, "bits": port.bits, "note": note}


def _signal(pipeline: Pipeline, value: int, stage: int) -> str:
    made = pipeline.schedule.stages[value]
    return f"v{value}" if stage == made else f"v{value}_s{stage}"


def _input_wires(
    pipeline: Pipeline, inputs: Sequence[Port], language: Language
) -> Iterator[tuple[int, int, str]]:
    """Yield value, width and bits of the input ports."""
    places = [(port, i) for port in inputs for i in range(port.values)]
    for value, op in enumerate(pipeline.traced.logic.ops):
        if op.opcode != INPUT or value not in pipeline.last:
            continue
        port, place = places[op.data[0]]
        low = place * port.type.width + port.type.frac - op.qint.kif[2]
        width = pipeline.width(value)
        assert low + width <= (place + 1) * port.type.width
        yield value, width, _part(f"{port.name}_data", low + width - 1, low, language)


def _part(name: str, high: int, low: int, language: Language) -> str:
    return f"{name}[{high}:{low}]" if language == "verilog" else f"{name}({high} downto {low})"


def _assigns(pipeline: Pipeline, outputs: Sequence[Port], language: Language) -> Iterator[Slice]:
    logic, place = pipeline.traced.logic, 0
    for port in outputs:
        for number in range(port.values):
            value, shift = logic.out_idxs[place], logic.out_shifts[place]
            assert not logic.out_negs[place]
            low = number * port.type.width
            source = _extended(pipeline, value, shift, port.type, language)
            yield Slice(port.name, low + port.type.width - 1, low, source)
            place += 1


def _extended(pipeline: Pipeline, value: int, shift: int, kind: Fixed, language: Language) -> str:
    """Return a value * 2**shift as a code of `kind`."""
    op = pipeline.traced.logic.ops[value]
    if op.opcode == CONSTANT or not pipeline.width(value):
        real = op.data[0] * op.qint.step * 2.0**shift if op.opcode == CONSTANT else 0.0
        code = int(real * 2.0**kind.frac) & ((1 << kind.width) - 1)
        binary = f"{code:0{kind.width}b}"
        return f"{kind.width}'b{binary}" if language == "verilog" else f'"{binary}"'
    signed, _, frac = op.qint.kif
    name, width = _signal(pipeline, value, pipeline.schedule.count), pipeline.width(value)
    zeros = kind.frac - (frac - shift)
    # The tracer's range may be looser than the network's type, which is proved: bits above are
    # copies of the sign, and bits below the grid are zero.
    low, high = max(-zeros, 0), min(width, kind.width - zeros) - 1
    if high < low:
        return _zeros(kind.width, language)
    signs = max(kind.width - width - zeros, 0)
    part = name if (low, high) == (0, width - 1) else _part(name, high, low, language)
    top = _part(name, width - 1, width - 1, language) if signed else _ZERO
    if language == "verilog":
        parts = [f"{{{signs}{{{top}}}}}"] if signs else []
        parts += [part] + ([_zeros(zeros, language)] if zeros > 0 else [])
        return f"{{{', '.join(parts)}}}"
    bit = f"{name}({width - 1})" if signed else "'0'"
    parts = [f"({signs - 1} downto 0 => {bit})"] if signs else []
    return " & ".join([*parts, part] + ([_zeros(zeros, language)] if zeros > 0 else []))


def _zeros(count: int, language: Language) -> str:
    return f"{count}'d0" if language == "verilog" else f'"{"0" * count}"'


_ZERO = "1'b0"
