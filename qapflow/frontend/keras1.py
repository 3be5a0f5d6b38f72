"""Weight names of Keras 1."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
