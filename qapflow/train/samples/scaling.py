"""Standardization: fitted on training samples only, stored with the model, told in raw units."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolMissing, UsageError
from qapflow.ir.fixed import Fixed
from qapflow.lower.files import write_file

Kind = Literal["features", "range", "none"]
CHUNK_VALUES = 1 << 22  # values taken to float64 at once


@dataclass(frozen=True)
class Scaling:
    """scaled = (raw - offset) / scale, computed in float64, then rounded to float32.

    `offset` and `scale` hold one number for each value of a sample (row-major), or one for all.
    """

    kind: Kind
    offset: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True)
class InputMeaning:
    """What an input type means for one feature, in its raw units.

    A step of the type is `step` raw units, and it holds raw values from `low` to `high`; `clipped`
    is the share of training samples that saturate.
    """

    feature: str
    step: float
    low: float
    high: float
    clipped: float


def fit_scaling(x: NDArray[Any], kind: Kind) -> Scaling:
    """Fit on training samples [n, *shape].

    "features": mean and deviation (population) of each value, by scikit-learn; a value that never
    changes keeps scale 1. "range": smallest value and range of all values together.
    """
    if kind == "none":
        return Scaling("none", (0.0,), (1.0,))
    if kind == "range":
        low, high = float(x.min()), float(x.max())
        return Scaling("range", (low,), (high - low or 1.0,))
    try:
        from sklearn.preprocessing import StandardScaler
    except ModuleNotFoundError as error:
        hint = "pip install 'qapflow[train]'"
        raise ToolMissing("standardization needs scikit-learn", "data", hint) from error
    scaler = StandardScaler()
    for rows in _chunks(x):
        scaler.partial_fit(rows)
    return Scaling("features", tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist()))


def scale(x: NDArray[Any], scaling: Scaling) -> NDArray[np.float32]:
    """Scale samples [n, *shape]; what float32 cannot hold becomes its largest number.

    Raises:
        UsageError: samples of another size than the scaling was fitted on.
    """
    size = prod(x.shape[1:])
    if len(scaling.offset) not in (1, size):
        what = f"a sample has {size} values, the scaling {len(scaling.offset)}"
        raise UsageError(what, "scaling", "give samples like those of the training")
    out = np.empty((len(x), size), np.float32)
    offset, factor = np.array(scaling.offset), np.array(scaling.scale)
    most, start = float(np.finfo(np.float32).max), 0
    for rows in _chunks(x):
        out[start : start + len(rows)] = np.clip((rows - offset) / factor, -most, most)
        start += len(rows)
    return out.reshape(x.shape)


def input_meaning(
    scaling: Scaling, kind: Fixed, scaled: NDArray[np.float32], features: Sequence[str]
) -> tuple[InputMeaning, ...]:
    """Tell what the input type `kind` means for each value of a sample, in raw units.

    `scaled` are the scaled training samples [n, *shape], `features` names of their values.
    """
    rows = scaled.reshape(len(scaled), -1)
    size = rows.shape[1]
    offset = np.broadcast_to(np.array(scaling.offset), (size,))
    factor = np.broadcast_to(np.array(scaling.scale), (size,))
    step = float(kind.lsb)
    counts = np.zeros(size, np.int64)
    for part in _chunks(rows):
        codes = np.rint(np.ldexp(part, kind.frac))
        counts += ((codes < kind.lo) | (codes > kind.hi)).sum(axis=0)
    return tuple(
        InputMeaning(
            features[k],
            step * float(factor[k]),
            kind.lo * step * float(factor[k]) + float(offset[k]),
            kind.hi * step * float(factor[k]) + float(offset[k]),
            float(counts[k]) / max(len(rows), 1),
        )
        for k in range(size)
    )


def meaning_text(kind: Fixed, meanings: Sequence[InputMeaning], most: int = 20) -> str:
    """Return a table of what an input type means; of many features those that clip most."""
    shown = sorted(meanings, key=lambda item: -item.clipped)[:most]
    if len(meanings) <= most:
        shown = list(meanings)
    width = max([len(item.feature) for item in shown], default=0)
    rows = [f"input type {kind}, in raw units (clipped: share of training samples)"]
    rows += [
        f"  {item.feature:<{width}}  step {item.step:<11.5g} from {item.low:<11.5g} "
        f"to {item.high:<11.5g} clipped {item.clipped:.2%}"
        for item in shown
    ]
    if rest := len(meanings) - len(shown):
        rows.append(f"  and {rest} more that clip no more often")
    return "\n".join(rows)


def meaning_summary(path: Path) -> str:
    """Return one line on the input type that is stored with a scaling; "" if there is none.

    Raises:
        UsageError: the file is missing or is no scaling.
    """
    content = _read(path)
    try:
        meanings = [InputMeaning(**item) for item in content.get("input_meaning", ())]
    except (AttributeError, TypeError) as error:
        raise _unreadable(path, error) from error
    if not meanings:
        return ""
    small = min(meanings, key=lambda item: item.step)
    large = max(meanings, key=lambda item: item.step)
    worst = max(meanings, key=lambda item: item.clipped)
    steps = f"{small.step:.4g}"
    if small.step != large.step:
        steps += f" ({small.feature}) to {large.step:.4g} ({large.feature})"
    clipped = "no training value saturates"
    if worst.clipped:
        clipped = f"{worst.feature} saturates most, in {worst.clipped:.2%} of training samples"
    return f"input {content['input_type']}: steps of {steps} raw units; {clipped}"


def write_scaling(
    path: Path,
    scaling: Scaling,
    features: Sequence[str],
    kind: Fixed | None = None,
    meanings: Sequence[InputMeaning] = (),
) -> None:
    """Write a scaling as JSON, with what the input type means if there is one."""
    content: dict[str, Any] = {
        "formula": "(raw - offset) / scale, in float64, then float32",
        **asdict(scaling),
        "features": list(features),
    }
    if kind is not None:
        content["input_type"] = str(kind)
        content["input_meaning"] = [asdict(item) for item in meanings]
    write_file(path, (json.dumps(content, indent=1) + "\n").encode())


def read_scaling(path: Path) -> Scaling:
    """Read what `write_scaling` wrote; numbers are the same to the last bit.

    Raises:
        UsageError: the file is missing or is no scaling.
    """
    content = _read(path)
    try:
        return Scaling(content["kind"], tuple(content["offset"]), tuple(content["scale"]))
    except (KeyError, TypeError) as error:
        raise _unreadable(path, error) from error


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UsageError:
    hint = "it is written beside the model by qapflow train"
    return UsageError(f"the scaling cannot be read: {error}", str(path), hint)


def _chunks(x: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """Yield rows of samples as float64 [n, values], few enough for memory."""
    rows = x.reshape(len(x), -1)
    count = max(1, CHUNK_VALUES // max(rows.shape[1], 1))
    for start in range(0, len(rows), count):
        yield rows[start : start + count].astype(np.float64)
