"""Rows that are finished: kept on disk one a line, valid for the same model and the same code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from bench.corpus.models import Model
from bench.corpus.rows import Row, from_json, to_json

ROOT = Path(__file__).parent.parent.parent
SOURCES = ("qapflow/**/*.py", "templates/**/*", "boards/*.toml")


def code_digest() -> str:
    """SHA-256 of everything that a build is made by."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def row_key(model: Model, code: str, settings: Sequence[str]) -> str:
    """Return what a finished row depends on, as one digest."""
    text = json.dumps([model.name, model.digest, code, *settings])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_kept(path: Path) -> dict[str, Row]:
    """Read finished rows by key; a line half written is left out."""
    rows = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            row = from_json(json.loads(line))
        except (ValueError, TypeError):
            continue
        rows[row.key] = row
    return rows


def keep(path: Path, row: Row) -> None:
    """Append a finished row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(to_json(row)) + "\n")
