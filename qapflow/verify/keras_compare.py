"""Compare a network with the Keras model it was made from.

Where every layer is in the exact regime, outputs must be equal bit for bit. Keras itself computes
in single precision and may round where the exact sum needs more than 24 bits; such a difference
counts as Keras's own only if the same samples, computed by Keras in double precision, are equal.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
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
from qapflow.verify.keras_process import KerasModel
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

    `model` is a file (with `weights` if it is a .json) or a Keras model in memory. `expected` are
    the interpreter's outputs if known, `labels` as for `measure_accuracy`. `stripped` says that
    `net` lacks final softmax layers: the outputs of the layers before them are compared.

    Raises:
        ToolMissing: TensorFlow or a package that the model needs is not installed.
        ToolFailed: the Keras process crashed, was killed or ran out of time.
    """
    needed = _ancestors(net)
    records = [record for record in records if record.edge in needed]
    names = _output_layers(net, records) if stripped else []
    run = _Run(net, records, names, inputs, model, weights, timeout)
    codes = interpret(net, inputs) if expected is None else expected
    start = time.monotonic()
    result = run.single()
    seconds = time.monotonic() - start
    if result.refused:
        empty = Comparison(KERAS, INTERPRETER, "not run", note=result.refused)
        return KerasCheck(empty, None, result.versions)
    values = _Values(net, codes, [result.layers[name] for name in names] or result.outputs)
    base = Comparison(KERAS, INTERPRETER, "equal", values.samples, values.total, seconds=seconds)
    accuracy = measure_accuracy(values.net, values.keras, labels)
    if floats := sum(record.regime != "exact" for record in records):
        return KerasCheck(_judge_floats(base, floats, values), accuracy, result.versions)
    shown = accuracy if labels is not None else None
    return KerasCheck(_judge(run, base, values), shown, result.versions)


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

    def single(self) -> KerasResult:
        """Run as Keras does, in this process if the model is in memory and no layer is named."""
        if not self.names and not isinstance(self.model, Path):
            return run_live(self.model, self.values())
        return self.child(None, layers=self.names or None)

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
    if run.names:
        base = replace(base, note=f"compared at {', '.join(run.names)}: the softmax was left out")
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


def _judge_floats(base: Comparison, floats: int, values: _Values) -> Comparison:
    """Without a promise of equality there is no difference to report, but equality may be found."""
    computes = "layer computes" if floats == 1 else "layers compute"
    if values.wrong:
        found = f"{values.wrong} of {values.total} values differ: see the distance from Keras"
    else:
        found = "equal on these samples"
    return replace(
        base,
        verdict="not run" if values.wrong else "equal",
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
    for record, theirs in _matched(net, records, layers):
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


def _matched(
    net: Net, records: Sequence[LayerRecord], layers: Mapping[str, Array]
) -> Iterator[tuple[LayerRecord, Array]]:
    """Yield records with the Keras output of the same layer, inner layers by their last name."""
    for record in records:
        for name in (record.name, record.name.split("/")[-1]):
            if name in layers and record.edge in net.by_name:
                yield record, layers[name]
                break


def _codes(values: Array, kind: Fixed) -> tuple[Codes, bool]:
    """Return the nearest codes of values, not limited to the type, and whether all are exact."""
    scaled = np.ldexp(values, kind.frac)
    finite = np.where(np.isfinite(scaled), scaled, 0.0)
    codes = np.array([round(v) for v in finite.ravel().tolist()], object).reshape(values.shape)
    return codes, bool(np.array_equal(codes.astype(np.float64), scaled))


def _ancestors(net: Net) -> set[str]:
    """Return the edges that the outputs depend on, the outputs included."""
    needed = set(net.outputs)
    for node in reversed(net.nodes):
        if node.name in needed:
            needed |= set(node.inputs)
    return needed


def _output_layers(net: Net, records: Sequence[LayerRecord]) -> list[str]:
    """Return the Keras layer that gives each output of the network."""
    last = {record.edge: record.name.split("/")[-1] for record in records}
    return [last[name] for name in net.outputs]
