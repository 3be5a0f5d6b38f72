"""Open synthesis of a build, or of any Verilog: run, stored beside the build, read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from qapflow.boards import load_target
from qapflow.errors import ToolFailed, ToolMissing, UsageError
from qapflow.ir.text import read_net
from qapflow.lower.files import write_file
from qapflow.report.json import encode, read_as
from qapflow.rtl.manifest import MANIFEST, read_design
from qapflow.steps.context import NET, OPEN_SYNTHESIS, RTL, SETTINGS, read_settings
from qapflow.synth.open.compare import compare_strategies
from qapflow.synth.open.engines import choose_engine
from qapflow.synth.open.families import Family, family_of
from qapflow.synth.open.place import Placer, find_placer, place
from qapflow.synth.open.result import OpenSynthesis
from qapflow.synth.open.run import How, memory_share, synthesise
from qapflow.synth.open.script import CellMapping, Effort
from qapflow.synth.open.sources import Sources, read_folder, sources_of
from qapflow.synth.open.unit import Limits
from qapflow.verify.process import cores

WORK = ".qapflow/open"
DEFAULT_BOARD = "xcvu9p"


@dataclass(frozen=True)
class OpenSettings:
    """What `qapflow synth --flow open` was asked for.

    `timeout_s` is for each module, `memory_mb` for each process (0: a share of the machine).
    """

    folder: Path
    top: str = ""
    board: str = ""
    family: Family | None = None
    effort: Effort = "normal"
    timeout_s: float = 3600.0
    memory_mb: int = 0
    jobs: int = 0
    compare: bool = False
    place: bool = False
    require: bool = False


def open_synthesis(settings: OpenSettings, listen: Callable[[str, str], None]) -> OpenSynthesis:
    """Synthesise a folder by Yosys and store the result in it if it is a build.

    Raises:
        ToolMissing: there is no Yosys.
        UsageError: there is nothing to synthesise, or Yosys does not know the board's family.
    """
    sources, board = find_sources(settings)
    how = _how(settings, board)
    if (settings.compare or settings.place) and not _has_design(settings):
        raise UsageError(
            "only RTL that qapflow wrote has a network and ports it knows",
            at="--compare" if settings.compare else "--place",
            hint="give a folder made by qapflow build --rtl",
        )
    placer = _placer(settings, listen)
    work = settings.folder / WORK
    found = synthesise(sources, how, work, listen)
    if settings.compare:
        net = read_net((settings.folder / NET).read_text(encoding="utf-8"))
        found = replace(found, strategies=compare_strategies(net, how, work, listen))
    if is_build(settings.folder):
        found = _with_earlier(found, stored_synthesis(settings.folder))
        store(settings.folder, found)  # before what may fail
    if placer is not None:
        listen("nextpnr", "running")
        design = read_design(settings.folder / RTL)
        found = replace(found, timing=place(design, how.engine, placer, work / "place", how.limits))
        store(settings.folder, found)
    return found


def _with_earlier(found: OpenSynthesis, earlier: OpenSynthesis | None) -> OpenSynthesis:
    """Return a result with what an earlier run found out about the same RTL and this one not."""
    if earlier is None or (earlier.family, earlier.tool) != (found.family, found.tool):
        return found
    strategies = found.strategies or earlier.strategies
    return replace(found, strategies=strategies, timing=found.timing or earlier.timing)


def _how(settings: OpenSettings, board: str) -> How:
    family = settings.family
    if family is None:
        target = load_target(settings.board or board or DEFAULT_BOARD)
        family = family_of(target.family, target.part)
    jobs = settings.jobs or cores()
    limits = Limits(settings.timeout_s, settings.memory_mb or memory_share(jobs))
    return How(choose_engine(), CellMapping(family, settings.effort), limits, jobs)


def _has_design(settings: OpenSettings) -> bool:
    return is_build(settings.folder) and (settings.folder / RTL / MANIFEST).is_file()


def _placer(settings: OpenSettings, listen: Callable[[str, str], None]) -> Placer | None:
    """Return nextpnr where it was asked for; one that is missing is said, or an error."""
    if not settings.place:
        return None
    try:
        return find_placer()
    except ToolMissing as error:
        if settings.require:
            raise
        listen("nextpnr", f"note: not run: {error.what}; {error.hint}")
        return None


def find_sources(settings: OpenSettings) -> tuple[Sources, str]:
    """Return the Verilog of a build with its board, or that of any folder with ""."""
    folder = settings.folder
    if not folder.is_dir():
        raise UsageError("there is no such folder", at=str(folder), hint="check the path")
    if is_build(folder):
        return sources_of(read_design(folder / RTL)), read_settings(folder).board
    if (folder / MANIFEST).is_file():
        return sources_of(read_design(folder)), ""
    return read_folder(folder, settings.top), ""


def is_build(folder: Path) -> bool:
    """Tell whether `qapflow build` made the folder."""
    return (folder / SETTINGS).is_file()


def store(folder: Path, found: OpenSynthesis) -> None:
    """Write the result where the report finds it."""
    write_file(folder / OPEN_SYNTHESIS, (json.dumps(encode(found), indent=1) + "\n").encode())


def stored_synthesis(folder: Path) -> OpenSynthesis | None:
    """Return the result that is stored in a build, None without one or of other RTL."""
    path = folder / OPEN_SYNTHESIS
    if not path.exists():
        return None
    found = read_as(OpenSynthesis, json.loads(path.read_text(encoding="utf-8")), OPEN_SYNTHESIS)
    with suppress(UsageError):
        if sources_of(read_design(folder / RTL)).digest == found.sources_digest:
            return found
    return None


def require_whole(found: OpenSynthesis, folder: Path) -> None:
    """Fail if a module has no result; the others are kept.

    Raises:
        ToolFailed: naming the first module and the first line of its error.
    """
    failed = [module for module in found.modules if module.status != "ok"]
    if not failed:
        return
    first = failed[0]
    tries = {
        "timed out": "give each module more time with --timeout, or fewer weights to it",
        "out of memory": "give more with --memory-mb, or run fewer side by side with --jobs 1",
    }
    kept = len(found.modules) - len(failed)
    what = f"Yosys has no result for {len(failed)} of {len(found.modules)} modules"
    what += f"; {first.name}: {first.status}: {first.detail}"
    what += f"\n  kept: the results of the other {kept}, reported as partial" if kept else ""
    log = folder / WORK / "runs" / first.name / "yosys.log"
    raise ToolFailed(what, str(log), tries.get(first.status, "read the log"))
