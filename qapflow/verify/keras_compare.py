"""Compare a network with the Keras model it was made from.

Where every layer is in the exact regime, outputs must be equal bit for bit. Keras itself computes
in single precision and may round where the exact sum needs more than 24 bits; such a difference
counts as Keras's own only if the same samples, computed by Keras in double precision, are equal.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.model import LayerRecord
from qapflow.ir.fixed import Codes, Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Net
from qapflow.report.figures import Accuracy, Comparison, Difference
from qapflow.verify.accuracy import measure_accuracy
from qapflow.verify.compare import INTERPRETER, TRACED_SAMPLES, find_cause
from qapflow.verify.keras_copy import KerasModel
from qapflow.verify.keras_layers import ancestors, exact_frontier, matched, output_layers
from qapflow.verify.keras_run import KerasResult, run_keras, run_live

KERAS = "Keras"
Array = NDArray[Any]


@dataclass(frozen=True)
class KerasCheck:
    """The verdict (exact regime; else why there is none) and the distance from float Keras.

    `versions` are those of the packages Keras ran with, by name; empty if it did not run.
    """

    comparison: Comparison
    accuracy: Accuracy | None
    versions: Mapping[str, str]


def compare_keras(
    net: Net,
    records: Sequence[LayerRecord],
    inputs: Mapping[str, Codes],
    model: Path | KerasModel,
    *,
    weights: Path | None = None,
    expected: Mapping[str, Codes] | None = None,
    labels: Array | None = None,
    stripped: bool = False,
    timeout: float = 1800.0,
) -> KerasCheck:
    """Run Keras on the values of input codes [n, *shape] and compare with the interpreter.

    `model` is a file (with `weights` if a .json) or a Keras model in memory. `expected` are the
    interpreter's outputs if known, `labels` as for `measure_accuracy`. `stripped` says that `net`
    lacks final softmax layers. Raises what `run_keras` raises.
    """
    needed = ancestors(net, net.outputs)
    records = [record for record in records if record.edge in needed]
    layers = output_layers(net, records) if stripped else {}
    frontier = {} if stripped else exact_frontier(net, records)
    run = _Run(net, records, tuple(layers.values()), inputs, model, weights, timeout)
    start = time.monotonic()
    result = run.single((*layers.values(), *frontier.values()))
    base = Comparison(KERAS, INTERPRETER, "equal", seconds=time.monotonic() - start)
    if result.refused:
        base = replace(base, verdict="not run", note=result.refused)
        return KerasCheck(base, None, result.versions)
    codes = expected or interpret(net, inputs)
    values = _Values(net, codes, [result.layers[n] for n in run.names] or result.outputs)
    accuracy = measure_accuracy(values.net, values.keras, labels)
    if all(record.regime == "exact" for record in records):
        note = f"compared at {', '.join(run.names)}: the softmax was left out" if stripped else ""
        base = _judge(run, replace(base, note=note), values)
        return KerasCheck(base, None if labels is None else accuracy, result.versions)
    base = _judge_floats(base, records, values)
    if values.wrong and frontier and set(frontier.values()) <= result.layers.keys():
        base = _judge_frontier(run, base, frontier, result.layers)
    return KerasCheck(base, accuracy, result.versions)


class _Values:
    """Real outputs of both sides, each [n, *shape], in the order of the network's outputs."""

    def __init__(self, net: Net, codes: Mapping[str, Codes], outputs: Sequence[Array]) -> None:
        self.net = [net.edge(name).type.decode(codes[name]) for name in net.outputs]
        self.keras = [
            np.asarray(theirs, np.float64).reshape(ours.shape)
            for theirs, ours in zip(outputs, self.net, strict=True)
        ]
        self.samples = len(self.net[0])
        self.total = sum(ours.size for ours in self.net)
        masks = [ours != theirs for ours, theirs in zip(self.net, self.keras, strict=True)]
        self.wrong = sum(int(np.count_nonzero(mask)) for mask in masks)
        rows = [mask.reshape(self.samples, -1).any(axis=1) for mask in masks]
        self.differing = np.flatnonzero(np.any(rows, axis=0))

    def equal_to(self, outputs: Sequence[Array], samples: NDArray[np.intp]) -> bool:
        """Tell whether other Keras outputs are the network's on some samples."""
        return all(
            np.array_equal(ours[samples], theirs.reshape(ours[samples].shape))
            for ours, theirs in zip(self.net, outputs, strict=True)
        )


@dataclass(frozen=True, eq=False)
class _Run:
    net: Net
    records: Sequence[LayerRecord]
    names: Sequence[str]  # layers compared instead of the model's outputs
    codes: Mapping[str, Codes]
    model: Path | KerasModel
    weights: Path | None
    timeout: float

    def values(self, samples: NDArray[np.intp] | None = None) -> dict[str, Array]:
        """Real input values, of some samples if given."""
        return {
            node.name: node.out.type.decode(
                self.codes[node.name] if samples is None else self.codes[node.name][samples]
            )
            for node in self.net.inputs
        }

    def single(self, layers: Sequence[str]) -> KerasResult:
        """Run as Keras does, in this process if the model is in memory and no layer is asked."""
        if not layers and not isinstance(self.model, Path):
            return run_live(self.model, self.values())
        return self.child(None, layers=layers or None)

    def child(
        self,
        samples: NDArray[np.intp] | None,
        *,
        layers: Sequence[str] | None,
        float64: bool = False,
    ) -> KerasResult:
        """Run in a process of its own; a model in memory is saved for it."""
        with tempfile.TemporaryDirectory(prefix="qapflow-live-") as name:
            if isinstance(self.model, Path):
                path = self.model
            else:
                path = Path(name) / "model.h5"
                self.model.save(path, include_optimizer=False)
            return run_keras(
                path,
                self.values(samples),
                weights=self.weights,
                float64=float64,
                layers=layers,
                timeout=self.timeout,
            )


def _judge(run: _Run, base: Comparison, values: _Values) -> Comparison:
    """Judge a network that promises equality; only a proof excuses a difference."""
    base = replace(base, samples=values.samples, values=values.total)
    if not values.wrong:
        return base
    samples = values.differing
    double = run.child(samples, float64=True, layers=run.names or None)
    if not double.refused:
        outputs = [double.layers[name] for name in run.names] or double.outputs
        if values.equal_to(outputs, samples):
            count = f"{values.wrong} of {values.total} values"
            rounded = f"Keras float32 rounding on {count} (equal in float64)"
            return replace(base, note="; ".join(filter(None, [base.note, rounded])))
    some = samples[:TRACED_SAMPLES]
    traced = run.child(some, float64=not double.refused, layers=[])
    first = first_layer_difference(run.net, run.records, run.codes, traced.layers, some)
    return replace(base, verdict="different", mismatches=values.wrong, first=first)


def _judge_floats(base: Comparison, records: Sequence[LayerRecord], values: _Values) -> Comparison:
    """Without a promise of equality there is no difference to report, but equality may be found."""
    floats = sum(record.regime != "exact" for record in records)
    computes = "layer computes" if floats == 1 else "layers compute"
    if values.wrong:
        found = f"{values.wrong} of {values.total} values differ: see the distance from Keras"
    else:
        found = "equal on these samples"
    return replace(
        base,
        verdict="not run" if values.wrong else "equal",
        samples=values.samples,
        values=values.total,
        mismatches=values.wrong,
        note=f"{floats} {computes} in floats; {found}",
    )


def first_layer_difference(
    net: Net,
    records: Sequence[LayerRecord],
    inputs: Mapping[str, Codes],
    layers: Mapping[str, Array],
    samples: NDArray[np.intp],
) -> Difference | None:
    """Return where the network first leaves Keras, given layer outputs for some samples."""
    edges = interpret(net, {name: codes[samples] for name, codes in inputs.items()}, keep="all")
    for record, theirs in matched(net, records, layers):
        kind, ours = net.edge(record.edge).type, edges[record.edge]
        if theirs.size != ours.size:
            continue
        keras = np.asarray(theirs, np.float64).reshape(ours.shape)
        places = np.argwhere(kind.decode(ours) != keras)
        if not len(places):
            continue
        place = tuple(int(i) for i in places[0])
        codes, on_grid = _codes(keras, kind)
        if on_grid:
            reason = find_cause(net, net.by_name[record.edge], edges, ours, codes)
            cause = f"Keras, seen from the network: {reason}"
        else:
            cause = f"the Keras value is not on the grid of {kind}"
        return Difference(
            edge=record.edge,
            layer=record.name,
            sample=int(samples[place[0]]),
            index=place[1:],
            expected_code=int(codes[place]),
            actual_code=int(ours[place]),
            expected=float(keras[place]),
            actual=float(kind.decode(ours[place])),
            cause=cause,
        )
    return None


def _codes(values: Array, kind: Fixed) -> tuple[Codes, bool]:
    """Return the nearest codes of values, not limited to the type, and whether all are exact."""
    scaled = np.ldexp(values, kind.frac)
    finite = np.where(np.isfinite(scaled), scaled, 0.0)
    codes = np.array([round(v) for v in finite.ravel().tolist()], object).reshape(values.shape)
    return codes, bool(np.array_equal(codes.astype(np.float64), scaled))


def _judge_frontier(
    run: _Run, base: Comparison, frontier: Mapping[str, str], layers: Mapping[str, Array]
) -> Comparison:
    """Judge the part of a network before its first float layers, which promises equality."""
    part = Net(run.net.nodes, tuple(frontier))
    names = tuple(frontier.values())
    values = _Values(part, interpret(part, run.codes), [layers[name] for name in names])
    note = f"compared at {', '.join(names)}, the last exact layers; at the outputs {base.note}"
    shorter = replace(base, verdict="equal", mismatches=0, note=note)
    return _judge(replace(run, net=part, names=names), shorter, values)
