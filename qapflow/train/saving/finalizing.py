"""The end of a training: the model as a file, proved to be what the firmware will compute."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qapflow.errors import CheckFailed, UsageError
from qapflow.frontend.model import Loaded, LoadOptions
from qapflow.train.pruning.shrink import shrink as drop_dead_units
from qapflow.train.quantization.switching import is_switched_off
from qapflow.train.saving.export import export_model
from qapflow.train.saving.proof import Proof, Real, Values, prove, values_of

TRAINED = "the trained model"


@dataclass(frozen=True, eq=False)
class Finalized:
    """A saved model and what was found out about it.

    `model` is the file read by Keras again, `loaded` by qapflow. Of `values` values of `samples`
    samples at the layers `compared` (the outputs, or what a softmax at the end reads), `mismatches`
    differ between Keras and the integer network. `reasons` say, by layer, why types had to be
    chosen; `removed` counts dead units by layer. `note` is not empty where sums are so wide that
    Keras's float32 rounds them: then its float64 is equal.
    """

    path: Path
    model: Any
    loaded: Loaded
    samples: int
    values: int
    mismatches: int
    reasons: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    compared: tuple[str, ...] = ()
    note: str = ""

    @property
    def exact(self) -> bool:
        """Tell whether the integer network gives Keras's values, bit by bit, by construction."""
        return not self.reasons and not self.mismatches


def finalize(
    model: Any,
    path: Path | str,
    samples: Real | None = None,
    *,
    require_exact: bool = True,
    shrink: bool = True,
    options: LoadOptions | None = None,
) -> Finalized:
    """Save a trained model as a .h5 file that builds bit-exactly, and prove that it does.

    Pruning wrappers and masks become zeros, batch normalization is folded, neurons and channels
    that are constant or unread are removed. The file is read by qapflow's front end, interpreted
    and compared with Keras's prediction of the same file on `samples` [n, *shape] (random ones
    without), and with the model that was trained. The file appears when all that has passed.

    Args:
        model: a tf-keras model.
        path: where to; the suffix is .h5, which alone QKeras can read again.
        samples: real values as the model takes them; a list of arrays for several inputs.
        require_exact: False lets models with float layers pass; their differences are counted. A
            softmax, sigmoid or tanh at the end is compared at what it reads.
        shrink: remove dead neurons and channels.
        options: how the front end reads the file, such as the input type.

    Raises:
        UsageError: another suffix, a folder that is not there, samples of another shape.
        ModelUnsupported: the front end cannot read a layer.
        CheckFailed: a layer is not exact, or outputs differ; the error names the layer.
    """
    target = _check_path(path)
    part = target.with_name(f".{target.stem}.part.h5")
    options = options or LoadOptions()
    removed: Mapping[str, int]
    plain = export_model(model)
    small, removed = drop_dead_units(plain) if shrink else (plain, {})
    try:
        _save(small, part)
        proof = prove(part, samples, require_exact=require_exact, options=options)
        if removed and proof.floats:  # types are chosen by values: other units, other types
            removed = {}
            _save(plain, part)
            proof = prove(part, samples, require_exact=require_exact, options=options)
        if not is_switched_off(model):
            trained = values_of(model, proof.inputs)
            if removed and (proof.note or _count(trained, proof.outputs)):
                # Keras's float32 may round sums of these widths in another order.
                whole = part.with_suffix(".whole.h5")
                _compare(_made(plain, whole, samples, options), proof.made, "the model unshrunk")
                _compare(trained, values_of(plain, proof.inputs), TRAINED)
            else:
                _compare(trained, proof.outputs, TRAINED)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return _finalized(target, proof, removed)


def _made(model: Any, path: Path, samples: Real | None, options: LoadOptions) -> Values:
    try:
        _save(model, path)
        return prove(path, samples, require_exact=False, options=options).made
    finally:
        path.unlink(missing_ok=True)


def _finalized(path: Path, proof: Proof, removed: Mapping[str, int]) -> Finalized:
    return Finalized(
        path, proof.model, proof.loaded, len(proof.made[0]), proof.values, proof.mismatches,
        proof.floats, removed, proof.compared, proof.note,
    )  # fmt: skip


def _compare(left: Values, right: Values, what: str) -> None:
    if wrong := _count(left, right):
        raise CheckFailed(
            f"{wrong} outputs of the model to be saved are not those of {what}",
            at="finalize",
            hint="do layers of your own compute differently than their configuration says?",
        )


def _count(left: Values, right: Values) -> int:
    return sum(int(np.count_nonzero(a != b)) for a, b in zip(left, right, strict=True))


def _save(model: Any, path: Path) -> None:
    with warnings.catch_warnings():  # Keras about its own file format
        warnings.simplefilter("ignore", UserWarning)
        model.save(path, include_optimizer=False)


def _check_path(path: Path | str) -> Path:
    target = Path(path)
    if target.suffix != ".h5":
        raise UsageError(
            f"models are saved as .h5, not {target.suffix or 'without suffix'}",
            at=str(target),
            hint="QKeras layers in .keras files cannot be loaded again",
        )
    if not target.parent.is_dir():
        raise UsageError("the folder of the model file is not there", at=str(target))
    return target
