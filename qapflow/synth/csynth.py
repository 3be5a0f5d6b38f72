"""Read `csynth.xml` and `NAME_csynth.xml` of Vivado HLS and Vitis HLS.

`csynth.xml` is about the top and lists all modules; each module has its own `NAME_csynth.xml`,
and that one is authoritative: the list gives a module another initiation interval.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from qapflow.errors import ToolFailed
from qapflow.report.figures import Figure, Source
from qapflow.synth.result import RESOURCES, ToolReport, count, spread

_LATENCY = "PerformanceEstimates/SummaryOfOverallLatency"
_TIMING = "PerformanceEstimates/SummaryOfTimingAnalysis"
_BIGGEST = 200 * 2**20  # bytes; a report is some megabytes


def parse_csynth_xml(path: Path) -> ToolReport:
    """Read one XML report: top figures, available totals, and modules where it lists them.

    Raises:
        ToolFailed: the file is missing, cut off, or not such a report.
    """
    root = _root(path)
    resources = _resources(root.find("AreaEstimates/Resources"))
    if not resources:
        raise ToolFailed("the synthesis report has no resource table", str(path), _AGAIN)
    facts = {
        "version": _text(root, "ReportVersion/Version"),
        "part": _text(root, "UserAssignments/Part"),
        "top": _text(root, "UserAssignments/TopModelName"),
    }
    figures = {**_cycles(root), **resources}
    notes: tuple[str, ...] = ()
    if "latency_cycles" not in figures:
        notes = (f"{path.name} gives no latency: a loop has no fixed trip count",)
    return ToolReport(
        path=path,
        figures=figures,
        modules=_modules(root),
        timing=_timing(root),
        available=_available(root.find("AreaEstimates/AvailableResources")),
        facts={key: value for key, value in facts.items() if value},
        notes=notes,
    )


def read_folder(folder: Path) -> ToolReport:
    """Read all XML reports of one `syn/report` folder; errors as in `parse_csynth_xml`."""
    paths = sorted(folder.glob("*_csynth.xml"))
    whole = folder / "csynth.xml"
    top = parse_csynth_xml(whole if whole.is_file() or not paths else paths[0])
    name = top.facts.get("top", "")
    modules = dict(top.modules)
    for path in paths:
        module = path.name.removesuffix("_csynth.xml")
        report = parse_csynth_xml(path)
        modules[module] = report.figures
        if module == name:
            top = report
    modules.pop(name, None)
    return replace(top, modules=modules)


_AGAIN = "run the synthesis again; the tool's log tells why it stopped"


def _root(path: Path) -> ET.Element:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        what = f"the synthesis report cannot be read: {error.strerror or error}"
        raise ToolFailed(what, str(path), _AGAIN) from error
    if len(text) > _BIGGEST or "<!DOCTYPE" in text[:1000] or "<!ENTITY" in text:
        raise ToolFailed("this is no report of the vendor's tools", str(path), _AGAIN)
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise ToolFailed(f"the synthesis report is cut off: {error}", str(path), _AGAIN) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # some releases have a namespace
    return root


def _text(element: ET.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _resources(table: ET.Element | None) -> dict[str, Figure]:
    found = {}
    for cell in table if table is not None else ():
        name, value = RESOURCES.get(cell.tag), count(cell.text)
        if name and value is not None:
            found[name] = Figure(value, "blocks" if name == "bram18" else "", Source.CSYNTH)
    return found


def _available(table: ET.Element | None) -> dict[str, int]:
    found = _resources(table)
    return {name: int(figure.value) for name, figure in found.items()}


def _cycles(element: ET.Element) -> dict[str, Figure]:
    """Read latency and initiation interval of the top or of one module."""
    summary = element.find(_LATENCY)
    if summary is None:
        return {}
    latency = spread(
        _text(summary, "Best-caseLatency"),
        _text(summary, "Worst-caseLatency"),
        "cycles",
        Source.CSYNTH,
    )
    low, high = _text(summary, "Interval-min"), _text(summary, "Interval-max")
    # Without these two, the report is silent: PipelineInitiationInterval is of an inner loop.
    interval = spread(low, high, "cycles", Source.CSYNTH)
    found = {"latency_cycles": latency, "ii_cycles": interval}
    return {name: figure for name, figure in found.items() if figure is not None}


def _timing(root: ET.Element) -> dict[str, Figure]:
    cells = {
        "target_clock_ns": _text(root, "UserAssignments/TargetClockPeriod"),
        "estimated_clock_ns": _text(root, f"{_TIMING}/EstimatedClockPeriod"),
    }
    read = {name: count(text) for name, text in cells.items()}
    return {n: Figure(v, "ns", Source.CSYNTH) for n, v in read.items() if v is not None}


def _modules(root: ET.Element) -> dict[str, Mapping[str, Figure]]:
    found: dict[str, Mapping[str, Figure]] = {}
    for module in root.iterfind("ModuleInformation/Module"):
        name = _text(module, "Name")
        if name:
            found[name] = {**_cycles(module), **_resources(module.find("AreaEstimates/Resources"))}
    return found
