"""HDF5 files of unknown origin: nothing outside is read, nothing before its size is known."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.frontend.fields import MAX_JSON_BYTES, RESAVE

MAX_WEIGHT_BYTES = 4 << 30
# Deflate, the filter of h5py, packs at most 1032 bytes into one.
MAX_RATIO = 1100
MAX_MEMBERS = 100_000


# What h5py raises on damaged files, as observed on mutated ones.
DAMAGE = (
    OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError,
    NotImplementedError,
)  # fmt: skip


@contextmanager
def damage_at(at: str) -> Iterator[None]:
    """Turn whatever h5py raises on damage into a UsageError; to be put around h5py calls only."""
    try:
        yield
    except DAMAGE as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"the HDF5 file is damaged: {first}", at, RESAVE) from None


@contextmanager
def open_hdf5(source: Path | bytes, at: str) -> Iterator[h5py.File]:
    """Open a file, or the bytes of one, for reading."""
    with damage_at(at):
        file = h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r")
    with file:
        yield file


class Hdf5Reader:
    """Reads attributes, groups and data sets of one file within limits."""

    def __init__(self, file: h5py.File, at: str) -> None:
        self.file = file
        self.at = at
        self.left = MAX_WEIGHT_BYTES

    def has(self, owner: h5py.Group, name: str) -> bool:
        """Tell whether an attribute is there."""
        with damage_at(self.at):
            return name in owner.attrs

    def attribute(self, owner: h5py.Group, name: str) -> Any:
        """Return an attribute, None if it is not there."""
        if not self.has(owner, name):
            return None
        with damage_at(f"{self.at}, attribute {name}"):
            raw = h5py.h5a.open(owner.id, name.encode())
            size = math.prod(raw.shape or ()) * raw.dtype.itemsize
            if size <= MAX_JSON_BYTES:
                value = owner.attrs[name]
                return None if isinstance(value, h5py.Empty) else value
        raise UsageError(f"the attribute {name} is larger than {MAX_JSON_BYTES}", self.at, RESAVE)

    def text(self, owner: h5py.Group, name: str) -> str | None:
        """Return an attribute as text, None if it is not there."""
        value = self.attribute(owner, name)
        if value is None:
            return None
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        return self._decode(value, name)

    def _decode(self, value: object, name: str) -> str:
        with damage_at(f"{self.at}, attribute {name}"):
            if isinstance(value, str):  # h5py hides wrong bytes in surrogates
                value = value.encode("utf-8")
            if isinstance(value, bytes):
                return value.decode("utf-8")
        raise UsageError(f"the attribute {name} is no text", self.at, RESAVE)

    def names(self, owner: h5py.Group, name: str) -> tuple[str, ...] | None:
        """Return a list of names; long lists are stored in pieces `name0`, `name1` ..."""
        pieces = [self.attribute(owner, name)] if self.has(owner, name) else []
        while not self.has(owner, name) and self.has(owner, f"{name}{len(pieces)}"):
            pieces.append(self.attribute(owner, f"{name}{len(pieces)}"))
        if not pieces:
            return None
        found: list[str] = []
        for piece in pieces:
            if not isinstance(piece, np.ndarray) or len(found) + piece.size > MAX_MEMBERS:
                raise UsageError(f"the attribute {name} is no list of names", self.at, RESAVE)
            found += [self._decode(item, name) for item in piece.reshape(-1).tolist()]
        return tuple(found)

    def child(self, owner: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
        """Return what lies at a relative path; links to other places are refused."""
        here: h5py.Group | h5py.Dataset = owner
        for part in [part for part in path.split("/") if part]:
            if not isinstance(here, h5py.Group):
                return None
            with damage_at(f"{self.at}, {path}"):
                link = here.get(part, getlink=True)
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise UsageError(
                    f"{part!r} is a link to another place or file, which is never followed",
                    f"{self.at}, {here.name}",
                    RESAVE,
                )
            with damage_at(f"{self.at}, {path}"):
                here = here[part]
        return here

    def group(self, owner: h5py.Group, path: str) -> h5py.Group | None:
        """Return a group at a relative path, None if there is none."""
        found = self.child(owner, path)
        return found if isinstance(found, h5py.Group) else None

    def members(self, owner: h5py.Group) -> list[str]:
        """Return the names in a group."""
        with damage_at(self.at):
            if len(owner) <= MAX_MEMBERS:
                return [name for name in owner if isinstance(name, str)]
        raise UsageError(f"the group {owner.name} has too many members", self.at, RESAVE)

    def array(self, dataset: h5py.Dataset) -> NDArray[Any]:
        """Return a data set after checking kind, place and size."""
        with damage_at(self.at):
            place = f"{self.at}, {dataset.name}"
            brain = _is_bfloat16(dataset)
            problem = _problem(dataset, brain)
            size = dataset.nbytes
        if problem:
            raise UsageError(problem, place, RESAVE)
        self.left -= size
        if self.left < 0:
            raise UsageError(
                f"the weights need more than {MAX_WEIGHT_BYTES} bytes", place, "split it"
            )
        with damage_at(place):
            data = np.asarray(dataset[()])
        if brain:
            data = (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        data.setflags(write=False)
        return data


def _problem(dataset: h5py.Dataset, brain: bool) -> str:
    """Return why a data set is not read, "" if it can be."""
    if dataset.dtype.kind not in "fiub" and not brain:
        return f"the data set holds {dataset.dtype}, no numbers"
    if dataset.external or dataset.is_virtual:
        return "the data set lies in another file, which is never read"
    if dataset.shape is None:
        return "the data set is empty"
    stored = dataset.id.get_storage_size()
    packed = dataset.chunks is not None and dataset.id.get_create_plist().get_nfilters() > 0
    if dataset.nbytes > stored * (MAX_RATIO if packed else 1):
        return (
            f"the data set claims {dataset.nbytes} bytes (shape {dataset.shape}) but the file "
            f"holds {stored} of them"
        )
    return ""


def _is_bfloat16(dataset: h5py.Dataset) -> bool:
    """Tell whether Keras 3 stored brain floats, which HDF5 does not know, as two bytes each."""
    label = dataset.attrs.get("dtype") if "dtype" in dataset.attrs else None
    return label == "bfloat16" and dataset.dtype.itemsize == 2
