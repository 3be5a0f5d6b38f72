"""Layers around another layer: in both directions of time, or for each time step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from qapflow.frontend.layers.cells import CELLS
from qapflow.frontend.layers.recurrent import add_recurrent
from qapflow.frontend.layers.work import DTYPES, Handler, Work
from qapflow.ir.builder import NetBuilder
from qapflow.ir.ops import Affine, Concat, Const, Flip, Merge, Reshape, Scan

MERGES: Mapping[str, Any] = {"sum": "add", "ave": "add", "mul": "mul"}
CALIBRATION_ROWS = 512

# Layers that work on the last axis, or on every element, whatever comes before.
ANY_RANK = frozenset(
    {
        "ActivityRegularization", "AlphaDropout", "Dense", "Dropout", "ELU", "GaussianDropout",
        "GaussianNoise", "Identity", "LeakyReLU", "QActivation", "QDense", "ReLU", "Rescaling",
        "ThresholdedReLU",
    }
)  # fmt: skip


def _inner(work: Work) -> tuple[str, Mapping[str, Any]]:
    layer = work.config.get("layer")
    if not isinstance(layer, Mapping) or not isinstance(layer.get("config"), Mapping):
        raise work.refuse("the layer in it cannot be read", "wrap a layer or a model")
    if layer["config"].get("dtype") not in DTYPES:
        raise work.refuse(f"the layer in it computes in {layer['config']['dtype']}")
    return str(layer["class_name"]), layer["config"]


def bidirectional(work: Work) -> str:
    """Translate Bidirectional: one loop forwards, one backwards, joined."""
    class_name, config = _inner(work)
    if class_name.removeprefix("Q") not in (*CELLS, "RNN"):
        raise work.refuse(f"it wraps a {class_name}", "wrap an LSTM, GRU or SimpleRNN")
    mode = work.config.get("merge_mode", "concat")
    if mode not in ("concat", *MERGES):
        raise work.refuse(
            f"merge_mode={mode!r} gives two outputs", "use merge_mode='concat' and split behind it"
        )
    back = {**config, "go_backwards": not config.get("go_backwards")}
    given = work.config.get("backward_layer")
    if given is not None:
        if not isinstance(given, Mapping) or given.get("class_name") != class_name:
            raise work.refuse(
                "its two directions are layers of different classes",
                "use two layers, the second with go_backwards=True, and Concatenate",
            )
        back = given["config"]
    edge, *initial = work.inputs
    if len(initial) % 2:
        raise work.refuse(f"it is called with {len(initial)} initial states")
    half = len(initial) // 2
    forward = _direction(work, "forward", class_name, config, (edge, *initial[:half]))
    backward = _direction(work, "backward", class_name, back, (edge, *initial[half:]))
    if config.get("return_sequences"):
        backward = work.add(Flip(0), backward, suffix="restored")
    return _join(work, mode, forward, backward)


def _direction(
    work: Work, side: str, class_name: str, config: Mapping[str, Any], inputs: tuple[str, ...]
) -> str:
    prefix = f"{side}/"
    weights = {
        name.removeprefix(prefix): array
        for name, array in work.spec.weights.items()
        if name.startswith(prefix)
    }
    spec = replace(work.spec, class_name=class_name, config=config, weights=weights)
    return add_recurrent(replace(work, spec=spec, inputs=inputs), side)


def _join(work: Work, mode: str, forward: str, backward: str) -> str:
    if mode == "concat":
        return work.add(Concat(len(work.shape(forward)) - 1), forward, backward)
    edge = work.add(Merge(MERGES[mode]), forward, backward)
    return edge if mode != "ave" else work.add(Affine(Const.exact(0.5)), edge, suffix="half")


def time_distributed(handlers: Mapping[str, Handler]) -> Handler:
    """Return the handler of TimeDistributed around any layer of `handlers`."""

    def handler(work: Work) -> str:
        class_name, config = _inner(work)
        inner = handlers.get(class_name)
        if inner is None:
            raise work.refuse(f"it wraps a layer of class {class_name}, which is not supported")
        shapes = [work.shape(edge) for edge in work.inputs]
        if any(len(shape) < 2 or shape[0] != shapes[0][0] for shape in shapes):
            raise work.misfit(f"it gets inputs of the shapes {shapes}")
        spec = replace(work.spec, class_name=class_name, config=config)
        plain = replace(work, spec=spec)
        if class_name in ANY_RANK:
            edge = inner(plain)
            work.inner = plain.inner
            return edge
        if class_name == "Flatten":
            return work.add(Reshape((work.shape()[0], prod(work.shape()[1:]))))
        return _each_step(plain, inner)

    return handler


def _each_step(work: Work, inner: Handler) -> str:
    """Run a layer on every slice along the first axis."""
    builder = NetBuilder()
    edges = tuple(_slice(work, builder, k, edge) for k, edge in enumerate(work.inputs))
    result = inner(replace(work, builder=builder, inputs=edges))
    if result in edges:
        return work.inputs[edges.index(result)]
    return work.add(Scan(builder.finish((result,)), ()), *work.inputs)


def _slice(work: Work, builder: NetBuilder, k: int, edge: str) -> str:
    """Add the slice of one input to the network of one step."""
    outer = work.builder.edges[edge]
    samples = work.builder.codes.get(edge)
    if samples is not None:
        samples = samples.reshape(-1, *outer.shape[1:])
        samples = samples[:: max(1, len(samples) // CALIBRATION_ROWS)]
    return builder.add_input(f"x{k}" if k else "x", outer.shape[1:], outer.type, samples)
