"""SimpleRNN, LSTM and GRU with their quantized forms: a loop over the time steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qapflow.frontend.expected import cell_configs
from qapflow.frontend.layers.cells import CELLS, read_gates
from qapflow.frontend.layers.states import Loop, add_loop
from qapflow.frontend.layers.work import Work
from qapflow.ir.ops import Flip, Pad, Reshape

# What Keras takes for settings that a file does not name.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "SimpleRNN": {"activation": "tanh"},
    "LSTM": {"activation": "tanh", "recurrent_activation": "sigmoid"},
    "GRU": {"activation": "tanh", "recurrent_activation": "sigmoid"},
}
REFUSED = (
    ("stateful", "its states live on from one call to the next", "train with stateful=False"),
    ("time_major", "its first axis is the time, not the batch", "use time_major=False"),
)


def recurrent(work: Work) -> str:
    """Translate a recurrent layer; more inputs are the initial states of each sample."""
    return add_recurrent(work)


def add_recurrent(work: Work, suffix: str = "") -> str:
    """Add a recurrent layer, whose nodes are told apart by `suffix`, and return its result."""
    if work.spec.class_name.partition("(")[0] == "RNN":
        return _add_cells(work, suffix)
    return _add_layer(work, suffix)


def _add_cells(work: Work, suffix: str) -> str:
    """Translate RNN: its cells, if there are several, are loops one behind the other."""
    cells = cell_configs(work.config)
    if len(cells) > 1 and len(work.inputs) > 1:
        raise work.refuse("stacked cells get initial states", "stack layers instead of cells")
    edge = work.input if len(cells) > 1 else ""
    for number, (class_name, config) in enumerate(cells):
        kind = class_name.removesuffix("Cell")
        if kind.removeprefix("Q") not in CELLS or kind == class_name:
            raise work.refuse(f"its cell is a {class_name}", "use an LSTMCell, GRUCell or layer")
        last = number == len(cells) - 1
        own = {**work.config, **config, "return_sequences": not last}
        if last:
            own["return_sequences"] = work.config.get("return_sequences")
        if number:
            own["go_backwards"] = False
        prefix = f"{number}/" if len(cells) > 1 else ""
        weights = {
            name.removeprefix(prefix): array
            for name, array in work.spec.weights.items()
            if name.startswith(prefix)
        }
        spec = replace(work.spec, class_name=kind, config=own, weights=weights)
        inputs = (edge,) if edge else work.inputs
        part = suffix if last else _join(suffix, f"{number}")
        edge = _add_layer(replace(work, spec=spec, inputs=inputs), part)
    if not cells:
        raise work.refuse("its cell cannot be read", "use an LSTM, GRU or SimpleRNN layer")
    return edge


def _add_layer(work: Work, suffix: str) -> str:
    """Add the loop of a layer; the results of `go_backwards` come in the order of its steps."""
    class_name = work.spec.class_name.partition("(")[0]
    kind = class_name.removeprefix("Q")
    cell = CELLS[kind]
    for key, reason, hint in REFUSED:
        if work.config.get(key):
            raise work.refuse(f"{key}=True: {reason}", hint)
    edge, *initial = work.inputs
    if len(work.shape(edge)) != 2:
        raise work.misfit(f"it gets an input of shape {work.shape(edge)}")
    if len(initial) not in (0, cell.states):
        raise work.refuse(f"it is called with {len(initial)} initial states, not {cell.states}")
    config = {**DEFAULTS[kind], **work.config}
    work = replace(work, spec=replace(work.spec, config=config, class_name=class_name))
    gates = read_gates(work, cell, work.builder.edges[edge].type.frac)
    inputs, units = gates[0].kernel.codes.shape[0], gates[0].recurrent.codes.shape[0]
    if inputs != work.shape(edge)[1]:
        raise work.misfit(f"it gets an input of shape {work.shape(edge)}")
    if config.get("go_backwards"):
        edge = work.add(Flip(0), edge, suffix=_join(suffix, "reversed"))
    starts = [_start(work, state, k, units, edge) for k, state in enumerate(initial)]
    loop = Loop(work, cell, gates, (edge, *starts), units)
    return add_loop(loop, bool(config.get("return_sequences")), suffix)


def _join(*parts: str) -> str:
    return "_".join(part for part in parts if part)


def _start(work: Work, state: str, k: int, units: int, edge: str) -> str:
    """Give an initial state as a sequence that is zero behind the first step."""
    if work.shape(state) != (units,):
        raise work.misfit(f"its initial state has shape {work.shape(state)}")
    row = work.add(Reshape((1, units)), state, suffix=f"initial{k}")
    steps = work.shape(edge)[0]
    if steps == 1:
        return row
    return work.add(Pad(((0, steps - 1), (0, 0))), row, suffix=f"initial{k}_padded")
