"""The firmware folder: top function, types, configurations, weights and kernels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qapflow import __version__
from qapflow.lower.files import Files
from qapflow.lower.hls4ml import GraphText, type_name
from qapflow.lower.layer_text import LayerText
from qapflow.lower.program import Kernel, Layer, Loop, Program, Step, Wire
from qapflow.lower.tables import Table, rom_table, table_header
from qapflow.lower.templates import c_type, kernel_macros, render

HEADERS = {
    "map": "map",
    "zip": "map",
    "gather": "move",
    "repack": "move",
    "repeat_lanes": "move",
    "combine": "move",
    "pad": "move",
    "pad_stream": "move",
    "upsample_stream": "move",
    "pool": "pool",
    "reduce": "pool",
    "fold": "pool",
    "flip": "move",
    "matmul": "matmul",
    "products": "products",
    "lookup": "map",
    "": "code",
}
CODE_HEADER = "nnet_utils/qapflow_code.h"
GENERATED = "nnet_utils/nnet_code_gen.h"
CONV_HEADER = "nnet_utils/qapflow_conv.h"
CONV_LOOP = "qapflow::conv_pixels"
TRACE_BITS = 64


def firmware(program: Program, graph: GraphText, top: str) -> Files:
    """Return `firmware/`: everything but the copied headers."""
    texts = [_step_text(n, step, graph, program.stream) for n, step in enumerate(program.steps)]
    tables = [table for text in texts for table in text["tables"]]
    values = {"top": top, "version": __version__, "hls4ml": graph.version}
    files = {
        f"firmware/{top}.cpp": render("top.cpp.j2", **values, **_body(program, graph.style, texts)),
        f"firmware/{top}.h": render("top.h.j2", top=top, ports=_ports(program)),
        "firmware/defines.h": render("defines.h.j2", typedefs=_typedefs(program, texts)),
        "firmware/parameters.h": render(
            "parameters.h.j2",
            includes=_includes(program, texts),
            tables=[table.name for table in tables],
            configs=texts,
        ),
    }
    files |= {f"firmware/weights/{t.name}.h": table_header(t) for t in tables}
    return Files({path: text.encode() for path, text in files.items()})


def _step_text(number: int, step: Step, graph: GraphText, stream: bool) -> dict[str, Any]:
    """Return configuration, call, tables and headers of one step."""
    if number in graph.layers:
        return _layer_text(step, graph.layers[number], stream)
    work = step.work
    if isinstance(work, Loop):
        return _loop_text(number, step, work, graph.bodies[number], stream)
    assert isinstance(work, Kernel)
    wire = (step.outputs or step.inputs)[0]
    name = f"config_{wire.name}"
    roms = {rom.name: f"{rom.name}{number}_{wire.name}" for rom in work.roms}
    element = "::value_type" if stream else ""
    sources = [type_name(w) + element for w in step.inputs]
    results = [type_name(w) + element for w in step.outputs]
    macro = getattr(kernel_macros(), work.macro)
    text = str(macro(name, work.params, sources, results, roms))
    arguments = ", ".join(w.name for w in (*step.inputs, *step.outputs))
    kernel = f"qapflow::{work.function}<{name}>" if work.function else f"{name}::run"
    return {
        "node": step.node,
        "text": text,
        "call": f"{kernel}({arguments});",
        "tables": [rom_table(rom, roms[rom.name]) for rom in work.roms],
        "includes": (f"nnet_utils/qapflow_{HEADERS[work.function]}.h",),
        "typedefs": (),
        "outputs": step.outputs,
    }


def _loop_text(
    number: int, step: Step, loop: Loop, graph: GraphText, stream: bool
) -> dict[str, Any]:
    """Return the body as a function of its own, and the loop that calls it."""
    body = loop.body
    texts = [_step_text(n, inner, graph, False) for n, inner in enumerate(body.steps)]
    (wire,) = step.outputs
    roms = [(rom, f"{rom.name}{number}_{wire.name}") for rom in loop.initial if rom.codes.any()]
    name = f"config_{wire.name}"
    states = len(loop.initial)
    config = render(
        "loop.h.j2",
        config_name=name,
        turns=loop.turns,
        every=loop.emit == "all",
        stream=stream,
        states=list(zip(body.inputs[:states], body.outputs[:states], strict=True)),
        first={rom.name: table for rom, table in roms},
        slices=list(zip(body.inputs[states:], step.inputs, strict=True)),
        result=body.outputs[-1],
        out=wire,
        ports=_ports(body),
        **_step_function(body, graph.style, texts),
    )
    inner = "\n".join(f"// {text['node']}\n{text['text']}" for text in texts)
    own = [rom_table(rom, table) for rom, table in roms]
    return {
        "node": step.node,
        "text": f"{inner}\n{config}",
        "call": f"{name}::run({', '.join(w.name for w in (*step.inputs, wire))});",
        "tables": [*own, *(table for text in texts for table in text["tables"])],
        "includes": (
            "nnet_utils/qapflow_move.h",
            *(header for text in texts for header in text["includes"]),
        ),
        "typedefs": tuple(_typedefs(body, texts)),
        "outputs": step.outputs,
    }


def _step_function(body: Program, style: str, texts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    ports = {wire.name for wire in (*body.inputs, *body.outputs)}
    made = [wire for text in texts for wire in text["outputs"] if wire.name not in ports]
    return {
        "pipelined": style == "pipeline",
        "interval": _interval(body),
        "locals": [_local(wire, False) for wire in made],
        "calls": [(text["call"], text["node"]) for text in texts],
    }


def _interval(program: Program) -> int:
    works = [s.work.reuse_factor for s in program.steps if isinstance(s.work, Layer)]
    return max(works, default=1)


def _layer_text(step: Step, text: LayerText, stream: bool) -> dict[str, Any]:
    assert isinstance(step.work, Layer)
    call, includes = text.call, text.includes + ((GENERATED,) if text.generated else ())
    if not stream and _needs_own_loop(step.work):
        call = f"{CONV_LOOP}<{call.split('<', 1)[1]}"
        includes += (CONV_HEADER,)
    return {
        "node": step.node,
        "text": text.config,
        "call": call,
        "tables": [Table(w.name, w.c_type, w.codes, w.type, "") for w in text.weights],
        "includes": includes,
        "typedefs": text.typedefs,
        "outputs": step.outputs,
    }


def _needs_own_loop(layer: Layer) -> bool:
    """Tell whether hls4ml's resource loop over the pixels of an array would be wrong or absent.

    It is right up to one column of weights a turn, and there is none for depthwise layers.
    """
    if layer.strategy != "resource" or "Conv" not in layer.class_name:
        return False
    sizes = layer.attributes
    column = sizes["n_chan"] * sizes["filt_width"] * sizes.get("filt_height", 1)
    return layer.class_name.startswith("Depthwise") or layer.reuse_factor > column


def watched_steps(program: Program, prefix: str = "") -> dict[str, str]:
    """Return the quantizers that count what they lose: names of configurations to node names."""
    found: dict[str, str] = {}
    for step in program.steps:
        if isinstance(step.work, Loop):
            found |= watched_steps(step.work.body, f"{prefix}{step.node}/")
        elif isinstance(step.work, Kernel) and step.work.macro in ("quantize", "divide"):
            found[f"config_{step.outputs[0].name}"] = prefix + step.node
    return found


def traced_wires(program: Program) -> dict[str, Wire]:
    """Return the edges whose codes fit the trace file, by name, in order."""
    return {
        edge: wire for edge, wire in program.traced.items() if wire.type.width <= TRACE_BITS - 1
    }


def _body(program: Program, style: str, texts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    ports = {wire.name for wire in (*program.inputs, *program.outputs)}
    made = [wire for text in texts for wire in text["outputs"] if wire.name not in ports]
    watched: dict[str, list[tuple[int, str]]] = {}
    for number, wire in enumerate(traced_wires(program).values()):
        watched.setdefault(wire.name, []).append((number, wire.name))
    calls = [
        {
            "text": text["call"],
            "node": text["node"],
            "traced": [pair for w in text["outputs"] for pair in watched.get(w.name, [])],
        }
        for text in texts
    ]
    entry = [pair for wire in program.inputs for pair in watched.get(wire.name, [])]
    return {
        "ports": _ports(program),
        "inputs": program.inputs,
        "outputs": program.outputs,
        "stream": program.stream,
        "style": style,
        "interval": _interval(program),
        "locals": [_local(wire, program.stream) for wire in made],
        "entry": entry,
        "calls": calls,
    }


def _ports(program: Program) -> list[dict[str, str]]:
    shape = "hls::stream<{0}> &{1}" if program.stream else "{0} {1}[{2}]"
    return [
        {"name": w.name, "argument": shape.format(type_name(w), w.name, w.size)}
        for w in (*program.inputs, *program.outputs)
    ]


def _local(wire: Wire, stream: bool) -> dict[str, str]:
    kind = type_name(wire)
    if stream:
        depth = f"#pragma HLS STREAM variable={wire.name} depth={wire.packets}"
        return {
            "declaration": f'hls::stream<{kind}> {wire.name}("{wire.name}")',
            "pragma": depth,
        }
    pragma = f"#pragma HLS ARRAY_PARTITION variable={wire.name} complete dim=0"
    return {"declaration": f"{kind} {wire.name}[{wire.size}]", "pragma": pragma}


def _typedefs(program: Program, texts: Iterable[Mapping[str, Any]]) -> list[str]:
    wires = [*program.inputs, *(w for text in texts for w in text["outputs"])]
    form = "typedef nnet::array<{0}, {1}> {2};" if program.stream else "typedef {0} {2};"
    lines = [form.format(c_type(w.type), w.lanes, type_name(w)) for w in wires]
    lines += [line.strip() for text in texts for line in text["typedefs"]]
    return list(dict.fromkeys(lines))


def _includes(program: Program, texts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Headers in use: the stream forms only where there are streams, never the sparse forms."""
    names = {name for text in texts for name in text["includes"]}
    names = {n for n in names if "_compressed" not in n}
    if not program.stream:  # hls4ml's convolutions need their stream headers even for arrays
        names = {n for n in names if "_stream" not in n or "conv" in n}
    return [CODE_HEADER, *sorted(names - {CODE_HEADER})]
