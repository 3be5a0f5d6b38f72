"""Verification of a build folder: Keras on its vectors, and everything again on others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qapflow.context import Context
from qapflow.errors import ToolMissing, UsageError
from qapflow.report.figures import Comparison
from qapflow.verify.compare import INTERPRETER, compare_csim
from qapflow.verify.compile_csim import compile_csim
from qapflow.verify.keras_compare import KERAS, KerasCheck, compare_keras
from qapflow.versions import keras_versions

if TYPE_CHECKING:
    from qapflow.ir.fixed import Codes


def read_labels(path: Path, samples: int) -> NDArray[Any]:
    """Read class numbers [n], or one-hot [n, classes], from .npy or .csv.

    Raises:
        UsageError: unreadable, or not one for each of `samples` user samples.
    """
    try:
        if path.suffix == ".npy":
            labels = np.load(path, allow_pickle=False)
        else:
            labels = np.loadtxt(path, delimiter=",")
    except (OSError, ValueError) as error:
        raise UsageError(f"the labels cannot be read: {error}", at=str(path)) from error
    if len(labels) != samples:
        raise UsageError(
            f"{len(labels)} labels for {samples} samples",
            at=str(path),
            hint="labels belong to the samples of --inputs, in the same order",
        )
    return np.asarray(labels).astype(np.int64)


def keras_check(context: Context) -> KerasCheck:
    """Compare with Keras on the vectors of the build, as far as the settings ask for it.

    Raises:
        ToolMissing: Keras is required and not installed.
    """
    labels = None
    inputs, outputs = context.vectors("inputs"), context.vectors("outputs")
    if context.settings.labels:
        count = int(context.vector_facts["user_samples"])
        labels = read_labels(context.settings.labels, count)
        total = len(next(iter(inputs.values())))
        unknown = np.full((total - count, *labels.shape[1:]), -1)
        labels = np.concatenate([unknown, labels])
    return check_keras(context, inputs, outputs, labels)


def label_note(context: Context) -> str:
    """Say how many of the user's labelled samples the network classifies right, "" without."""
    from qapflow.verify.accuracy import measure_accuracy

    path, count = context.settings.labels, int(context.vector_facts["user_samples"])
    if path is None or not count:
        return ""
    labels = read_labels(path, count)
    outputs = context.vectors("outputs")
    values = [context.net.edge(n).type.decode(c[-count:]) for n, c in outputs.items()]
    right = measure_accuracy(values, values, labels).accuracy_net
    return "" if right is None else f"accuracy on {count} labelled samples: {100 * right:.2f} %"


def check_keras(
    context: Context,
    inputs: dict[str, Codes],
    outputs: dict[str, Codes],
    labels: NDArray[Any] | None = None,
) -> KerasCheck:
    """Compare codes [n, *shape] with Keras; "not run" with the reason where it cannot."""
    settings = context.settings
    why = ""
    if settings.keras == "no":
        why = "left out as asked (--keras no)"
    elif settings.keras == "auto" and "tensorflow" not in keras_versions():
        why = "TensorFlow is not installed; pip install 'qapflow[train]' adds the comparison"
    if not why:
        try:
            return compare_keras(
                context.loaded_net,
                context.records,
                inputs,
                settings.model,
                weights=settings.weights,
                expected=outputs,
                labels=labels,
                stripped=settings.strip_softmax,
                timeout=settings.timeout_s,
            )
        except ToolMissing as error:
            if settings.keras == "require":
                raise
            why = error.what
    return KerasCheck(Comparison(KERAS, INTERPRETER, "not run", note=why), None, {})


def verify_again(
    context: Context, *, inputs: Path | None, count: int, seed: int
) -> tuple[Comparison, ...]:
    """Compare on the samples of a file, or on `count` new vectors."""
    from qapflow.ir.interpret import interpret
    from qapflow.verify.inputs import read_inputs
    from qapflow.verify.vectors import make_vectors

    net = context.net
    if inputs is not None:
        codes = dict(read_inputs(inputs, net).codes)
    else:
        codes = dict(make_vectors(net, count, seed).codes)
    outputs = interpret(net, codes)
    results = []
    try:
        compile_csim(context.project, timeout=context.settings.timeout_s)
        results.append(
            compare_csim(
                net, context.project, codes, expected=outputs, timeout=context.settings.timeout_s
            )
        )
    except ToolMissing as error:
        results.append(Comparison(INTERPRETER, "C simulation", "not run", note=error.what))
    results.append(check_keras(context, codes, outputs).comparison)
    return tuple(results)
