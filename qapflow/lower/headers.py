"""Headers that a project carries: ours, those of hls4ml in use, and the open ap_types."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from qapflow.errors import ToolMissing
from qapflow.lower.files import Files
from qapflow.resources import templates_dir

_INCLUDE = re.compile(r'^\s*#include\s+"(?:nnet_utils/)?((?:nnet|qapflow)_\w+\.h)"', re.MULTILINE)
_MARK = "// hls4ml insert code"

# hls4ml 1.3 gives two headers the same include guard, so the second one of them is skipped.
AMENDED = {
    "nnet_sepconv1d_latency.h": (
        "NNET_SEPARABLE_CONV2D_LATENCY_H_",
        "NNET_SEPARABLE_CONV1D_LATENCY_H_",
    )
}


# Lets the simulation see every assignment between fixed-point types; nothing without the macro.
WATCH = """#ifdef QAPFLOW_SANITIZE // added by qapflow, see csim/sanitize.h
#define QAPFLOW_WATCHED
    qapflow_watch(op, *this);
#endif
"""
ASSIGNED = "    return *this;\n  } // operator= "


def kernel_headers(names: Iterable[str], backend: str, generated: str) -> tuple[Files, list[str]]:
    """Return `firmware/nnet_utils/` with all that `names` include, and which came from hls4ml."""
    sources = _sources(backend)
    wanted, found = [Path(name).name for name in names], {}
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        text = sources[name].read_text(encoding="utf-8")
        if name in AMENDED:
            text = text.replace(*AMENDED[name])
        if name == "nnet_code_gen.h":
            text = text.replace(_MARK, f"{_MARK}\n{generated}")
        found[name] = text
        wanted += _INCLUDE.findall(text)
    files = {f"firmware/nnet_utils/{name}": text.encode() for name, text in sorted(found.items())}
    copied = [f"firmware/nnet_utils/{name}" for name in sorted(found) if name.startswith("nnet_")]
    return Files(files), copied


def ap_types() -> Files:
    """Return the open ap_types headers, for compilers other than the vendor's."""
    folder = _hls4ml() / "templates/vivado/ap_types"
    files = {
        f"csim/ap_types/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.rglob("*.h"))
    }
    base = files["csim/ap_types/ap_fixed_base.h"].decode()
    base = base.replace(ASSIGNED, WATCH + ASSIGNED)
    return Files({**files, "csim/ap_types/ap_fixed_base.h": base.encode()})


def licence() -> bytes:
    """Return the licence text that hls4ml was installed with."""
    for path in distribution("hls4ml").files or ():
        if path.name == "LICENSE":
            return Path(str(path.locate())).read_bytes()
    raise ToolMissing("hls4ml was installed without its licence", hint="pip install hls4ml")


def _sources(backend: str) -> dict[str, Path]:
    """Headers by name; the back end's own shadow the common ones, as hls4ml's writer does."""
    folders = [_hls4ml() / "templates/vivado/nnet_utils"]
    if backend == "vitis":
        folders.append(_hls4ml() / "templates/vitis/nnet_utils")
    folders.append(templates_dir() / "hls/nnet_utils")
    return {path.name: path for folder in folders for path in folder.glob("*.h")}


def _hls4ml() -> Path:
    spec = find_spec("hls4ml")
    if spec is None or spec.origin is None:
        raise ToolMissing("hls4ml is not installed", hint="pip install hls4ml==1.3.0")
    return Path(spec.origin).parent
