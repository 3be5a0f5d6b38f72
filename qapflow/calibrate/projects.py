"""Find a project behind each path a user gives: its network, its plan, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qapflow.boards import load_target
from qapflow.errors import QapflowError, UsageError
from qapflow.importer import read_project
from qapflow.importer.sources import Sources, read_sources
from qapflow.ir.net import Net
from qapflow.plan import Plan
from qapflow.plan.to_json import plan_from_json
from qapflow.report.figures import Source
from qapflow.synth.csynth import parse_csynth_xml, read_folder
from qapflow.synth.result import ToolReport
from qapflow.synth.text_reports import parse_csynth_rpt
from qapflow.synth.vivado import parse_utilization
from qapflow.target import Target

_HINT = "give an hls4ml project directory with its report, or a folder made by qapflow build"


@dataclass(frozen=True)
class Project:
    """A design with the figures that tools reported: of the whole, and by name of its modules.

    `whole` tells whether the network has all layers, so that totals can be compared.
    """

    folder: Path
    net: Net
    plan: Plan
    target: Target
    report: ToolReport
    synthesis: ToolReport | None
    layer_of: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True


def read_projects(paths: Sequence[Path]) -> tuple[list[Project], list[str]]:
    """Return the usable projects, and one line for each path that is not, saying why."""
    projects, skipped = [], []
    seen: set[Path] = set()
    for path in paths:
        try:
            folder = project_folder(path)
            if folder in seen:
                continue
            seen.add(folder)
            projects.append(_read(folder))
        except QapflowError as error:
            skipped.append(f"{path}: {' '.join(str(error).split())}")
    return projects, skipped


def project_folder(path: Path) -> Path:
    """Return the project a path lies in: a build of qapflow, or the next folder with firmware/.

    Raises:
        UsageError: the path does not exist, or no project is around it.
    """
    if not path.exists():
        raise UsageError("there is no such file or folder", str(path), _HINT)
    for folder in (path.resolve(), *path.resolve().parents):
        if (folder / "plan.json").is_file():
            return folder
        if (folder / "firmware").is_dir():
            # The project inside a build is read with its plan.
            return folder.parent if (folder.parent / "plan.json").is_file() else folder
    raise UsageError("no project belongs to it", str(path), _HINT)


def _read(folder: Path) -> Project:
    report, synthesis = _report(folder), _synthesis(folder)
    if (folder / "plan.json").is_file():
        net, plan, target = _own_build(folder)
        sources = _own_sources(folder)
        if sources:
            _check_top(report, sources.top)
        calls = sources.calls if sources else ()
        layer_of = {c.templates[-1]: c.name for c in calls if c.name in net.by_name}
        return Project(folder, net, plan, target, report, synthesis, layer_of)
    found = read_project(folder)
    _check_top(report, found.top)
    return Project(
        folder,
        found.net,
        found.plan,
        found.target,
        report,
        synthesis,
        found.layer_of,
        whole=not found.unknown,
    )


def _check_top(report: ToolReport, top: str) -> None:
    """Refuse a report of another design."""
    told = report.facts.get("top", top)
    if told != top:
        what = f"the synthesis report is of {told!r}, the project's top function is {top!r}"
        raise UsageError(what, str(report.path), "put the report of this project in its place")


def _own_build(folder: Path) -> tuple[Net, Plan, Target]:
    from qapflow.ir.text import read_net
    from qapflow.steps.context import NET, PLAN, read_settings

    try:
        net = read_net((folder / NET).read_text(encoding="utf-8"))
        plan = plan_from_json((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the build is not whole: {error}", str(folder), _HINT) from error
    return net, plan, load_target(read_settings(folder).board)


def _own_sources(folder: Path) -> Sources | None:
    """Return the firmware of a build, whose calls name the configuration of each node."""
    from qapflow.steps.context import PROJECT

    try:
        return read_sources(folder / PROJECT)
    except UsageError:  # kernels all of qapflow's own, or a project that was moved away
        return None


def _report(folder: Path) -> ToolReport:
    """Return the C synthesis report of a project, XML before text."""
    xml = sorted(folder.rglob("syn/report/*csynth.xml"))
    if xml:
        return read_folder(xml[0].parent)
    loose = sorted(folder.rglob("*csynth.xml"))
    if loose:
        return parse_csynth_xml(loose[0])
    text = sorted(folder.rglob("*_csynth.rpt"), key=lambda path: (len(path.name), path))
    if not text:
        raise UsageError("the project has no C synthesis report", str(folder), _HINT)
    return parse_csynth_rpt(text[0])


def _synthesis(folder: Path) -> ToolReport | None:
    """Return the utilisation report of logic synthesis, None without a readable one."""
    for path in sorted((*folder.rglob("vivado_synth.rpt"), *folder.rglob("util_synth.rpt"))):
        try:
            return parse_utilization(path, Source.POST_SYNTH)
        except QapflowError:
            continue
    return None
