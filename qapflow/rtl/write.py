"""A network as an unrolled, pipelined core: all of it at once, a sample every clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qapflow.ir.fixed import Codes
from qapflow.ir.net import Net
from qapflow.plan import Plan
from qapflow.rtl.design import Design, Language, Module
from qapflow.rtl.evaluate import check_trace
from qapflow.rtl.pipeline import Pipeline, divide
from qapflow.rtl.ports import make_ports, module_name
from qapflow.rtl.schedule import schedule, stage_budget
from qapflow.rtl.shell import shell_files
from qapflow.rtl.symbols import Fabric
from qapflow.rtl.text import SUFFIX, write_core, write_pieces
from qapflow.rtl.trace import trace
from qapflow.target import Target


def pipeline_net(net: Net, target: Target, clock_ns: float, uncertainty_percent: float) -> Pipeline:
    """Trace a network and cut it into stages for a clock.

    Raises:
        ToolMissing: alkaid is not installed.
        ModelUnsupported: values wider than a double.
    """
    traced = trace(net, Fabric())
    units = stage_budget(target, clock_ns, uncertainty_percent).units
    return divide(traced, schedule(traced.logic.ops, units))


def write_unrolled(
    net: Net,
    plan: Plan,
    target: Target,
    *,
    top: str,
    language: Language = "verilog",
    samples: tuple[Mapping[str, Codes], Mapping[str, Codes]] | None = None,
) -> Design:
    """Return the core, its AXI-stream shell, constraints and scripts.

    `samples` are input and output codes [n, *shape] of the interpreter; the logic is held against
    them before anything is written.

    Raises:
        ToolMissing: alkaid is not installed.
        ModelUnsupported: values wider than a double.
        CheckFailed: the logic does not compute what the interpreter does.
    """
    net = replace(net, outputs=tuple(dict.fromkeys(net.outputs)))
    pipeline = pipeline_net(net, target, plan.clock_ns, plan.clock_uncertainty_percent)
    if samples is not None:
        check_trace(net, pipeline.traced, *samples)
    top, ports = module_name(top), make_ports(net)
    modules, files = write_pieces(pipeline, top, language)
    facts = {"title": f"{top}: unrolled", "top": top, "clock_ns": f"{plan.clock_ns:g}"}
    core = f"src/{top}.{SUFFIX[language]}"
    files[core] = write_core(pipeline, modules, ports, facts, language)
    whole = Module(top, pipeline.traced.layers, (core, *sorted(set(files) - {core})), None)
    design = Design(
        top=top,
        language=language,
        form="unrolled",
        inputs=ports[0],
        outputs=ports[1],
        modules=(*modules, whole),
        files=files,
        clock_ns=plan.clock_ns,
        cost_lut=pipeline.traced.cost_lut,
    )
    return with_shell(design, target, plan.clock_uncertainty_percent)


def with_shell(design: Design, target: Target, uncertainty_percent: float) -> Design:
    """Return a design with the AXI-stream shell, constraints, scripts and notice added."""
    added = shell_files(design, target, uncertainty_percent)
    return replace(design, files={**design.files, **added})
