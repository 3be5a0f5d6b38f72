"""Figures of a dense layer or a convolution: rules, and what reports say where there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from qapflow.estimate.calibration import Calibration, Model
from qapflow.estimate.interval import CSYNTH, JUDGED, exact, judged, measured
from qapflow.estimate.kernel import describe
from qapflow.estimate.latency import Cycles, matrix_cycles, tree_cycles, usable_ns
from qapflow.estimate.module import STANDS_IN, UNROLLED, Module, family_group, matrix_kind
from qapflow.estimate.plain import fifo_cost, line_buffer_cost, window_cost
from qapflow.estimate.resources import Cost, constant_dsp, resource_bram18, resource_dsp
from qapflow.estimate.terms import shape, terms
from qapflow.estimate.unread import unread_outputs
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Conv, Dense
from qapflow.plan import Choice, Plan
from qapflow.report.figures import Figure
from qapflow.target import Target

Row = dict[str, Figure]
STREAMED_LUT = (0.1, 3.0)  # 18 reports of three projects are 0.13 to 2.5 of the estimate
CONVOLUTION = "convolution, io_stream"  # shared multipliers: DSP slices and memories of weights


class Piece(Protocol):
    """What a model is found by."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def tool(self) -> str: ...  # noqa: D102
    @property
    def family(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Part:
    """The hardware of one node: its matrix, what surrounds it, and how it is called in notes."""

    module: Module
    around: tuple[Cost, ...]
    what: str


def facts_of(module: Module) -> dict[str, float]:
    """Return what a calibration's region is told by."""
    kernel = module.kernel
    return {
        "clock_ns": module.clock_ns,
        "n_in": kernel.n_in,
        "n_out": kernel.n_out,
        "in_width": kernel.in_width,
        "weight_width": kernel.weight_width,
        "nonzeros": kernel.nonzeros,
        "reuse_factor": module.reuse_factor,
    }


def module_of(net: Net, node: Node, plan: Plan, target: Target) -> Module:
    """Return a Dense or Conv as the formulas see it."""
    op = node.op
    assert isinstance(op, Dense | Conv)
    choice = plan.choices.get(node.name, Choice("latency", 1))
    reuse = choice.reuse_factor if choice.strategy == "resource" else 1
    family = family_group(target.family)
    unread = unread_outputs(net, node)
    kernel = describe(op, net.edge(node.inputs[0]).type, node.out.type, reuse, unread)
    depth = tree_cycles(kernel, usable_ns(plan), family)
    kind = matrix_kind(choice, kernel.n_in)
    return Module(kind, plan.backend, family, plan.clock_ns, kernel, reuse, depth)


def estimate_matrix(
    net: Net, node: Node, plan: Plan, target: Target, calibration: Calibration
) -> tuple[Row, str]:
    """Return the figures of a node that have a number, and why others have none ("" if all do)."""
    module = module_of(net, node, plan, target)
    source = net.edge(node.inputs[0])
    part = Part(module, _around(node, source, plan), _name(node, plan, module))
    cycles = matrix_cycles(node, source, module, plan=plan)
    if not calibration.has_reports(module.kind, module.tool):
        return _by_rule(part, cycles), _refusal(module)
    row = _cycle_figures(part, cycles, calibration, node, plan)
    for figure in ("lut", "ff", "dsp", "bram18"):
        row[figure] = _resource(part, figure, calibration)
    row["uram"] = exact(0, "uram")
    return row, ""


def _refusal(module: Module) -> str:
    tool = {"vivado": "Vivado HLS", "vitis": "Vitis HLS"}[module.tool]
    strategy = module.kind.partition(" ")[0].replace("_", " ")
    return f"no report covers strategy {strategy} with {tool}"


def _by_rule(part: Part, cycles: Cycles) -> Row:
    """Return what follows from the kernel's source alone: its loops, lanes and memories."""
    module = part.module
    what = f"strategy {module.kind.partition(' ')[0]}, by the rules of the other tool"
    note = f"uncalibrated for {module.tool} on {module.family}: {what}"
    if module.kind == "distributed_arithmetic":
        return {"dsp": exact(0, "dsp"), "bram18": exact(0, "bram18"), "uram": exact(0, "uram")}
    extra = {name: sum(c.amounts[name] for c in part.around) for name in ("dsp", "bram18")}
    dsp = resource_dsp(module.kernel, module.reuse_factor, module.family) + extra["dsp"]
    memory = resource_bram18(module.kernel, module.reuse_factor) + extra["bram18"]
    return {
        "latency_cycles": judged(cycles.latency, "cycles", note),
        "ii_cycles": judged(max(cycles.interval, 1), "cycles", note),
        "dsp": judged(dsp, "dsp", note),
        "bram18": judged(memory, "bram18", note),
        "uram": exact(0, "uram"),
    }


def _name(node: Node, plan: Plan, module: Module) -> str:
    """Return how reports call what no report covers."""
    kind = module.kind.replace("_", " ")
    kind = f"convolution, {kind}" if isinstance(node.op, Conv) else kind
    return f"{kind}, io_stream" if plan.io_type == "io_stream" else kind


def _around(node: Node, source: Edge, plan: Plan) -> tuple[Cost, ...]:
    if plan.io_type != "io_stream":
        return (window_cost(source, node.out, node.op),) if isinstance(node.op, Conv) else ()
    if isinstance(node.op, Conv):
        line = line_buffer_cost(source, node.op.weight.codes.shape[:-2])
        return fifo_cost(node.out), line
    return (fifo_cost(node.out),)


def _resource(part: Part, figure: str, calibration: Calibration) -> Figure:
    module = part.module
    model = _model(part, figure, calibration)
    if figure in ("dsp", "bram18"):
        value = rule(module, figure)
    elif model is None:
        return judged(0, figure, _uncalibrated(part))
    else:
        value = model.evaluate(terms(module, figure), shape(module) if model.forest else ())
    extra = sum(cost.amounts[figure] for cost in part.around)
    if model is None:
        return judged(value + extra, figure, _uncalibrated(part))
    found = _wrapped(part, value, extra, figure, model)
    return _streamed(found) if figure == "lut" and _is_streamed(part) else found


def _is_streamed(part: Part) -> bool:
    """Tell convolutions with shared multipliers in io_stream."""
    module = part.module
    return module.kind not in UNROLLED and part.what == f"convolution, {module.kind}, io_stream"


def _streamed(figure: Figure) -> Figure:
    """Widen LUT of a streamed convolution to what its reports say of the dense formula."""
    least, most = (figure.value * factor for factor in STREAMED_LUT)
    low, high = (
        min(figure.low or 0.0, float(int(least))),
        max(figure.high or 0.0, float(round(most))),
    )
    return replace(figure, low=low, high=high)


def _model(part: Part, figure: str, calibration: Calibration) -> Model | None:
    """Return the reports that a figure rests on: streamed convolutions have a few of their own."""
    module = part.module
    if _is_streamed(part) and figure in ("dsp", "bram18"):
        own = find(calibration, replace(module, kind=CONVOLUTION), figure)
        if own is not None:
            return own
    return find(calibration, module, figure)


def _wrapped(part: Part, value: float, extra: float, figure: str, model: Model) -> Figure:
    """Add what surrounds a measured kernel, whose own cost is a judgement."""
    kernel = measured(value, figure, model, facts_of(part.module), _stand_in(part.module, model))
    if not part.around:
        return kernel
    around = judged(extra, figure, _uncalibrated(part))
    note = "; ".join(filter(None, dict.fromkeys((kernel.note, around.note))))
    return Figure(
        float(round(value + extra)),
        figure,
        kernel.source,
        (kernel.low or 0.0) + (around.low or 0.0),
        (kernel.high or 0.0) + (around.high or 0.0),
        note,
    )


def _uncalibrated(part: Part) -> str:
    return f"uncalibrated for {part.module.tool} on {part.module.family}: {part.what}"


def _stand_in(module: Module, model: Model) -> str:
    if model.family == module.family:
        return ""
    return f"no report of {module.family} with this kernel: those of {model.family}, widened"


def find(calibration: Calibration, module: Piece, figure: str) -> Model | None:
    """Return the model of a figure: of this family, else of another, twice as wide.

    A stand-in is no wider than a judgement, unless it was so itself.
    """
    own = STANDS_IN.get(module.family, module.family)
    model = calibration.find(module.kind, module.tool, own, figure, CSYNTH)
    if model is not None and own == module.family:
        return model
    others = (
        [model]
        if model
        else [
            m
            for (kind, tool, _, stage, name), m in sorted(calibration.models.items())
            if (kind, tool, stage, name) == (module.kind, module.tool, CSYNTH, figure)
        ]
    )
    return _twice_as_wide(others[0]) if others else None


def _twice_as_wide(model: Model) -> Model:
    low = max(min(model.low**2, 0.7), min(model.low, JUDGED[0]))
    return replace(model, low=low, high=min(max(model.high**2, 1.4), max(model.high, JUDGED[1])))


def rule(module: Module, figure: str) -> float:
    """Return DSP or BRAM18 of a matrix, which follow rules."""
    if module.kind in UNROLLED:
        return round(constant_dsp(module.kernel, module.family)) if figure == "dsp" else 0
    reuse = module.reuse_factor
    if figure == "dsp":
        return resource_dsp(module.kernel, reuse, module.family)
    return resource_bram18(module.kernel, reuse)


def _cycle_figures(
    part: Part, cycles: Cycles, calibration: Calibration, node: Node, plan: Plan
) -> Row:
    """Return latency and interval; those of convolutions and streams have no reports."""
    module, row = part.module, {}
    plain = isinstance(node.op, Dense) and plan.io_type == "io_parallel"
    for name, value in (("latency_cycles", cycles.latency), ("ii_cycles", max(cycles.interval, 1))):
        model = find(calibration, module, name)
        if model is None or not plain:
            row[name] = judged(value, "cycles", _uncalibrated(part))
        else:
            note = _stand_in(module, model)
            row[name] = measured(value, "cycles", model, facts_of(module), note)
    return row
