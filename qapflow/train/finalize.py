"""The end of a training: the model as a file, proved to be what the firmware will compute."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import CheckFailed, UsageError
from qapflow.frontend.load import load
from qapflow.frontend.model import Loaded, LoadOptions
from qapflow.ir.fixed import Codes
from qapflow.ir.interpret import interpret
from qapflow.train.architecture import read_keras_model
from qapflow.train.export import export_model
from qapflow.train.shrink import shrink as drop_dead_units
from qapflow.train.switching import is_switched_off

Real = NDArray[np.floating[Any]]

BATCH = 256
RANDOM_SAMPLES = 256
SEARCHED_SAMPLES = 64  # differing samples that are run again to find the first differing layer


@dataclass(frozen=True, eq=False)
class Finalized:
    """A saved model and what was found out about it.

    `model` is the file read by Keras again, `loaded` by qapflow. Of `values` outputs over
    `samples` samples, `mismatches` differ between Keras and the integer network: 0 where `exact`.
    `reasons` say, by layer, why a layer's types had to be chosen.
    """

    path: Path
    model: Any
    loaded: Loaded
    samples: int
    values: int
    mismatches: int
    reasons: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Tell whether the integer network gives Keras's outputs, bit by bit, by construction."""
        return self.loaded.exact and not self.mismatches


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
        model: a tf-keras model with one input.
        path: where to; the suffix is .h5, which alone QKeras can read again.
        samples: real values as the model takes them.
        require_exact: False lets models with float layers pass; their differences are counted.
        shrink: remove dead neurons and channels.
        options: how the front end reads the file, such as the input type.

    Raises:
        UsageError: another suffix, a folder that is not there, samples of another shape.
        ModelUnsupported: the front end cannot read a layer.
        CheckFailed: a layer is not exact, or outputs differ; the error names the layer.
    """
    target = _check_path(path)
    plain = export_model(model)
    removed: Mapping[str, int] = {}
    if shrink:
        plain, removed = drop_dead_units(plain)
    part = target.with_name(f".{target.stem}.part.h5")
    try:
        _save(plain, part)
        made = _check(part, samples, require_exact, options or LoadOptions())
        if made.exact:
            _compare_trained(model, made, samples)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return Finalized(
        target, made.model, made.loaded, made.samples, made.values, made.mismatches, made.reasons,
        removed,
    )  # fmt: skip


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


def _check(
    path: Path, samples: Real | None, require_exact: bool, options: LoadOptions
) -> Finalized:
    loaded = load(path, options)
    reasons = {record.name: record.reason for record in loaded.records if record.reason}
    if require_exact and not loaded.exact:
        name, reason = next(iter(reasons.items()))
        more = f" (and {len(reasons) - 1} more layers)" if len(reasons) > 1 else ""
        raise CheckFailed(
            f"the model would not be bit-exact in firmware: {reason}{more}",
            at=f"layer {name}",
            hint="quantize it, or accept floats with require_exact=False",
        )
    model = read_keras_model(path)
    codes = _encode(loaded, samples)
    values = _decode(loaded, codes)
    expected = _outputs(model.predict(values, batch_size=BATCH, verbose=0))
    made = interpret(loaded.net, codes)
    pairs = list(zip(loaded.net.outputs, expected, strict=True))
    differs = [_decode_edge(loaded, made, name) != right for name, right in pairs]
    mismatches = sum(int(np.count_nonzero(mask)) for mask in differs)
    count = len(values)
    if mismatches and loaded.exact:
        rows = np.flatnonzero(
            np.any([mask.reshape(count, -1).any(axis=1) for mask in differs], axis=0)
        )[:SEARCHED_SAMPLES]
        where = _first_difference(loaded, model, {k: v[rows] for k, v in codes.items()})
        raise CheckFailed(
            f"{mismatches} of {sum(mask.size for mask in differs)} outputs differ between Keras "
            "and the integer network",
            at=f"layer {where}",
            hint="sums beyond 24 bits are rounded by Keras's float32: use fewer bits",
        )
    size = sum(mask.size for mask in differs)
    return Finalized(path, model, loaded, count, size, mismatches, reasons)


def _encode(loaded: Loaded, samples: Real | None) -> dict[str, Codes]:
    """Return codes by input, of the samples or random ones over the whole range."""
    rng = np.random.default_rng(0)
    if samples is not None and len(loaded.net.inputs) != 1:
        raise UsageError(f"the model has {len(loaded.net.inputs)} inputs, samples are for one")
    codes: dict[str, Codes] = {}
    for node in loaded.net.inputs:
        kind = node.out.type
        if samples is None:
            shape = (RANDOM_SAMPLES, *node.out.shape)
            codes[node.name] = rng.integers(kind.lo, kind.hi, shape, endpoint=True)
            continue
        if samples.shape[1:] != node.out.shape:
            raise UsageError(
                f"samples have shape {samples.shape[1:]}, the model takes {node.out.shape}"
            )
        codes[node.name] = kind.encode(np.asarray(samples, np.float64))[0]
    return codes


def _decode(loaded: Loaded, codes: Mapping[str, Codes]) -> Any:
    arrays = [
        np.asarray(node.out.type.decode(codes[node.name]), np.float32) for node in loaded.net.inputs
    ]
    return arrays[0] if len(arrays) == 1 else arrays


def _decode_edge(loaded: Loaded, codes: Mapping[str, Codes], name: str) -> NDArray[np.float64]:
    return np.asarray(loaded.net.edge(name).type.decode(codes[name]), np.float64)


def _outputs(made: Any) -> list[NDArray[np.float64]]:
    return [np.asarray(a, np.float64) for a in (made if isinstance(made, list) else [made])]


def _first_difference(loaded: Loaded, model: Any, codes: Mapping[str, Codes]) -> str:
    """Name the first layer whose outputs differ."""
    keras = type(model)
    made = interpret(loaded.net, codes, keep="all")
    own = {layer.name: layer for layer in model.layers}
    values = _decode(loaded, codes)
    for record in loaded.records:
        if record.inner or record.name not in own or record.edge not in made:
            continue
        right = keras(model.inputs, own[record.name].output).predict(values, verbose=0)
        left = _decode_edge(loaded, made, record.edge)
        if left.shape == np.shape(right) and not np.array_equal(left, right):
            return record.name
    return str(loaded.records[-1].name)


def _compare_trained(model: Any, made: Finalized, samples: Real | None) -> None:
    """Compare the file's outputs with those of the model that was trained."""
    if is_switched_off(model):
        return
    values = _decode(made.loaded, _encode(made.loaded, samples))
    left = _outputs(made.model.predict(values, batch_size=BATCH, verbose=0))
    right = _outputs(_call(model, values))
    wrong = sum(int(np.count_nonzero(a != b)) for a, b in zip(left, right, strict=True))
    if wrong:
        raise CheckFailed(
            f"{wrong} outputs of the saved model are not those of the trained one",
            at=f"model {model.name}",
            hint="do layers behave differently after training than while it?",
        )


def _call(model: Any, values: Any) -> Any:
    """Predict without touching the functions that the model has compiled."""
    if isinstance(values, list):
        return model(values, training=False)
    parts = [
        _outputs(model(values[start : start + BATCH], training=False))
        for start in range(0, len(values), BATCH)
    ]
    return [np.concatenate(group) for group in zip(*parts, strict=True)]
