"""The .keras format: a zip of config.json, metadata.json and model.weights.h5."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qapflow.errors import UsageError
from qapflow.frontend.fields import MAX_JSON_BYTES, RESAVE, parse_json
from qapflow.frontend.hdf5 import MAX_RATIO, MAX_WEIGHT_BYTES

MAX_FILES = 10_000
PIECE = 1 << 20


@dataclass(frozen=True)
class Archive:
    """The parts of a .keras file that matter."""

    config: dict[str, Any]
    version: str
    weights: bytes


def read_archive(path: Path, at: str) -> Archive:
    """Return the parts of a .keras file; raises UsageError on damage and on zip bombs."""
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > MAX_FILES:
                raise UsageError(f"the zip holds more than {MAX_FILES} files", at, RESAVE)
            config = parse_json(_member(archive, "config.json", MAX_JSON_BYTES, at), at)
            metadata: dict[str, Any] = {}
            if "metadata.json" in archive.namelist():
                metadata = parse_json(_member(archive, "metadata.json", 1 << 20, at), at)
            weights = _member(archive, "model.weights.h5", MAX_WEIGHT_BYTES, at)
    except (
        zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError,
        ValueError, KeyError, OverflowError,
    ) as error:  # fmt: skip
        raise UsageError(f"the zip file is damaged: {error}", at, RESAVE) from None
    return Archive(config, str(metadata.get("keras_version", "unknown")), weights)


def _member(archive: zipfile.ZipFile, name: str, limit: int, at: str) -> bytes:
    """Unpack one file, never more than `limit` bytes whatever its header says."""
    if name not in archive.namelist():
        raise UsageError(f"there is no {name} in it, so it is no .keras file", at, RESAVE)
    info = archive.getinfo(name)
    limit = min(limit, max(info.compress_size, 1) * MAX_RATIO)
    too_large = UsageError(
        f"{name} unpacks to more than {limit} bytes: this looks like a zip bomb", at, RESAVE
    )
    if info.file_size > limit:
        raise too_large
    data = bytearray()
    with archive.open(info) as stream:
        while piece := stream.read(PIECE):
            data += piece
            if len(data) > limit:
                raise too_large
    return bytes(data)
