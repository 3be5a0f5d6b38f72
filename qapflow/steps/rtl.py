"""The two steps of a build that `--rtl` adds: write the RTL, and simulate it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qapflow.errors import ToolMissing
from qapflow.lower.files import Files
from qapflow.report.figures import Comparison, Figure, Source, ToolRun
from qapflow.rtl.sim.tools import first_simulator
from qapflow.steps.context import RTL, VERIFICATION, Context
from qapflow.versions import package_version

if TYPE_CHECKING:
    from qapflow.ir.fixed import Codes
    from qapflow.rtl.design import Design
    from qapflow.rtl.sim.simulate import Simulated

IMPLEMENTATION = "implementation.json"
WRITTEN = f"{VERIFICATION}/rtl_written.json"
RTL_SIMULATION = "RTL simulation"
WAVEFORM = f"{VERIFICATION}/rtl_mismatch.vcd"
STALL_PERCENT = 30  # of the cycles at both ends, in the second run
STALLED_SAMPLES = 1000


def rtl_settings(context: Context) -> dict[str, Any]:
    """Name what `rtl` reads from outside."""
    settings = context.settings
    if not settings.rtl:
        return {"rtl": False}
    return {
        "rtl": True,
        "language": settings.rtl_language,
        "form": settings.rtl_form,
        "top": context.top,
        "target": asdict(context.target),
        "alkaid": package_version("alkaid"),
        "qapflow": package_version("qapflow"),
        "require": settings.require,
    }


def write_rtl(context: Context) -> Files:
    """Write the network as Verilog or VHDL."""
    settings = context.settings
    if not settings.rtl:
        return Files({WRITTEN: _json({"status": "not asked for", "note": ""})})
    try:
        from qapflow.rtl.forms import Order, write_design
        from qapflow.rtl.manifest import MANIFEST, write_manifest

        samples = context.vectors("inputs"), context.vectors("outputs")
        order = Order(context.top, settings.rtl_language, settings.rtl_form)
        design, reason = write_design(context.net, context.plan, context.target, order, samples)
    except ToolMissing as error:
        if settings.require:
            raise
        note = f"{error.what}; {error.hint}"
        return Files({WRITTEN: _json({"status": "not run", "note": note})})
    cost = "" if design.cost_lut is None else f", {design.cost_lut:,.0f} LUT by its own estimate"
    language = {"verilog": "Verilog", "vhdl": "VHDL"}[design.language]
    note = f"wrote {language}{cost}; {design.form}: {reason}"
    files = {f"{RTL}/{path}": content for path, content in design.files.items()}
    files[f"{RTL}/{MANIFEST}"] = write_manifest(design)
    files[WRITTEN] = _json({"status": "ok", "note": note})
    return Files(files)


def simulation_settings(context: Context) -> dict[str, Any]:
    """Name what `simulate_rtl` reads from outside."""
    settings = context.settings
    if not settings.rtl:
        return {"rtl": False}
    try:
        found = first_simulator(settings.rtl_language)
        simulator = f"{found.name} {found.version} {found.path}"
    except ToolMissing:
        simulator = ""
    return {"rtl": True, "simulator": simulator, "require": settings.require}


def simulate_rtl(context: Context) -> Files:
    """Hold the RTL against the interpreter, cycle by cycle, without and with stalls."""
    written = json.loads(context.folder.read(WRITTEN))
    facts: dict[str, Any] = {"comparison": None, "figures": [], "tool": None}
    files: dict[str, bytes] = {}
    if written["status"] == "not run":
        facts["comparison"] = _not_run(written["note"])
    elif written["status"] == "ok":
        try:
            facts, files = _simulated(context)
        except ToolMissing as error:
            if context.settings.require:
                raise
            facts["comparison"] = _not_run(f"{error.what}; {error.hint}")
    files[f"{VERIFICATION}/rtl.json"] = _json({**facts, "written": written})
    return Files(files)


def _not_run(note: str) -> dict[str, Any]:
    from qapflow.verify.compare import INTERPRETER

    return asdict(Comparison(INTERPRETER, RTL_SIMULATION, "not run", note=note))


def _simulated(context: Context) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return comparison, figures and tool, and a waveform if anything differs."""
    from qapflow.rtl.manifest import read_design
    from qapflow.rtl.sim.simulate import simulate
    from qapflow.rtl.sim.transfers import Stalls

    folder = context.folder.path / RTL
    design, timeout = read_design(folder), context.settings.timeout_s
    inputs, outputs = context.vectors("inputs"), context.vectors("outputs")
    free = simulate(folder, design, inputs, timeout_s=timeout)
    item = _compare(context, free, outputs)
    files: dict[str, bytes] = {}
    if item.verdict == "equal":
        count = min(STALLED_SAMPLES, item.samples)
        some, expected = ({n: c[:count] for n, c in x.items()} for x in (inputs, outputs))
        stalls = Stalls(STALL_PERCENT, STALL_PERCENT, context.settings.seed + 1)
        stalled = simulate(folder, design, some, stalls, timeout_s=timeout)
        found = _compare(context, stalled, expected)
        note = f"{count:,} of them also with random stalls at both ends"
        item = replace(item, note=note) if found.verdict == "equal" else found
    if item.verdict == "different":
        item, files = _explained(context, design, folder, item)
    figures = [(name, asdict(figure)) for name, figure in _figures(free)]
    simulator, _, version = free.simulator.partition(" ")
    tool = ToolRun(simulator, version, "ok", "simulated the RTL")
    facts = {"comparison": asdict(item), "figures": figures, "tool": asdict(tool)}
    return facts, files


def compare_rtl(
    context: Context, inputs: Mapping[str, Codes], outputs: Mapping[str, Codes]
) -> Comparison | None:
    """Simulate the RTL of a finished build on other codes [n, *shape]; None if it has none.

    Raises:
        ToolFailed: the simulator crashed or took too long.
    """
    from qapflow.rtl.manifest import MANIFEST, read_design
    from qapflow.rtl.sim.simulate import simulate
    from qapflow.verify.compare import INTERPRETER

    folder = context.folder.path / RTL
    if not (folder / MANIFEST).is_file():
        return None
    try:
        found = simulate(folder, read_design(folder), inputs, timeout_s=context.settings.timeout_s)
    except ToolMissing as error:
        return Comparison(INTERPRETER, RTL_SIMULATION, "not run", note=error.what)
    return _compare(context, found, outputs)


def _compare(context: Context, found: Simulated, expected: Mapping[str, Codes]) -> Comparison:
    from qapflow.verify.compare import INTERPRETER, compare

    net = context.net
    shaped = {name: codes.reshape(expected[name].shape) for name, codes in found.outputs.items()}
    return compare(INTERPRETER, RTL_SIMULATION, net, expected, shaped)


def _figures(found: Simulated) -> list[tuple[str, Figure]]:
    source, note = Source.RTL_SIM, "counted from the first sample in to the first output"
    last = found.last_latency_cycles
    if last != found.latency_cycles:
        note += f"; its last output after {last:,} cycles"
    figures = [("latency_cycles", Figure(found.latency_cycles, "cycles", source, note=note))]
    if found.ii_cycles is not None:
        figures.append(("ii_cycles", Figure(found.ii_cycles, "cycles", source)))
    return figures


def _explained(
    context: Context, design: Design, folder: Path, item: Comparison
) -> tuple[Comparison, dict[str, bytes]]:
    """Run the first wrong sample again, keep its waveform, and name the first wrong signal."""
    from qapflow.rtl.sim.waveform import first_wrong_signal, record

    assert item.first is not None
    sample = item.first.sample
    inputs = {name: codes[sample : sample + 1] for name, codes in context.vectors("inputs").items()}
    waveform = record(folder, design, inputs, context.settings.timeout_s)
    where = first_wrong_signal(waveform, design, context.net, context.plan, context.target, inputs)
    cause = f"{where}; the waveform of sample {sample} is in {WAVEFORM}"
    content = waveform.read_bytes()
    return replace(item, first=replace(item.first, cause=cause)), {WAVEFORM: content}


def implementation_settings(context: Context) -> dict[str, Any]:
    """Name what `implement_rtl` reads from outside."""
    from qapflow.synth.tools import find_tool, tool_named

    settings = context.settings
    if not settings.rtl or settings.synth != "impl":
        return {"asked": False}
    return {
        "asked": True,
        "require": settings.require,
        "tool": str(find_tool(tool_named("vivado"))),
    }


def implement_rtl(context: Context) -> Files:
    """Run Vivado on the RTL with `--rtl --synth impl`, where it is installed."""
    from qapflow.synth.rtl_implementation import implement_rtl as implement

    settings = context.settings
    found: dict[str, Any] = {}
    written = json.loads(context.folder.read(WRITTEN))["status"]
    if settings.rtl and settings.synth == "impl" and written == "ok":
        result = implement(
            context.folder.path / RTL, timeout_s=settings.timeout_s, require=settings.require
        )
        found = asdict(replace(result, logs=()))
    return Files({IMPLEMENTATION: _json(found)})


def rtl_tools(context: Context) -> tuple[ToolRun, ...]:
    """Return the rows of a report's tools about the RTL."""
    found = context.verification("rtl")
    written = found["written"]
    if written["status"] == "not asked for":
        return ()
    version = package_version("alkaid")
    rows = [ToolRun("alkaid", version, written["status"], written["note"])]
    rows += [ToolRun(**found["tool"])] if found["tool"] else []
    implemented = json.loads(context.folder.read(IMPLEMENTATION))
    return (*rows, *(ToolRun(**row) for row in implemented.get("tools", ())))


def rtl_totals(context: Context) -> tuple[tuple[str, Figure], ...]:
    """Return what was counted in simulation and by Vivado on the RTL."""
    implemented = json.loads(context.folder.read(IMPLEMENTATION))
    rows = [*context.verification("rtl")["figures"], *implemented.get("totals", ())]
    return tuple((name, Figure(**{**f, "source": Source(f["source"])})) for name, f in rows)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, default=str) + "\n").encode()
