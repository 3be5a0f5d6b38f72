"""Proof that a saved model file is what the firmware will compute: Keras against integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import CheckFailed, UsageError
from qapflow.frontend.load import load
from qapflow.frontend.model import Loaded, LoadOptions
from qapflow.ir.fixed import Codes
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Net
from qapflow.train.libraries import load_keras
from qapflow.train.reading import read_keras_model
from qapflow.train.saving.export import ENDS
from qapflow.verify.keras_compare import compare_keras
from qapflow.verify.keras_run import run_keras

Array = NDArray[np.floating[Any]]
Real = Array | Sequence[Array]  # samples of one input, or one array for each
Values = Sequence[NDArray[np.float64]]

BATCH_VALUES = 1 << 24  # of a layer at once: 64 MiB of float32
WIDE = "more bits than float32"  # in the reasons of layers that are exact but for Keras's sums
RANDOM_SAMPLES = 256


@dataclass(frozen=True, eq=False)
class Proof:
    """What the comparison of a file's two computations gave.

    `model` is Keras's, `loaded` qapflow's reading. `inputs` are the real values [n, *shape] that
    both computed with, `made` the integer network's values at the layers `compared`: the outputs,
    or what a softmax at the end reads; `outputs` what Keras gave. `floats` are the other layers, by
    name with the reason, whose types had to be chosen; without any, `mismatches` is 0. `note` tells
    when Keras's own float32 had to be replaced by its float64.
    """

    model: Any
    loaded: Loaded
    inputs: Any
    made: Values
    outputs: Values
    compared: tuple[str, ...]
    floats: Mapping[str, str]
    values: int
    mismatches: int
    note: str = ""


def prove(path: Path, samples: Real | None, *, require_exact: bool, options: LoadOptions) -> Proof:
    """Read a file by Keras and by the front end, and compare them on samples bit by bit.

    Raises:
        CheckFailed: a layer is not exact though required, or outputs differ.
        UsageError: samples of another shape.
    """
    loaded = load(path, options)
    ends = _table_layers(loaded)
    chosen = {
        record.name: record.reason
        for record in loaded.records
        if record.regime != "exact" and record.name not in ends
    }
    wide = [name for name, reason in chosen.items() if WIDE in reason]
    floats = {name: reason for name, reason in chosen.items() if name not in wide}
    if require_exact and floats:
        _refuse(floats)
    model = read_keras_model(path)
    codes = _encode(loaded, samples)
    inputs = _decode_inputs(loaded, codes)
    places = _before(loaded, ends) if ends and not floats else {}
    net = Net(loaded.net.nodes, tuple(places)) if places else loaded.net
    edges = interpret(net, codes)
    made = [np.asarray(net.edge(name).type.decode(edges[name]), float) for name in net.outputs]
    theirs, outputs = _predict(model, inputs, tuple(places.values()))
    wrong = [ours != right.reshape(ours.shape) for ours, right in zip(made, theirs, strict=True)]
    mismatches = sum(int(np.count_nonzero(mask)) for mask in wrong)
    note = f"sums of more bits than float32 has, before {', '.join(wide)}" if wide else ""
    if mismatches and not floats:
        rows = np.any([mask.reshape(len(mask), -1).any(axis=1) for mask in wrong], axis=0)
        some = {name: array[rows] for name, array in codes.items()}
        if wide:
            _compare_double(path, loaded, some, tuple(places.values()))
            note += f": {mismatches} values differ from Keras's float32, none from its float64"
        else:
            note = _excuse(path, loaded, some)
        mismatches = 0
    return Proof(
        model, loaded, inputs, made, outputs,
        tuple(places.values()) or tuple(model.output_names), floats,
        sum(mask.size for mask in wrong), mismatches, note,
    )  # fmt: skip


def values_of(model: Any, inputs: Any) -> list[NDArray[np.float64]]:
    """Predict layer by layer: nothing is traced, what the model has compiled stays."""
    arrays = inputs if isinstance(inputs, list) else [inputs]
    size = batch_size(model)
    parts = []
    for start in range(0, len(arrays[0]), size):
        batch = [array[start : start + size] for array in arrays]
        parts.append(_listed(model(batch if len(batch) > 1 else batch[0], training=False)))
    return [np.concatenate(group) for group in zip(*parts, strict=True)]


def batch_size(model: Any) -> int:
    """Return how many samples to compute at once: as many as the largest layer leaves room for."""
    flatten = load_keras().tf.nest.flatten
    tensors = [
        tensor
        for layer in model.layers
        for node in layer.inbound_nodes
        for tensor in flatten(node.outputs)
    ]
    largest = max((int(np.prod([n or 1 for n in tensor.shape])) for tensor in tensors), default=1)
    return max(BATCH_VALUES // max(largest, 1), 1)


def _refuse(floats: Mapping[str, str]) -> None:
    name, reason = next(iter(floats.items()))
    more = f" (and {len(floats) - 1} more layers)" if len(floats) > 1 else ""
    raise CheckFailed(
        f"the model would not be bit-exact in firmware: {reason}{more}",
        at=f"layer {name}",
        hint="quantize it, fold batch normalization, or accept floats with require_exact=False",
    )


def _table_layers(loaded: Loaded) -> set[str]:
    """Name the last layers that only turn exact values into probabilities."""
    found = set()
    for record in loaded.records:
        config = loaded.spec.layer(record.name).config if record.edge in loaded.net.outputs else {}
        softmax = record.class_name == "Softmax"
        if softmax or (record.class_name == "Activation" and config.get("activation") in ENDS):
            found.add(record.name)
    return found


def _before(loaded: Loaded, ends: set[str]) -> dict[str, str]:
    """Return edges and names of the layers that the last ones read."""
    edges = {record.name: record.edge for record in loaded.records}
    names = [name for end in ends for name, _ in loaded.spec.layer(end).inbound]
    return {edges[name]: name for name in names}


def _compare_double(
    path: Path, loaded: Loaded, codes: Mapping[str, Codes], names: Sequence[str]
) -> None:
    """Compare samples with Keras in double precision, which rounds no sum of a model's width.

    Raises CheckFailed when a value differs or Keras cannot compute the model so.
    """
    inputs = {node.name: node.out.type.decode(codes[node.name]) for node in loaded.net.inputs}
    theirs = run_keras(path, inputs, float64=True, layers=names or None)
    if theirs.refused:
        raise CheckFailed(
            f"sums are wider than float32, and float64 cannot be had: {theirs.refused}",
            at=f"file {path.name}",
            hint="use fewer bits",
        )
    edges = _before(loaded, _table_layers(loaded)) if names else loaded.net.outputs
    net = Net(loaded.net.nodes, tuple(edges))
    made = interpret(net, codes)
    outputs = [theirs.layers[name] for name in names] if names else theirs.outputs
    for name, right in zip(net.outputs, outputs, strict=True):
        left = np.asarray(net.edge(name).type.decode(made[name]), np.float64)
        if wrong := int(np.count_nonzero(left != np.reshape(right, left.shape))):
            raise CheckFailed(
                f"{wrong} values differ between Keras in double precision and the integer network",
                at=f"layer {names[0]}" if names else f"output {name}",
                hint="use fewer bits",
            )


def _excuse(path: Path, loaded: Loaded, codes: Mapping[str, Codes]) -> str:
    """Compute differing samples in double precision; return what it explains, or raise."""
    check = compare_keras(loaded.net, loaded.records, codes, path).comparison
    if check.verdict == "equal":
        return check.note
    first = check.first
    cause = f": {first.cause}" if first is not None and first.cause else ""
    raise CheckFailed(
        f"{check.mismatches} of {check.values} outputs differ between Keras and the integer "
        f"network{cause}",
        at=f"layer {first.layer}" if first is not None else f"file {path.name}",
        hint="report the model; `qapflow verify --bisect` shows more",
    )


def _encode(loaded: Loaded, samples: Real | None) -> dict[str, Codes]:
    """Return codes by input, of the samples or random ones over the whole range."""
    nodes, rng = loaded.net.inputs, np.random.default_rng(0)
    codes: dict[str, Codes] = {}
    if samples is None:
        for node in nodes:
            shape = (RANDOM_SAMPLES, *node.out.shape)
            kind = node.out.type
            codes[node.name] = rng.integers(kind.lo, kind.hi, shape, endpoint=True)
        return codes
    arrays = [samples] if isinstance(samples, np.ndarray) else list(samples)
    if len(nodes) != len(arrays):
        counts = f"the model has {len(nodes)} inputs, samples are for {len(arrays)}"
        raise UsageError(counts, hint="give a list of arrays, one for each input")
    for node, array in zip(nodes, arrays, strict=True):
        wanted = (len(arrays[0]), *node.out.shape)
        if array.shape != wanted:
            raise UsageError(
                f"samples have shape {array.shape}, the model takes {wanted}",
                at=f"input {node.name}",
            )
        codes[node.name] = node.out.type.encode(np.asarray(array, np.float64))[0]
    return codes


def _decode_inputs(loaded: Loaded, codes: Mapping[str, Codes]) -> Any:
    arrays = [
        np.asarray(node.out.type.decode(codes[node.name]), np.float32) for node in loaded.net.inputs
    ]
    return arrays[0] if len(arrays) == 1 else arrays


def _predict(model: Any, inputs: Any, names: Sequence[str]) -> tuple[Values, Values]:
    """Return the values of the named layers, of the outputs without any, and of the outputs."""
    if not names:
        made = values_of(model, inputs)
        return made, made
    tensors = [model.get_layer(name).output for name in names]
    made = values_of(load_keras().keras.Model(model.inputs, [*tensors, *model.outputs]), inputs)
    return made[: len(names)], made[len(names) :]


def _listed(made: Any) -> list[NDArray[np.float64]]:
    return [np.asarray(a, np.float64) for a in (made if isinstance(made, list | tuple) else [made])]
