"""The one place that talks to hls4ml: steps become its `ModelGraph`, its templates become text.

`ModelGraph.from_layer_list` is called with no flow at all, because hls4ml's default flows rewrite
types and drop layers. Only the passes listed in `PASSES` run afterwards; none of them may change a
type, and `check_layer` proves that none did.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from qapflow.errors import ToolMissing
from qapflow.ir.fixed import Fixed
from qapflow.lower.layer_text import (
    PRINTED_WINDOW_VALUES,
    LayerText,
    check_layer,
    print_layer,
    window_values,
)
from qapflow.lower.program import Layer, Loop, Program, Wire
from qapflow.plan import Plan, inside
from qapflow.target import Target

KERNEL = "QapflowKernel"
BACKENDS = {"vitis": "Vitis", "vivado": "Vivado"}
STRATEGIES = {
    "latency": "Latency",
    "resource": "Resource",
    "distributed_arithmetic": "distributed_arithmetic",
}

# hls4ml registers its Vivado passes for Vitis too and runs these in its own Vitis flow.
INITIALIZERS = tuple(
    f"vivado:init_{name}"
    for name in ("base_layer", "conv1d", "conv2d", "dense", "depconv1d", "depconv2d")
)
PASSES = (
    "vivado:apply_resource_strategy",
    "qapflow:generate_small_windows",
    "vivado:set_pipeline_style",
    "vivado:dense_config_template",
    "vivado:dense_function_template",
    "vivado:conv1d_depthwiseconv1d_config_template",
    "vivado:conv1d_function_template",
    "vivado:depthwiseconv1d_function_template",
    "vivado:conv2d_conv2dbatchnorm_depthwiseconv2d_config_template",
    "vivado:conv2d_conv2dbatchnorm_function_template",
    "vivado:depthwiseconv2d_function_template",
)


@dataclass(frozen=True, eq=False)
class GraphText:
    """What hls4ml prints for all layers, by step number, and the pipeline style it chose.

    `bodies` holds the same for the steps that are loops; `index` is the last of hls4ml's numbers.
    """

    layers: Mapping[int, LayerText]
    bodies: Mapping[int, GraphText]
    index: int
    style: str
    version: str

    @property
    def generated(self) -> str:
        """The code that hls4ml generated for all layers, those of loops included."""
        own = "".join(code for layer in self.layers.values() for code in layer.generated)
        return own + "".join(body.generated for body in self.bodies.values())


def print_layers(
    program: Program, plan: Plan, target: Target, top: str, index: int = 0
) -> GraphText:
    """Build hls4ml's graph of the program and print its layers, numbered from `index` on.

    Raises:
        ToolMissing: hls4ml is not installed.
        CheckFailed: hls4ml changed a type, a strategy or a reuse factor.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            graph = _build_graph(program, plan, target, top, index)
    except ImportError as error:
        raise ToolMissing(
            f"hls4ml cannot be imported: {error}", hint="pip install hls4ml"
        ) from error
    layers, bodies, last = {}, {}, int(graph.index)
    for number, step in enumerate(program.steps):
        if isinstance(step.work, Layer):
            node = graph.graph[_step_name(number, index)]
            check_layer(node, step, step.work)
            layers[number] = print_layer(node)
        elif isinstance(step.work, Loop):
            body = inside(plan, step.node)
            bodies[number] = print_layers(step.work.body, body, target, top, last)
            last = bodies[number].index
    from hls4ml import __version__

    style = "dataflow" if bodies else str(graph.config.pipeline_style)  # loops stay loops
    return GraphText(layers, bodies, last, style, str(__version__))


def _build_graph(program: Program, plan: Plan, target: Target, top: str, index: int) -> Any:
    from hls4ml.model.graph import ModelGraph
    from hls4ml.model.optimizer import optimize_model

    _register()
    entries = _entries(program, index)
    config = {
        "OutputDir": top,
        "ProjectName": top,
        "Backend": BACKENDS[plan.backend],
        "Part": target.part,
        "ClockPeriod": plan.clock_ns,
        "ClockUncertainty": f"{plan.clock_uncertainty_percent:g}%",
        "IOType": plan.io_type,
        "HLSConfig": {
            "Flows": [],
            "Model": {"Precision": "fixed<16,6>", "ReuseFactor": 1, "Strategy": "Latency"},
            "LayerName": {entry["name"]: _settings(entry) for entry in entries},
        },
    }
    outputs = [entry["name"] for entry in entries if entry.get("is_output")]
    graph = ModelGraph.from_layer_list(
        config, entries, [_edge_name(w) for w in program.inputs], outputs, index
    )
    optimize_model(graph, (*INITIALIZERS, "vivado:transform_types"))
    _name_variables(graph, program)
    optimize_model(graph, PASSES)
    return graph


@cache
def _register() -> None:
    """Teach hls4ml the layer that stands for all our own kernels; once a process."""
    from hls4ml.backends.vivado.passes.im2col_codegen import GenerateConvIm2col
    from hls4ml.model.layers import Layer as Hls4mlLayer
    from hls4ml.model.layers import register_layer
    from hls4ml.model.optimizer import register_pass

    class GenerateSmallWindows(GenerateConvIm2col):  # type: ignore[misc]
        """Print the windows of a convolution as assignments, unless they are too many."""

        def match(self, node: Any) -> bool:
            return super().match(node) and window_values(node) <= PRINTED_WINDOW_VALUES

    register_pass("qapflow:generate_small_windows", GenerateSmallWindows)

    class QapflowKernel(Hls4mlLayer):  # type: ignore[misc]
        def initialize(self) -> None:
            for name, (shape, text) in self.attributes["wires"].items():
                precision = self.model.config.backend.convert_precision_string(text)
                self.add_output_variable(shape, name, name, f"{name}_t", precision)

    register_layer(KERNEL, QapflowKernel)


def _entries(program: Program, index: int) -> list[dict[str, Any]]:
    """Return one dictionary a layer, in order."""
    entries: list[dict[str, Any]] = []
    shapes: dict[str, tuple[int, ...]] = {}
    ports = {wire.name for wire in program.outputs}
    for wire in program.inputs:
        shapes[wire.name] = wire.shape
        entries.append(_input_entry(wire))
    for number, step in enumerate(program.steps):
        if not step.outputs:
            continue  # a drain makes nothing that a layer of hls4ml could read
        sources = [_edge_name(wire) for wire in step.inputs]
        if isinstance(step.work, Layer) and shapes[step.inputs[0].name] != step.inputs[0].shape:
            sources = [f"view{number}"]
            view = (_shape(step.inputs[0]), fixed_text(step.inputs[0].type))
            entry = _kernel_entry(sources[0], [_edge_name(step.inputs[0])], {sources[0]: view})
            entries.append(entry)
        outputs = {_edge_name(w): (_shape(w), fixed_text(w.type)) for w in step.outputs}
        shapes.update((wire.name, wire.shape) for wire in step.outputs)
        if isinstance(step.work, Layer):
            entry = _layer_entry(_step_name(number, index), step.work, sources, list(outputs))
        else:
            entry = _kernel_entry(_step_name(number, index), sources, outputs)
        entry["is_output"] = any(wire.name in ports for wire in step.outputs)
        entries.append(entry)
    return entries


def _input_entry(wire: Wire) -> dict[str, Any]:
    entry = {"class_name": "Input", "name": _edge_name(wire), "result": fixed_text(wire.type)}
    return entry | {"input_shape": _shape(wire)}


def _kernel_entry(name: str, sources: list[str], wires: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {"class_name": KERNEL, "name": name}
    return entry | {"inputs": sources, "outputs": list(wires), "wires": wires}


def _layer_entry(name: str, layer: Layer, sources: list[str], outputs: list[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {"class_name": layer.class_name, "name": name}
    entry |= {"inputs": sources, "outputs": outputs, "layer": layer}
    return entry | dict(layer.attributes)


def _settings(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return hls4ml's configuration of one layer: every type explicit."""
    layer = entry.get("layer")
    if layer is None:
        return {"Precision": {"result": entry.get("result", "fixed<16,6>")}, "ReuseFactor": 1}
    precision = {
        "weight": fixed_text(layer.weight),
        "accum": fixed_text(layer.accumulator),
        "result": fixed_text(layer.accumulator),
    }
    if layer.bias is not None:
        precision["bias"] = fixed_text(layer.bias)
    return {
        "Precision": precision,
        "ReuseFactor": layer.reuse_factor,
        "Strategy": STRATEGIES[layer.strategy],
        "ConvImplementation": "LineBuffer",
    }


def _name_variables(graph: Any, program: Program) -> None:
    """Give hls4ml's variables the C names of the wires."""
    wires = {_edge_name(w): w for w in _all_wires(program)}
    for node in graph.graph.values():
        for key in node.outputs:
            number = key.removeprefix("view")
            wire = wires.get(key) or program.steps[int(number)].inputs[0]
            variable = node.get_output_variable(key)
            variable.name = wire.name
            variable.type.name = type_name(wire)


def _all_wires(program: Program) -> Iterable[Wire]:
    yield from program.inputs
    for step in program.steps:
        yield from step.outputs


def fixed_text(kind: Fixed) -> str:
    """Print a type as hls4ml reads it."""
    return f"{'' if kind.signed else 'u'}fixed<{kind.width},{kind.integer}>"


def type_name(wire: Wire) -> str:
    """Return the C name of a wire's type."""
    return f"{wire.name}_t"


def _shape(wire: Wire) -> list[int]:
    return list(wire.shape) or [1]


def _edge_name(wire: Wire) -> str:
    return f"edge_{wire.name}"


def _step_name(number: int, index: int) -> str:
    """Name a step: in the body of a loop with the number at which hls4ml's own begin there."""
    return f"step{number}_{index}" if index else f"step{number}"
