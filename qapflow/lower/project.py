"""A network to a complete HLS project, as a value."""

from __future__ import annotations

import json
from typing import Any

from qapflow import __version__
from qapflow.errors import ModelUnsupported, UsageError
from qapflow.ir.net import Net
from qapflow.lower.build import build_program
from qapflow.lower.files import Files
from qapflow.lower.firmware import firmware, traced_wires, watched_steps
from qapflow.lower.headers import ap_types, kernel_headers, licence
from qapflow.lower.hls4ml import GraphText, print_layers, type_name
from qapflow.lower.limits import unsupported
from qapflow.lower.names import identifier, is_identifier
from qapflow.lower.program import Program, Wire
from qapflow.lower.templates import c_type, render
from qapflow.plan import Plan
from qapflow.resources import templates_dir
from qapflow.target import Target

FLAGS = ("-O1", "-std=c++11", "-Wno-unknown-pragmas")


def lower(net: Net, plan: Plan, target: Target, top: str) -> Files:
    """Return the HLS project of `net` with the top function `top`.

    The golden vectors of its test bench come from `golden_files`. The same arguments give the
    same bytes.

    Raises:
        ModelUnsupported: something cannot be built exactly; `unsupported` lists the same.
        UsageError: `top` is not a C identifier.
        CheckFailed: hls4ml changed a type or a choice.
        ToolMissing: hls4ml is not installed.
    """
    if not is_identifier(top):
        hint = f"use {identifier(top)!r}"
        raise UsageError(f"{top!r} cannot be the name of a top function", hint=hint)
    if items := unsupported(net, plan):
        raise ModelUnsupported(items, at=f"lowering to {plan.backend}, {plan.io_type}")
    program = build_program(net, plan, top)
    graph = print_layers(program, plan, target, top)
    files = firmware(program, graph, top)
    names = [line.split('"')[1] for line in _include_lines(files, top)]
    headers, copied = kernel_headers(
        [n for n in names if n.startswith("nnet_utils/")], plan.backend, graph.generated
    )
    for part in (headers, ap_types(), _simulation(program, top), _scripts(plan, target, top)):
        files = files.merge(part)
    return files.merge(_notice(graph, copied, top))


def _include_lines(files: Files, top: str) -> list[str]:
    paths = ("firmware/parameters.h", "firmware/defines.h", f"firmware/{top}.cpp")
    text = b"\n".join(files.contents[path] for path in paths).decode()
    return [line for line in text.splitlines() if line.startswith('#include "')]


def _simulation(program: Program, top: str) -> Files:
    """Return the simulation program, its description, and the test bench."""
    stream = program.stream
    values: dict[str, Any] = {
        "top": top,
        "stream": stream,
        "inputs": [_port(w, stream) for w in program.inputs],
        "outputs": [_port(w, stream) for w in program.outputs],
    }
    traced = [{"edge": edge, "size": w.size} for edge, w in traced_wires(program).items()]
    sources = {
        "units": ["csim/main.cpp"],
        "include_dirs": ["csim/ap_types"],
        "flags": [*FLAGS, "-DQAPFLOW_TRACE"],
    }
    texts = {
        "csim/main.cpp": render("main.cpp.j2", traced=traced, **values),
        **{
            f"csim/{name}": (templates_dir() / "hls/csim" / name).read_text(encoding="utf-8")
            for name in ("trace.h", "sanitize.h")
        },
        "csim/watched.json": json.dumps(watched_steps(program), indent=1) + "\n",
        "csim/trace.json": json.dumps(traced, indent=1) + "\n",
        "csim/sources.json": json.dumps(sources, indent=1) + "\n",
        f"{top}_test.cpp": render("test.cpp.j2", **values),
    }
    return Files({path: text.encode() for path, text in texts.items()})


def _port(wire: Wire, stream: bool) -> dict[str, Any]:
    name = type_name(wire)
    form = "hls::stream<{0}> {1}_port" if stream else "{0} {1}_port[{2}]"
    return {
        "name": wire.name,
        "size": wire.size,
        "lanes": wire.lanes,
        "width": wire.type.width,
        "signed": wire.type.signed,
        "type": name if not stream else c_type(wire.type),
        "packet": name,
        "declaration": form.format(name, wire.name, wire.size),
    }


def _scripts(plan: Plan, target: Target, top: str) -> Files:
    """Return the scripts of the vendor tools."""
    values = {
        "top": top,
        "part": target.part,
        "clock_ns": f"{plan.clock_ns:g}",
        "uncertainty": f"{plan.clock_uncertainty_percent:g}",
        "flags": FLAGS,
    }
    names = ("build_prj.tcl", "build_opt.tcl", "hls_config.cfg", "compile.sh")
    return Files({name: render(f"{name}.j2", **values).encode() for name in names})


def _notice(graph: GraphText, copied: list[str], top: str) -> Files:
    text = render("NOTICE.j2", version=__version__, hls4ml=graph.version, copied=copied, top=top)
    return Files({"NOTICE": text.encode(), "licenses/hls4ml-LICENSE.txt": licence()})
