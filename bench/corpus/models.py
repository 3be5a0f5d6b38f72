"""Which models a folder holds: as its MANIFEST.csv says, or every model file in it."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST = "MANIFEST.csv"
BASELINE = "HLS4ML_BASELINE.csv"
UNKNOWN = "unknown"
SUFFIXES = (".h5", ".hdf5", ".keras", ".json")


@dataclass(frozen=True)
class Model:
    """One model of the collection; `baseline` is what hls4ml did with it, empty if unknown.

    `loads` tells whether Keras reads the file, `quantized` whether all of it is: None if nobody
    said so.
    """

    name: str
    path: Path
    weights: Path | None = None
    family: str = UNKNOWN
    loads: bool | None = None
    quantized: bool | None = None
    baseline: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the file and of its weights."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def digest(self) -> str:
        """SHA-256 of the contents."""
        return hashlib.sha256(b"".join(path.read_bytes() for path in self.files)).hexdigest()

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, and that of its weights."""
        return (self.path,) if self.weights is None else (self.path, self.weights)


def find_models(folder: Path) -> list[Model]:
    """List the models of a folder, by family and name.

    A manifest has the column `file`, and maybe `weights_file`, `family`, `status` ("loads" if Keras
    reads it) and `quantised`. Without one, a .json is a model if an .h5 of weights lies beside it:
    `<name>.h5`, `<name>_weights.h5` or `<name>.weights.h5`.

    Raises:
        FileNotFoundError: the folder, or a file that the manifest names, is not there.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder")
    found = _listed(folder) if (folder / MANIFEST).is_file() else _scanned(folder)
    for model in found:
        for path in model.files:
            if not path.is_file():
                raise FileNotFoundError(f"{path} is not there")
    return sorted(found, key=lambda model: (model.family, model.name))


def _listed(folder: Path) -> list[Model]:
    baseline = {row["file"]: row for row in _rows(folder / BASELINE)}
    return [
        Model(
            row["file"],
            folder / row["file"],
            folder / row["weights_file"] if row.get("weights_file") else None,
            row.get("family") or UNKNOWN,
            None if not row.get("status") else row["status"] == "loads",
            {"true": True, "false": False}.get((row.get("quantised") or "").lower()),
            baseline.get(row["file"], {}),
        )
        for row in _rows(folder / MANIFEST)
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _scanned(folder: Path) -> list[Model]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    pairs = {p: _weights(p, paths) for p in paths if p.suffix.lower() == ".json"}
    models = {model: weights for model, weights in pairs.items() if weights is not None}
    alone = [p for p in paths if p not in pairs and p not in models.values()]
    return [
        Model(str(path.relative_to(folder)), path, weights)
        for path, weights in [*models.items(), *((path, None) for path in alone)]
    ]


def _weights(path: Path, others: Sequence[Path]) -> Path | None:
    names = [path.with_name(f"{path.stem}{end}.h5") for end in ("", "_weights", ".weights")]
    return next((name for name in names if name in others), None)
