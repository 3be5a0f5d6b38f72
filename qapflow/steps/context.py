"""What the steps of a build share: the settings, the folder, and what earlier steps made.

Everything is read from the folder, so that a step behaves the same whether the steps before it
ran just now or last week. Parsed files are kept in memory for the length of one build.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from qapflow.errors import UsageError
from qapflow.steps.cache import BuildFolder
from qapflow.steps.settings import BuildSettings, settings_from_json

if TYPE_CHECKING:
    from qapflow.frontend.model import LayerRecord
    from qapflow.ir.fixed import Codes
    from qapflow.ir.net import Net
    from qapflow.plan import Plan
    from qapflow.target import Target

T = TypeVar("T")

SETTINGS = ".qapflow/settings.json"
LOADED_NET = "net/loaded.net"
NET = "net/optimised.net"
RECORDS = "net/layers.json"
PLAN = "plan.json"
PROJECT = "hls"
VECTORS = "vectors"
VERIFICATION = "verification"
OVERFLOW = "verification/overflow.json"
WITNESS = "verification/overflow_witness.npz"
SYNTHESIS = "synthesis.json"
BISECTION = "bisection.json"
RTL = "rtl"
OPEN_SYNTHESIS = "open_synthesis.json"


class Context:
    """One build's shared reading room."""

    def __init__(self, settings: BuildSettings, folder: BuildFolder) -> None:
        self.settings = settings
        self.folder = folder
        self._parsed: dict[str, tuple[bytes, Any]] = {}

    @cached_property
    def target(self) -> Target:
        """The board."""
        from qapflow.boards import load_target

        return load_target(self.settings.board)

    @property
    def project(self) -> Path:
        """Folder of the HLS project."""
        return self.folder.path / PROJECT

    @cached_property
    def top(self) -> str:
        """Name of the top function: the model's file name as a C identifier."""
        return top_name(self.settings.model)

    @property
    def loaded_net(self) -> Net:
        """The network as the front end made it."""
        return self._parse(LOADED_NET, _read_net)

    @property
    def net(self) -> Net:
        """The network after all passes: what is built."""
        return self._parse(NET, _read_net)

    @property
    def layers(self) -> dict[str, Any]:
        """What the front end said: records, notes, digest."""
        return self._parse(RECORDS, json.loads)

    @property
    def records(self) -> tuple[LayerRecord, ...]:
        """How each Keras layer was taken over."""
        from qapflow.frontend.model import LayerRecord

        return tuple(LayerRecord(**record) for record in self.layers["records"])

    @property
    def plan(self) -> Plan:
        """The plan."""
        from qapflow.plan.to_json import plan_from_json

        return self._parse(PLAN, lambda content: plan_from_json(content.decode()))

    def vectors(self, kind: str) -> dict[str, Codes]:
        """Verification samples: `kind` is "inputs" or "outputs"; codes [n, *shape] by edge."""
        return self._parse(f"{VECTORS}/{kind}.npz", read_codes)

    @property
    def vector_facts(self) -> dict[str, Any]:
        """Ranges seen on the vectors, what they cover, and the user's part of them."""
        return self._parse(f"{VECTORS}/facts.json", json.loads)

    def verification(self, name: str) -> dict[str, Any]:
        """Return the result of a verification step."""
        return self._parse(f"{VERIFICATION}/{name}.json", json.loads)

    def _parse(self, path: str, parse: Callable[[bytes], T]) -> T:
        content = self.folder.read(path)
        if path not in self._parsed or self._parsed[path][0] != content:
            self._parsed[path] = (content, parse(content))
        result: T = self._parsed[path][1]
        return result


def _read_net(content: bytes) -> Net:
    from qapflow.ir.text import read_net

    return read_net(content.decode())


def top_name(model: Path) -> str:
    """Return a name for the top function: the model file's name as a C identifier."""
    from qapflow.lower.names import identifier, is_identifier

    name = identifier(model.stem)
    return name if is_identifier(name) else identifier(f"model_{model.stem}")


def file_digest(path: Path | None) -> str:
    """SHA-256 of a file from outside, "" for None.

    Raises:
        UsageError: it cannot be read.
    """
    if path is None:
        return ""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except IsADirectoryError as error:
        raise UsageError("a file was expected, this is a folder", at=str(path)) from error
    except OSError as error:
        raise UsageError(
            f"the file cannot be read: {error.strerror}", at=str(path), hint="check the path"
        ) from error


def write_codes(codes: dict[str, Codes]) -> bytes:
    """Return an .npz with the same bytes for the same codes; wide codes as decimal text."""
    import io
    import zipfile

    import numpy as np

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in codes.items():
            part = io.BytesIO()
            plain = array.astype(str) if array.dtype == object else array
            np.save(part, plain, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, part.getvalue())
    return stream.getvalue()


def read_codes(content: bytes) -> dict[str, Codes]:
    """Read what `write_codes` wrote."""
    import io

    import numpy as np

    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        if array.dtype.kind == "U":
            wide = np.empty(array.shape, object)
            wide.ravel()[:] = [int(text) for text in array.ravel()]
            arrays[name] = wide
    return arrays


def read_settings(folder: Path) -> BuildSettings:
    """Read the settings a folder was built with.

    Raises:
        UsageError: it is no finished build.
    """
    try:
        content = (folder / SETTINGS).read_bytes()
    except OSError as error:
        raise UsageError(
            "this is no build folder", at=str(folder), hint="run qapflow build first"
        ) from error
    return replace(settings_from_json(content), output=folder)
