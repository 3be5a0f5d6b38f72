"""Verification of a build folder: Keras on its vectors, and everything again on others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolMissing, UsageError
from qapflow.lower.files import write_file
from qapflow.report.figures import Comparison, Verdict
from qapflow.steps.context import BISECTION, Context
from qapflow.steps.rtl import compare_rtl
from qapflow.verify.compare import INTERPRETER, compare_csim
from qapflow.verify.compile_csim import compile_csim
from qapflow.verify.keras_compare import KERAS, KerasCheck, compare_keras
from qapflow.versions import keras_versions

if TYPE_CHECKING:
    from qapflow.ir.fixed import Codes
    from qapflow.verify.bisection import Bisection


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


def check_losses(context: Context, inputs: dict[str, Codes]) -> Comparison:
    """Count lost bits on codes [n, *shape]; "not run" with the reason where it cannot.

    Raises:
        ToolMissing: there is no compiler, and one is required.
    """
    from qapflow.verify.sanitize import SANITIZER, compare_losses

    settings = context.settings
    try:
        return compare_losses(context.net, context.project, inputs, timeout=settings.timeout_s)[0]
    except ToolMissing as error:
        if settings.require:
            raise
        return Comparison(INTERPRETER, SANITIZER, "not run", note=f"{error.what}; {error.hint}")


def bisect_again(
    context: Context, *, inputs: Path | None, count: int | None, seed: int
) -> Bisection:
    """Compare with Keras layer by layer, and leave the result in the folder.

    On the samples of a file, on `count` new vectors, or on those of the build.
    """
    from qapflow.report.json import render_bisection_json
    from qapflow.verify.bisect import Subject, bisect
    from qapflow.verify.inputs import encode_inputs, read_values
    from qapflow.verify.vectors import make_vectors

    settings, net = context.settings, context.loaded_net
    _require_same_model(context)
    codes, real = context.vectors("inputs"), None
    if inputs is not None:
        real = read_values(inputs, net)
        codes = dict(encode_inputs(real, net, str(inputs)).codes)
    elif count is not None:
        codes = dict(make_vectors(net, count, seed).codes)
    subject = Subject(
        net,
        context.records,
        settings.model,
        settings.weights,
        settings.strip_softmax,
        settings.timeout_s,
    )
    found = bisect(subject, codes, real)
    firmware, how = _firmware(context)
    found = replace(found, firmware=firmware, notes=(*found.notes, how))
    write_file(context.folder.path / BISECTION, render_bisection_json(found).encode())
    return found


def _require_same_model(context: Context) -> None:
    """Refuse a build whose model file is another one by now."""
    from qapflow.frontend.archive import read_model

    settings = context.settings
    if not settings.model.exists():
        raise UsageError(
            "the model file of this build is gone", at=str(settings.model), hint="put it back"
        )
    if read_model(settings.model, settings.weights).digest != context.layers["digest"]:
        raise UsageError(
            "the model file has changed since the build",
            at=str(settings.model),
            hint="run qapflow build again",
        )


def _firmware(context: Context) -> tuple[Verdict, str]:
    """Return whether the firmware computes what the network does, as the build found."""
    for name in ("passes", "csim"):
        found = context.verification(name)["comparison"]
        if found["verdict"] != "equal":
            why = found["note"] or f"{found['mismatches']} of {found['values']} values differ"
            what = f"{found['left']} = {found['right']}: {found['verdict']}, {why}"
            return found["verdict"], what
    return "equal", f"the firmware equals the network ({found['samples']} samples in C simulation)"


def verify_again(
    context: Context, *, inputs: Path | None, count: int, seed: int
) -> tuple[Comparison, ...]:
    """Compare on the samples of a file, or on `count` new vectors."""
    from qapflow.ir.interpret import interpret
    from qapflow.verify.inputs import read_inputs
    from qapflow.verify.vectors import make_vectors

    net, note = context.net, ""
    if inputs is not None:
        user = read_inputs(inputs, net)
        codes, note = dict(user.codes), user.note
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
    if (rtl := compare_rtl(context, codes, outputs)) is not None:
        results.append(rtl)
    if context.settings.sanitize:
        results.append(check_losses(context, codes))
    results.append(check_keras(context, codes, outputs).comparison)
    return tuple(replace(r, note="; ".join(filter(None, (r.note, note)))) for r in results)
