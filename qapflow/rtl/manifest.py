"""`rtl/design.json`: what the files of a build's RTL are, for tools that come later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qapflow.errors import UsageError
from qapflow.ir.fixed import Fixed
from qapflow.rtl.design import Design, Module, Port

MANIFEST = "design.json"
FORMAT = "qapflow rtl 1"


def write_manifest(design: Design) -> bytes:
    """Return the manifest: everything about a design but the content of its files."""
    data = asdict(design)
    data["files"] = sorted(design.files)
    return (json.dumps({"format": FORMAT, **data}, indent=1) + "\n").encode()


def read_design(folder: Path) -> Design:
    """Read the manifest and the files in `folder` (the rtl/ of a build).

    Raises:
        UsageError: there is none, it is of another format, or a file is gone.
    """
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.get("format") != FORMAT:
            raise UsageError(
                "the RTL was written by another version", at=str(path), hint="build it again"
            )
        files = {name: (folder / name).read_bytes() for name in data["files"]}
        return _design(data, files)
    except OSError as error:
        raise UsageError(
            f"there is no complete RTL here: {error.strerror}",
            at=str(error.filename or path),
            hint="run qapflow build with --rtl",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError("the manifest is damaged", at=str(path), hint="build it again") from error


def _design(data: Mapping[str, Any], files: Mapping[str, bytes]) -> Design:
    modules = tuple(
        Module(m["name"], tuple(m["layers"]), tuple(m["files"]), m["cost_lut"])
        for m in data["modules"]
    )
    return Design(
        top=data["top"],
        language=data["language"],
        form=data["form"],
        inputs=tuple(map(_port, data["inputs"])),
        outputs=tuple(map(_port, data["outputs"])),
        modules=modules,
        files=files,
        clock_ns=data["clock_ns"],
        cost_lut=data["cost_lut"],
    )


def _port(data: Mapping[str, Any]) -> Port:
    kind = Fixed(**data["type"])
    return Port(data["name"], data["edge"], kind, tuple(data["shape"]), data["beats"])
