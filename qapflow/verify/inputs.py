"""Read the user's own samples from .npy, .npz or .csv onto the grid of a network's inputs."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.ir.fixed import Codes
from qapflow.ir.net import Net, Node

Real = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class UserInputs:
    """Codes [n, *shape] by input, how many values were out of range, how many were rounded."""

    codes: Mapping[str, Codes]
    saturated: int
    rounded: int

    @property
    def samples(self) -> int:
        """Number of samples."""
        return min(len(codes) for codes in self.codes.values())

    @property
    def note(self) -> str:
        """One sentence on what the grid did to the values, "" if nothing."""
        total = sum(codes.size for codes in self.codes.values())
        parts = []
        if self.saturated:
            parts.append(f"{self.saturated} of {total} input values saturate")
        if self.rounded:
            parts.append(f"{self.rounded} of {total} input values are rounded to the input grid")
        return "; ".join(parts)


def read_inputs(path: Path, net: Net) -> UserInputs:
    """Read samples and put them on the input grids of `net` (rounded to even, saturated).

    A .npy holds the only input [n, *shape] (or flattened); a .npz holds inputs by name, or in
    order if no name fits; a .csv holds one flattened sample a row, all inputs side by side.

    Raises:
        UsageError: the file is missing, of another kind, or its arrays have a wrong name, shape or
            dtype, contain NaN or infinity, or no sample.
    """
    return encode_inputs(read_values(path, net), net, str(path))


def read_values(path: Path, net: Net) -> dict[str, Real]:
    """Read real-valued samples [n, *shape] by input name; see `read_inputs`."""
    readers = {".npy": _read_npy, ".npz": _read_npz, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise UsageError(
            f"inputs in a {path.suffix or 'file without suffix'} cannot be read",
            str(path),
            "give .npy, .npz or .csv",
        )
    if not path.is_file():
        raise UsageError("the file of inputs is not there", str(path))
    try:
        arrays = readers[path.suffix.lower()](path, net)
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise UsageError(f"the inputs cannot be read ({error})", str(path)) from error
    return {node.name: _shape(arrays[node.name], node, str(path)) for node in net.inputs}


def encode_inputs(values: Mapping[str, Real], net: Net, at: str = "") -> UserInputs:
    """Put real values [n, *shape] on the input grids of `net`, rounding to even and saturating.

    Raises:
        UsageError: NaN or infinity, no sample, or different numbers of samples.
    """
    codes, saturated, rounded = {}, 0, 0
    for node in net.inputs:
        array = np.asarray(values[node.name], np.float64)
        if bad := array.size - int(np.isfinite(array).sum()):
            raise UsageError(
                f"input {node.name!r} contains NaN or infinity ({bad} values)",
                at,
                "remove these samples",
            )
        codes[node.name], beyond = node.out.type.encode(array)
        saturated += beyond
        changed = node.out.type.decode(codes[node.name]) != array
        rounded += int(np.count_nonzero(changed)) - beyond
    counts = {name: len(array) for name, array in codes.items()}
    if len(set(counts.values())) > 1:
        raise UsageError(f"the inputs have different numbers of samples: {counts}", at)
    if not min(counts.values(), default=0):
        raise UsageError("the inputs hold no sample", at)
    return UserInputs(codes, saturated, max(0, rounded))


def _shape(array: NDArray[Any], node: Node, at: str) -> Real:
    """Check dtype and shape; a flattened sample is taken as row-major."""
    shape = node.out.shape
    if array.dtype.kind not in "fiub":
        raise UsageError(
            f"input {node.name!r} has dtype {array.dtype}, which holds no real numbers", at
        )
    if array.dtype.itemsize > 8:
        raise UsageError(f"input {node.name!r} has dtype {array.dtype}", at, "convert to float64")
    if array.shape[1:] == shape or (array.ndim == 2 and array.shape[1] == prod(shape)):
        return array.astype(np.float64).reshape(len(array), *shape)
    wanted = ", ".join(map(str, ("n", *shape)))
    raise UsageError(
        f"input {node.name!r} has shape {array.shape}, the network takes ({wanted})",
        at,
        "one sample a row: the first axis counts samples",
    )


def _read_npy(path: Path, net: Net) -> dict[str, NDArray[Any]]:
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise UsageError("this is an archive, not one array", str(path), "name it .npz")
    if len(net.inputs) != 1:
        names = ", ".join(node.name for node in net.inputs)
        raise UsageError(
            f"the network has {len(net.inputs)} inputs, a .npy holds one",
            str(path),
            f"give a .npz with the arrays {names}",
        )
    return {net.inputs[0].name: array}


def _read_npz(path: Path, net: Net) -> dict[str, NDArray[Any]]:
    names = [node.name for node in net.inputs]
    archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise UsageError("this is one array, not an archive", str(path), "name it .npy")
    with archive:
        if set(names) <= set(archive.files):
            return {name: archive[name] for name in names}
        if len(archive.files) == len(names) and all(
            name == f"arr_{k}" for k, name in enumerate(archive.files)
        ):
            return {name: archive[old] for name, old in zip(names, archive.files, strict=True)}
        raise UsageError(
            f"the archive holds {', '.join(archive.files) or 'nothing'}, "
            f"the network's inputs are {', '.join(names)}",
            str(path),
            "name the arrays like the inputs",
        )


def _read_csv(path: Path, net: Net) -> dict[str, NDArray[Any]]:
    lines = [s for s in path.read_text(encoding="utf-8-sig").splitlines() if s.strip()]
    try:
        float(lines[0].split(",")[0])
        start = 0
    except (ValueError, IndexError):
        start = 1  # a heading
    if len(lines) <= start:
        raise UsageError("the inputs hold no sample", str(path))
    table = np.loadtxt(lines[start:], delimiter=",", dtype=np.float64, ndmin=2)
    sizes = [prod(node.out.shape) for node in net.inputs]
    if table.shape[1] != sum(sizes):
        raise UsageError(
            f"the file has {table.shape[1]} columns, a sample has {sum(sizes)} values", str(path)
        )
    parts = np.split(table, np.cumsum(sizes)[:-1], axis=1)
    return {node.name: part for node, part in zip(net.inputs, parts, strict=True)}
