"""What is synthesised: Verilog of a build, or of any folder, as modules with their files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qapflow.errors import UsageError
from qapflow.rtl.design import Design, Module

VERILOG = (".v", ".sv")
DATA = (".vh", ".svh", ".mem", ".hex", ".dat", ".mif")
BENCHES = ("sim", "tb", "test", "tests", "testbench", "verification")
_BENCH_FILE = re.compile(r"(^tb_|_tb$|^testbench)")
_MODULE = re.compile(r"^\s*(?:\(\*.*?\*\)\s*)?module\s+(\w+)", re.MULTILINE)
_MOST_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Sources:
    """Verilog by path, and the modules that are counted one at a time; `top` is among them."""

    top: str
    modules: tuple[Module, ...]
    files: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """SHA-256 of everything that is read."""
        return digest_files(self.files, sorted(self.files), self.top)


def digest_files(files: Mapping[str, bytes], paths: list[str], *words: str) -> str:
    """SHA-256 of some of the files, their names, and further words."""
    found = hashlib.sha256("\0".join(words).encode())
    for path in paths:
        found.update(f"\0{path}\0{len(files[path])}\0".encode())
        found.update(files[path])
    return found.hexdigest()


def sources_of(design: Design) -> Sources:
    """Return what of a design is synthesised.

    Raises:
        UsageError: it is VHDL, which Yosys does not read.
    """
    if design.language != "verilog":
        raise UsageError(
            "Yosys reads Verilog, this build's RTL is VHDL",
            at="rtl/",
            hint="build again with --rtl-language verilog",
        )
    files = {p: c for p, c in design.files.items() if p.endswith((*VERILOG, *DATA))}
    modules = design.modules
    if design.top not in [module.name for module in modules]:
        whole = tuple(path for path in sorted(files) if path.endswith(VERILOG))
        modules = (*modules, Module(design.top, (), whole, None))
    return Sources(design.top, modules, files)


def flattened(sources: Sources, cost_lut: float | None) -> Sources:
    """Return the same with the top, which needs the files of all, as the only module."""
    paths = next(module.files for module in sources.modules if module.name == sources.top)
    layers = tuple(dict.fromkeys(name for m in sources.modules for name in m.layers))
    whole = Module(sources.top, layers, paths, cost_lut)
    return Sources(sources.top, (whole,), sources.files)


def read_folder(folder: Path, top: str) -> Sources:
    """Read a folder of Verilog; test benches (files tb_*, *_tb, folders sim, tb) are left out.

    Raises:
        UsageError: there is no Verilog, no such module, or a file cannot be read.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        wanted = path.suffix in (*VERILOG, *DATA) and path.is_file()
        if wanted and not _is_bench(inner) and not any(p.startswith(".") for p in inner.parts):
            files[str(inner)] = _read(path)
    paths = tuple(path for path in files if path.endswith(VERILOG))
    if not paths:
        raise UsageError("there is no Verilog here", at=str(folder), hint="give a folder of .v")
    if sum(map(len, files.values())) > _MOST_BYTES:
        raise UsageError("more than 512 MB of Verilog", at=str(folder))
    names = [n for path in paths for n in _MODULE.findall(files[path].decode("utf-8", "replace"))]
    if top not in names:
        shown = ", ".join(names[:8]) or "none"
        what = f"no module {top!r}" if top else "a folder of Verilog needs its top module"
        raise UsageError(what, at=str(folder), hint=f"--top one of: {shown}")
    return Sources(top, (Module(top, (), paths, None),), files)


def _is_bench(path: Path) -> bool:
    return any(part in BENCHES for part in path.parts[:-1]) or bool(_BENCH_FILE.search(path.stem))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"a file cannot be read: {error.strerror}", at=str(path)) from error
