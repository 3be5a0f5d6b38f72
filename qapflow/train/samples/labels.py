"""Labels of any form (numbers, names, one-hot rows) as class numbers from 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError

Labels = NDArray[np.int64]
FROM_ZERO = "class numbers count from 0 without gaps; or give names as text"


def number_labels(
    labels: NDArray[Any],
    labels_test: NDArray[Any] | None,
    classes: tuple[str, ...] | None,
    at: str,
) -> tuple[Labels, Labels | None, tuple[str, ...]]:
    """Return class numbers of both sets and the names of the classes.

    Names are numbered in sorted order, or in that of `classes`. Numbers must be 0 to classes-1.

    Raises:
        UsageError: NaN, fractional or negative labels, numbers or names out of range, classes
            without a sample in the first set, less than two classes.
    """
    columns = [_one_column(labels, at)]
    if labels_test is not None:
        columns.append(_one_column(labels_test, f"{at}, test"))
    if any(column.dtype.kind in "US" for column in columns):
        columns, classes = _number_names(columns, classes, at)
    numbers = [
        _whole(column, at if index == 0 else f"{at}, test") for index, column in enumerate(columns)
    ]
    present = np.unique(numbers[0])
    count = len(classes) if classes is not None else len(present)
    names = classes if classes is not None else tuple(str(k) for k in range(count))
    for column, place in zip(numbers, (at, f"{at}, test"), strict=False):
        if classes is not None or place != at:
            _refuse_beyond(column, count, place)
    for expected in range(count):
        if expected >= len(present) or present[expected] != expected:
            name = f" ({names[expected]!r})" if names[expected] != str(expected) else ""
            what = f"class {expected}{name} has no sample to train on"
            raise UsageError(what, at, FROM_ZERO)
    if count < 2:
        raise UsageError("all labels are the same: there is nothing to learn", at)
    return numbers[0], numbers[1] if len(numbers) > 1 else None, names


def _one_column(labels: NDArray[Any], at: str) -> NDArray[Any]:
    """Return labels [n]; rows with a single 1 become the number of its column."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "fiub":
        hot = labels == 1
        wrong = np.flatnonzero(((labels != 0) & ~hot).any(axis=1) | (hot.sum(axis=1) != 1))
        if len(wrong):
            what = f"row {wrong[0]} (from 0) of the labels is no class: {labels[wrong[0]].tolist()}"
            raise UsageError(what[:200], at, "give one class number a sample, or a single 1 a row")
        return np.asarray(np.argmax(hot, axis=1))
    if labels.ndim != 1:
        what = f"the labels have shape {labels.shape}"
        raise UsageError(what, at, "give one label a sample: shape (n,)")
    if labels.dtype.kind not in "fiubUS":
        raise UsageError(f"the labels are {labels.dtype}, no numbers or names", at)
    return labels


def _number_names(
    columns: list[NDArray[Any]], classes: tuple[str, ...] | None, at: str
) -> tuple[list[NDArray[Any]], tuple[str, ...]]:
    texts = [
        [v.decode() if isinstance(v, bytes) else str(v) for v in column.tolist()]
        for column in columns
    ]
    names = classes or tuple(sorted(set(texts[0])))
    index = {name: number for number, name in enumerate(names)}
    for rows, place in zip(texts, (at, f"{at}, test"), strict=False):
        for row, text in enumerate(rows):
            if text not in index:
                what = f"the label {text!r} of row {row} (from 0) is no known class"
                raise UsageError(what, place, f"classes are {', '.join(names[:20])}")
    return [np.array([index[text] for text in rows], np.int64) for rows in texts], names


def _whole(labels: NDArray[Any], at: str) -> Labels:
    if labels.dtype.kind == "f":
        wrong = np.flatnonzero(~(np.isfinite(labels) & (labels == np.floor(labels))))
        if len(wrong):
            what = f"the label of row {wrong[0]} (from 0) is {labels[wrong[0]]}, no class number"
            hint = "remove samples without label; values to be fitted (regression) are no classes"
            raise UsageError(what, at, hint)
        labels = np.clip(labels, -(2.0**53), 2.0**53)
    numbers = labels.astype(np.int64)
    negative = np.flatnonzero(numbers < 0)
    if len(negative):
        what = f"the label of row {negative[0]} (from 0) is {numbers[negative[0]]}"
        raise UsageError(what, at, FROM_ZERO)
    return numbers


def _refuse_beyond(numbers: Labels, count: int, at: str) -> None:
    beyond = np.flatnonzero(numbers >= count)
    if len(beyond):
        what = (
            f"the label of row {beyond[0]} (from 0) is {numbers[beyond[0]]}, "
            f"but there are {count} classes"
        )
        raise UsageError(what, at, FROM_ZERO)
