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
    timeout: float = 1800.0,
) -> KerasCheck:
    """Run Keras on the values of input codes [n, *shape] and compare with the interpreter.

    `records` say which edge of `net` carries the output of which Keras layer, and in what regime.
    `model` is a file (with `weights` if it is a .json) or a Keras model in memory. `expected` are
    the interpreter's outputs where they are known. `labels` [n] or one-hot [n, classes] add
    accuracies.

    Raises:
        ToolMissing: TensorFlow or a package that the model needs is not installed.
        ToolFailed: the Keras process crashed, was killed or ran out of time.
    """
    run = _Run(net, inputs, model, weights, timeout)
    codes = interpret(net, inputs) if expected is None else expected
    net_values = [net.edge(name).type.decode(codes[name]) for name in net.outputs]
    start = time.monotonic()
    stripped = _stripped_output(net, records)
    result = run.single(stripped)
    seconds = time.monotonic() - start
    samples = len(net_values[0])
    if result.refused:
        empty = Comparison(KERAS, INTERPRETER, "not run", note=result.refused)
        return KerasCheck(empty, None, result.versions)
    outputs = [result.layers[stripped]] if stripped else list(result.outputs)
    keras_values = [
        np.asarray(ours, np.float64).reshape(theirs.shape)
        for ours, theirs in zip(outputs, net_values, strict=True)
    ]
    accuracy = measure_accuracy(net_values, keras_values, labels)
    base = Comparison(KERAS, INTERPRETER, "not run", samples, seconds=seconds)
    if floats := sum(record.regime != "exact" for record in records):
        base = _judge_floats(base, floats, net_values, keras_values)
        return KerasCheck(base, accuracy, result.versions)
    comparison = _judge(
        run,
        records,
        base=base,
        net_values=net_values,
        keras_values=keras_values,
        stripped=stripped,
    )
    return KerasCheck(comparison, accuracy if labels is not None else None, result.versions)


def measure_accuracy(
    net_values: list[Array], keras_values: list[Array], labels: Array | None = None
) -> Accuracy:
    """Return how far two lists of outputs [n, *shape] are apart; the first output is classified.

    A class is the largest of several outputs, or the sign of a single one.
    """
    errors = [np.abs(a - b) for a, b in zip(net_values, keras_values, strict=True)]
    ours, theirs = (_classes(values[0]) for values in (net_values, keras_values))
    truth = None if labels is None else _labels(labels)
    fits = truth is not None and len(truth) == len(ours) and ours.ndim == 1
    return Accuracy(
        samples=len(net_values[0]),
        max_abs_error=max(float(error.max(initial=0.0)) for error in errors),
        argmax_agreement=float(np.mean(ours == theirs)) if len(ours) else None,
        accuracy_net=float(np.mean(ours == truth)) if fits else None,
        accuracy_keras=float(np.mean(theirs == truth)) if fits else None,
    )


def _classes(values: Array) -> Array:
    if values.shape[-1] > 1 and values.ndim > 1:
        return np.asarray(np.argmax(values, axis=-1))
    flat = values.reshape(len(values), -1)
    return np.asarray(flat[:, 0] > 0, np.int64)


def _labels(labels: Array) -> Array:
    labels = np.asarray(labels)
    if labels.ndim > 1 and labels.shape[-1] > 1:
        return np.asarray(np.argmax(labels, axis=-1))
    return labels.reshape(-1)


@dataclass(frozen=True, eq=False)
class _Run:
    net: Net
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

    def single(self, layer: str) -> KerasResult:
        """Run as Keras does, in this process if the model is in memory; "" collects no layer."""
        if not layer and not isinstance(self.model, Path):
            return run_live(self.model, self.values())
        return self.child(None, layers=[layer] if layer else None)

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


def _judge(
    run: _Run,
    records: Sequence[LayerRecord],
    *,
    base: Comparison,
    net_values: list[Array],
    keras_values: list[Array],
    stripped: str,
) -> Comparison:
    pairs = list(zip(net_values, keras_values, strict=True))
    total = sum(values.size for values in net_values)
    wrong = sum(int(np.count_nonzero(ours != theirs)) for ours, theirs in pairs)
    base = replace(base, verdict="equal", values=total)
    if stripped:
        base = replace(base, note=f"compared at the output of {stripped!r}, as asked")
    if not wrong:
        return base
    rows = np.zeros(base.samples, bool)
    for ours, theirs in pairs:
        rows |= (ours != theirs).reshape(base.samples, -1).any(axis=1)
    samples = np.flatnonzero(rows)
    double = run.child(samples, float64=True, layers=[stripped] if stripped else None)
    outputs = [double.layers[stripped]] if stripped and not double.refused else double.outputs
    if not double.refused and all(
        np.array_equal(ours[samples], theirs.reshape(ours[samples].shape))
        for ours, theirs in zip(net_values, outputs, strict=True)
    ):
        rounded = f"Keras float32 rounding on {wrong} of {total} values (equal in float64)"
        return replace(base, note="; ".join(filter(None, [base.note, rounded])))
    some = samples[:TRACED_SAMPLES]
    traced = run.child(some, float64=not double.refused, layers=[])
    first = first_layer_difference(run.net, records, run.codes, traced.layers, some)
    return replace(base, verdict="different", mismatches=wrong, first=first)


def _judge_floats(
    base: Comparison, floats: int, net_values: list[Array], keras_values: list[Array]
) -> Comparison:
    """Without a promise of equality there is no difference to report, but equality may be found."""
    pairs = list(zip(net_values, keras_values, strict=True))
    wrong = sum(int(np.count_nonzero(ours != theirs)) for ours, theirs in pairs)
    total = sum(values.size for values in net_values)
    computes = "layer computes" if floats == 1 else "layers compute"
    if wrong:
        found = f"{wrong} of {total} values differ: see the distance from Keras"
    else:
        found = "equal on these samples"
    return replace(
        base,
        verdict="not run" if wrong else "equal",
        values=total,
        mismatches=wrong,
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


def _stripped_output(net: Net, records: Sequence[LayerRecord]) -> str:
    """Return the Keras layer whose output the network gives when a final softmax was removed."""
    stripped = [r for r in records if r.reason.startswith("stripped")]
    if not stripped or len(net.outputs) != 1:
        return ""
    kept = [r for r in records if r.edge == net.outputs[0] and r not in stripped]
    return kept[-1].name if kept else ""
