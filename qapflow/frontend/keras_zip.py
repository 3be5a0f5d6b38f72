"""`.keras` archives of Keras 2.12 to 3: a zip with a configuration and an HDF5 of weights."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qapflow.errors import UsageError
from qapflow.frontend.hdf5 import list_datasets, open_hdf5, parse_json
from qapflow.frontend.model import Weights

MAX_CONFIG_BYTES = 64 << 20
MAX_WEIGHTS_BYTES = 4 << 30
MAX_RATIO = 1000  # what deflate reaches on zeros; real weights stay far below


@dataclass(frozen=True, eq=False)
class KerasArchive:
    """Configuration and weights by path inside the archive, such as `layers/dense/vars/0`."""

    config: dict[str, Any]
    keras_version: str
    weights: dict[str, Weights]


def read_keras_zip(path: Path) -> KerasArchive:
    """Read a `.keras` file.

    Raises:
        UsageError: no zip, parts missing, or larger inside than is sane.
    """
    at = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            config = parse_json(_member(archive, "config.json", MAX_CONFIG_BYTES, at), at)
            version = ""
            if "metadata.json" in names:
                metadata = parse_json(_member(archive, "metadata.json", MAX_CONFIG_BYTES, at), at)
                version = str(metadata.get("keras_version", ""))
            content = _member(archive, "model.weights.h5", MAX_WEIGHTS_BYTES, at)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise UsageError(
            f"this is no readable .keras archive: {error}",
            at=at,
            hint="it may be truncated: copy it again, or save the model again",
        ) from error
    with open_hdf5(io.BytesIO(content), at) as file:
        try:
            weights = list_datasets(file, at)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise UsageError(f"the weights in the archive are damaged: {error}", at=at) from error
    return KerasArchive(config, version, weights)


def _member(archive: zipfile.ZipFile, name: str, limit: int, at: str) -> bytes:
    try:
        entry = archive.getinfo(name)
    except KeyError as error:
        raise UsageError(
            f"the archive has no {name}", at=at, hint="save the model again with model.save()"
        ) from error
    ratio = entry.file_size / max(entry.compress_size, 1)
    if entry.file_size > limit or (ratio > MAX_RATIO and entry.file_size > MAX_CONFIG_BYTES):
        raise UsageError(
            f"{name} would unpack to {entry.file_size:,} bytes: this is no sane model", at=at
        )
    with archive.open(entry) as stream:
        content = stream.read(limit + 1)
    if len(content) > entry.file_size:
        raise UsageError(f"{name} is larger than the archive says", at=at)
    return content


def snake_case(name: str) -> str:
    """Turn a class name into the name Keras gives its folder of weights."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def folders(weights: dict[str, Weights], prefix: str) -> dict[str, dict[str, Weights]]:
    """Weights directly below `prefix` grouped by the next path component."""
    groups: dict[str, dict[str, Weights]] = {}
    for path, array in weights.items():
        if path.startswith(prefix):
            head, _, rest = path[len(prefix) :].partition("/")
            if rest:
                groups.setdefault(head, {})[rest] = array
    return groups


def rank(folder: str, stem: str) -> int | None:
    """Position of `dense_3` among the `dense` folders; None if it is no such folder."""
    if folder == stem:
        return 0
    match = re.fullmatch(re.escape(stem) + r"_(\d+)", folder)
    return int(match[1]) if match else None
