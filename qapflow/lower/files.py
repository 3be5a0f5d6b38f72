"""Generated files as a value: path -> bytes. A back end returns them, one function writes them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PARTIAL = ".partial"  # suffix of files being written; a killed process may leave one


@dataclass(frozen=True)
class Files:
    """An immutable set of files with relative POSIX paths."""

    contents: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """SHA-256 over sorted paths and contents."""
        total = hashlib.sha256()
        for path in sorted(self.contents):
            total.update(f"{path}\0{len(self.contents[path])}\0".encode())
            total.update(self.contents[path])
        return total.hexdigest()

    def merge(self, other: Files) -> Files:
        """Return both sets; a path in both must have equal contents."""
        for path in self.contents.keys() & other.contents.keys():
            if self.contents[path] != other.contents[path]:
                raise ValueError(f"two different contents for {path}")
        return Files({**self.contents, **other.contents})

    def write(self, folder: Path) -> None:
        """Write every file whose content differs, each by rename so none is ever half-written."""
        for path, content in sorted(self.contents.items()):
            write_file(folder / path, content)


def write_file(path: Path, content: bytes) -> None:
    """Replace `path` by `content` atomically; leave it alone when it already holds it."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(name).chmod(0o755 if content.startswith(b"#!") else 0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
