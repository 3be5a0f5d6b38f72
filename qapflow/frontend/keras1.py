"""Weights of Keras 1: other names, gates one by one, one-dimensional kernels with two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUFFIXES = {
    "W": "kernel",
    "b": "bias",
    "U": "recurrent_kernel",
    "gamma": "gamma",
    "beta": "beta",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",  # the name lies: Keras 1 kept the variance in it
    "alphas": "alpha",
}
PATTERN = re.compile(rf"^.+_({'|'.join(SUFFIXES)})(_\d+)?$")
OWN = frozenset({"kernel", "bias", "recurrent_kernel", "gamma", "beta", "moving_mean",
                 "moving_variance", "alpha", "depthwise_kernel", "pointwise_kernel"})  # fmt: skip


def rename_keras1(class_name: str, names: Sequence[str]) -> list[str]:
    """Return short names with those of Keras 1 (`dense_1_W`) replaced by those of Keras 2."""
    if any(name in OWN for name in names):
        return list(names)
    found = [PATTERN.match(name) for name in names]
    if not names or not all(found):
        return list(names)
    short = [SUFFIXES[match[1]] for match in found if match]
    if class_name == "Embedding":
        short = ["embeddings" if name == "kernel" else name for name in short]
    return short if len(set(short)) == len(short) else list(names)


# Order of the gates in the kernels of Keras 2.
GATES = {"LSTM": "ifco", "GRU": "zrh"}
PARTS = {"W": "kernel", "U": "recurrent_kernel", "b": "bias"}


def convert_keras1(
    class_name: str, named: Sequence[tuple[str, NDArray[Any]]]
) -> list[tuple[str, NDArray[Any]]]:
    """Return weights of a layer in the form of Keras 2; others stay as they are."""
    gates = GATES.get(class_name, "")
    split = {match[1] + match[2]: array for name, array in named
             if (match := re.search(r"_([WUb])_([ifcozrh])$", name))}  # fmt: skip
    if gates and len(split) == len(named) == 3 * len(gates):
        return [
            (short, np.concatenate([split[part + gate] for gate in gates], axis=-1))
            for part, short in PARTS.items()
        ]
    if class_name == "Conv1D" and named and named[0][0].endswith("_W") and named[0][1].ndim == 4:
        (name, kernel), *rest = named
        if kernel.shape[1] == 1:
            return [(name, kernel[:, 0]), *rest]
    return list(named)
