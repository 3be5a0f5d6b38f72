"""Synthesise a design module by module, side by side, and add the counts up."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qapflow.rtl.design import Module
from qapflow.synth.open.cells import Cells, add_cells
from qapflow.synth.open.engines import Engine
from qapflow.synth.open.kept import START_S, Kept
from qapflow.synth.open.result import ModuleArea, OpenSynthesis
from qapflow.synth.open.script import CellMapping, inner_modules, write_script
from qapflow.synth.open.sources import Sources, flattened
from qapflow.synth.open.unit import Limits, Unit, run_units
from qapflow.verify.process import Runner, cores

BATCH_LUT = 1500
"""Estimated LUT of small modules that share a process: about as long as its start."""

Listener = Callable[[str, str], None]

PER_MODULE = (
    "sum of modules synthesised one by one: logic shared across their borders is counted in each"
)


@dataclass(frozen=True)
class How:
    """What a run is made with: engine, mapping, limits, processes side by side."""

    engine: Engine
    mapping: CellMapping
    limits: Limits = field(default_factory=Limits)
    jobs: int = 0  # 0: one a core


@dataclass(frozen=True)
class Planned:
    """A module to be synthesised, and the seconds it should take, None if unknown."""

    module: Module
    key: str
    predicted_s: float | None
    known: Unit | None


def plan_run(sources: Sources, how: How, kept: Kept) -> tuple[Planned, ...]:
    """Return what is to be done for each module; `known` ones need no run."""
    found = []
    for module in sources.modules:
        script = write_script(sources, [module], how.mapping)
        key = kept.key(how.engine, sources, module, script)
        known = kept.find(key)
        seconds = 0.0 if known else kept.seconds_of(module.cost_lut)
        found.append(Planned(module, key, seconds, known))
    return tuple(found)


def batches(sources: Sources, plan: Sequence[Planned]) -> list[tuple[Planned, ...]]:
    """Return what runs in one process each, the longest first.

    Small modules that hold no other share a process: most of their time is its start.
    """
    todo = sorted((p for p in plan if not p.known), key=lambda p: -(p.module.cost_lut or 0.0))
    alone: list[Planned] = []
    small: list[Planned] = []
    for item in todo:
        cost = item.module.cost_lut
        large = cost is None or cost >= BATCH_LUT or inner_modules(sources, item.module)
        (alone if large else small).append(item)
    groups: list[list[Planned]] = []
    for item in small:
        cost = item.module.cost_lut or 0.0
        if groups and cost + sum(p.module.cost_lut or 0.0 for p in groups[-1]) <= BATCH_LUT:
            groups[-1].append(item)
        else:
            groups.append([item])
    return [*((item,) for item in alone), *map(tuple, groups)]


def predicted_seconds(plan: Sequence[Planned], processes: int, jobs: int) -> float | None:
    """Return how long the modules take side by side, None where no size is known.

    What joins modules has no estimate: it counts as the start of Yosys alone. Modules that share
    a process start once.
    """
    todo = [item for item in plan if item.known is None]
    if todo and all(item.module.cost_lut is None for item in plan):
        return None
    times = [START_S if item.predicted_s is None else item.predicted_s for item in todo]
    shared = START_S * (len(todo) - processes)
    return max([(sum(times) - shared) / max(1, jobs), *times])


def synthesise(sources: Sources, how: How, folder: Path, listen: Listener) -> OpenSynthesis:
    """Synthesise every module that is not kept from before; see `OpenSynthesis`.

    `folder` holds kept results and the logs of what ran. `listen(module, state)` hears "running",
    "cached", "done" and failures, and first a note with the predicted time. A module that fails
    leaves the result "partial"; nothing is raised for it.

    Raises:
        ToolFailed: the engine cannot be started at all.
        UsageError: the name of a file cannot be written into a script.
    """
    start = time.monotonic()
    if how.mapping.effort == "whole":
        costs = [m.cost_lut for m in sources.modules if m.cost_lut is not None]
        sources = flattened(sources, sum(costs) if costs else None)
    plan, units, predicted = run_modules(sources, how, folder, listen)
    return _together(sources, how, plan, units, predicted, time.monotonic() - start)


def run_modules(
    sources: Sources, how: How, folder: Path, listen: Listener
) -> tuple[tuple[Planned, ...], dict[str, Unit], float | None]:
    """Synthesise what is not kept; return the plan, what became of it, and the predicted time."""
    kept, jobs, runner = Kept(folder / "kept"), how.jobs or cores(), Runner()
    plan = plan_run(sources, how, kept)
    groups = batches(sources, plan)
    predicted = predicted_seconds(plan, len(groups), jobs)
    todo = sum(map(len, groups))
    if todo:
        listen("open synthesis", f"note: {_announce(todo, len(plan), predicted, jobs)}")
    units = {item.module.name: item.known for item in plan if item.known is not None}
    for name in units:
        listen(name, "cached")

    def run(group: tuple[Planned, ...]) -> list[tuple[Planned, Unit]]:
        modules = [item.module for item in group]
        listen(", ".join(module.name for module in modules), "running")
        place = folder / "runs" / modules[0].name
        made = run_units(
            runner, how.engine, sources, modules, how.mapping, folder=place, limits=how.limits
        )
        if len(group) > 1 and made[0].cells is None:  # which one is it?
            return [pair for item in group for pair in run((item,))]
        for item, unit in zip(group, made, strict=True):
            kept.keep(item.key, unit)
            listen(item.module.name, "done" if unit.cells else unit.status)
        return list(zip(group, made, strict=True))

    for pairs in runner.map(run, groups, jobs):
        units |= {item.module.name: unit for item, unit in pairs}
    return plan, units, predicted


def _announce(todo: int, modules: int, predicted: float | None, jobs: int) -> str:
    text = f"{todo} of {modules} modules to synthesise, {jobs} side by side"
    if predicted is None:
        return f"{text}; their size is unknown, so no time is predicted"
    return f"{text}; about {say_seconds(predicted)}"


def say_seconds(seconds: float) -> str:
    """Return "40 s", "3 min" or "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _together(
    sources: Sources,
    how: How,
    plan: tuple[Planned, ...],
    units: Mapping[str, Unit],
    predicted: float | None,
    seconds: float,
) -> OpenSynthesis:
    found = {name: unit.cells for name, unit in units.items() if unit.cells is not None}
    counts = count_instances(sources.top, found, [m.name for m in sources.modules])
    own = {name: without(cells, counts) for name, cells in found.items()}
    total = add_cells((counts[name], cells) for name, cells in own.items())
    cached = {item.module.name for item in plan if item.known}
    areas = tuple(
        _area(module, counts[module.name], units[module.name], own, module.name in cached)
        for module in sources.modules
    )
    costs = [a.cost_lut * a.count for a in areas if a.cost_lut is not None]
    return OpenSynthesis(
        status="ok" if len(found) == len(units) else "partial",
        tool=how.engine.words,
        family=how.mapping.family,
        effort=how.mapping.effort,
        top=sources.top,
        sources_digest=sources.digest,
        modules=areas,
        totals=total.figures(),
        least_lut=total.least + total.lut_memory,
        cost_lut=sum(costs) if costs else None,
        predicted_s=predicted,
        seconds=seconds,
        notes=(PER_MODULE,) if len(areas) > 1 else (),
    )


def _area(
    module: Module, count: int, unit: Unit, own: Mapping[str, Cells], cached: bool
) -> ModuleArea:
    cells = own.get(module.name)
    return ModuleArea(
        name=module.name,
        layers=module.layers,
        count=count,
        status=unit.status,
        detail=unit.detail,
        figures=cells.figures() if cells else {},
        least_lut=cells.least + cells.lut_memory if cells else 0,
        cost_lut=module.cost_lut,
        seconds=unit.seconds,
        peak_mb=unit.peak_mb,
        cached=cached,
    )


def without(cells: Cells, names: Mapping[str, int]) -> Cells:
    """Return cells without the instances of counted modules."""
    types = {kind: n for kind, n in cells.types.items() if kind not in names}
    return Cells(types, cells.packed, cells.least)


def count_instances(top: str, found: Mapping[str, Cells], names: list[str]) -> dict[str, int]:
    """Return how often each module stands in the design; once where the one above is unknown."""
    counts: Counter[str] = Counter()

    def visit(name: str, times: int) -> None:
        counts[name] += times
        if name in found:
            for inner in names:
                if number := found[name].types.get(inner, 0):
                    visit(inner, times * number)

    visit(top, 1)
    return {name: counts[name] or (0 if top in found else 1) for name in names}


def memory_share(jobs: int) -> int:
    """Return MB that each of `jobs` processes may take: 85 % of this machine's memory, divided."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return int(0.85 * total / max(1, jobs))
