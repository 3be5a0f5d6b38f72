"""Weights and configuration out of an HDF5 file, without following anything that leaves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from qapflow.errors import UsageError
from qapflow.frontend.model import Weights

MAX_WEIGHT_BYTES = 1 << 31

Named = tuple[tuple[str, Weights], ...]


@dataclass(frozen=True, eq=False)
class Hdf5Model:
    """Configuration (None in a weights-only file) and weights by top-level layer, in file order."""

    config: dict[str, Any] | None
    keras_version: str
    weights: dict[str, Named]


def open_hdf5(source: Path | IO[bytes], at: str) -> h5py.File:
    """Open a file for reading.

    Raises:
        UsageError: it is no HDF5 file, or damaged.
    """
    try:
        return h5py.File(source, "r")
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"this is no readable HDF5 file: {str(error).splitlines()[0]}",
            at=at,
            hint="it may be truncated: copy it again, or save the model again",
        ) from error


def read_hdf5(path: Path) -> Hdf5Model:
    """Read a `.h5` of Keras 1.x to 3: whole model, or weights only.

    Raises:
        UsageError: damaged, too large, or with links out of the file.
    """
    at = str(path)
    with open_hdf5(path, at) as file:
        try:
            config = _text(file.attrs.get("model_config"))
            group = _child(file, "model_weights", at) if "model_weights" in file else file
            version = _text(file.attrs.get("keras_version", group.attrs.get("keras_version", "")))
            weights = {}
            for name in _names(group, "layer_names"):
                layer = _child(group, name, at)
                weights[name] = tuple(_weights(layer, at))
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(
                f"the HDF5 file is damaged: {str(error).splitlines()[0]}",
                at=at,
                hint="copy it again, or save the model again",
            ) from error
    return Hdf5Model(parse_json(config, at) if config else None, version or "", weights)


def parse_json(text: str | bytes, at: str) -> dict[str, Any]:
    """Parse a model configuration.

    Raises:
        UsageError: it is no JSON object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"the model configuration is no JSON: {reason}", at=at) from error
    if not isinstance(value, dict):
        raise UsageError("the model configuration is no JSON object", at=at)
    return value


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else ""


def _names(group: h5py.Group, key: str) -> list[str]:
    """Read an attribute that Keras splits into key0, key1 ... when it is large."""
    if key in group.attrs:
        parts = [group.attrs[key]]
    else:
        parts = []
        while f"{key}{len(parts)}" in group.attrs:
            parts.append(group.attrs[f"{key}{len(parts)}"])
    return [_text(name) for part in parts for name in np.asarray(part).ravel().tolist()]


def _child(group: h5py.Group, name: str, at: str) -> Any:
    """Follow a path inside the file only."""
    item: Any = group
    for part in [p for p in name.split("/") if p]:
        link = item.get(part, getlink=True)
        if link is None:
            raise UsageError(f"{name!r} is listed but missing in the file", at=at)
        if not isinstance(link, h5py.HardLink):
            raise UsageError(
                f"{name!r} is a link, and links are not followed", at=at, hint="save the model again"
            )
        item = item[part]
    return item


def _weights(layer: h5py.Group, at: str) -> Iterator[tuple[str, Weights]]:
    for name in _names(layer, "weight_names"):
        yield name, read_dataset(_child(layer, name, at), name, at)


def read_dataset(data: Any, name: str, at: str) -> Weights:
    """Read one array of numbers after looking at its size.

    Raises:
        UsageError: no numbers, too large, or stored outside the file.
    """
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "fiub" or data.external:
        raise UsageError(f"weight {name!r} is no plain array of numbers", at=at)
    size = data.size or 0
    if size * data.dtype.itemsize > MAX_WEIGHT_BYTES:
        raise UsageError(f"weight {name!r} claims {size:,} values: too large to be real", at=at)
    array: Weights = np.asarray(data[()])
    return array


def list_datasets(file: h5py.File, at: str) -> dict[str, Weights]:
    """Return every array of numbers reached by hard links, by path."""
    found: dict[str, Weights] = {}
    pending: list[tuple[str, Any]] = [("", file)]
    seen: set[Any] = set()
    while pending:
        path, item = pending.pop()
        if isinstance(item, h5py.Dataset):
            if item.dtype.kind in "fiub":
                found[path] = read_dataset(item, path, at)
            continue
        if item.id.__hash__() in seen:
            continue
        seen.add(item.id.__hash__())
        for name in item:
            if isinstance(item.get(name, getlink=True), h5py.HardLink):
                pending.append((f"{path}/{name}".lstrip("/"), item[name]))
    return found
