"""Read text reports: `TOP_csynth.rpt`, Vitis' `csynth.rpt`, and `TOP_cosim.rpt`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from qapflow.errors import ToolFailed
from qapflow.report.figures import Figure, Source
from qapflow.synth.result import RESOURCES, ToolReport, count, spread
from qapflow.synth.tables import Table, cells, read_report, tables

_AGAIN = "run the stage again; the tool's log tells why it stopped"


def parse_csynth_rpt(path: Path) -> ToolReport:
    """Read a C synthesis report in text: of one function, or Vitis' table of all of them.

    Raises:
        ToolFailed: the file is missing, or has neither kind of resource table.
    """
    text = read_report(path, "synthesis")
    found = tables(text.splitlines())
    for table in found:
        if table.header and table.header[0].startswith("Modules"):
            return _hierarchy(path, table)
    totals = [(table, row) for table in found for row in table.rows if row[0] == "Total"]
    if not totals:
        raise ToolFailed("the synthesis report has no resource table", str(path), _AGAIN)
    area, total = totals[0]
    figures = {**_latency(text), **_row(area, total)}
    return ToolReport(
        path=path,
        figures=figures,
        modules=_instances(found),
        timing=_clock(found),
        available=_available(area),
    )


def _row(table: Table, row: tuple[str, ...]) -> dict[str, Figure]:
    """Return the resources in one row."""
    found = {}
    for title, cell in zip(table.header, row, strict=False):
        name, value = RESOURCES.get(title), count(cell)
        if name and value is not None:
            found[name] = Figure(value, "blocks" if name == "bram18" else "", Source.CSYNTH)
    return found


def _available(table: Table) -> dict[str, int]:
    row = next((row for row in table.rows if row[0] == "Available"), None)
    return {k: int(v.value) for k, v in _row(table, row).items()} if row else {}


def _latency(text: str) -> dict[str, Figure]:
    """Read the first latency table; its header has merged cells, so columns go by number."""
    lines = text.splitlines()
    start = next((k for k, line in enumerate(lines) if re.match(r"\s*\|\s*Latency", line)), None)
    if start is None:
        return {}
    rows = [cells(line) for line in lines[start : start + 6] if line.lstrip().startswith("|")]
    values = next((row for row in rows if len(row) >= 5 and row[0] != "min"), None)
    absolute = any("absolute" in cell for cell in rows[0])
    if values is None or count(values[0]) is None:
        return {}
    first = 4 if absolute else 2
    found = {
        "latency_cycles": spread(values[0], values[1], "cycles", Source.CSYNTH),
        "ii_cycles": spread(values[first], (*values, None)[first + 1], "cycles", Source.CSYNTH),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _clock(found: list[Table]) -> dict[str, Figure]:
    for table in found:
        target, estimated = table.column("Target"), table.column("Estimated")
        if target is None or estimated is None or not table.rows:
            continue
        read = {
            "target_clock_ns": count(table.rows[0][target]),
            "estimated_clock_ns": count(table.rows[0][estimated]),
        }
        return {n: Figure(v, "ns", Source.CSYNTH) for n, v in read.items() if v is not None}
    return {}


def _instances(found: list[Table]) -> dict[str, Mapping[str, Figure]]:
    """Read the table of instances: resources of each module (the last instance of a module)."""
    modules: dict[str, Mapping[str, Figure]] = {}
    for table in found:
        column = table.column("Module")
        if table.column("Instance") is None or column is None:
            continue
        for row in table.rows:
            if len(row) > column and row[column] and row[0] != "Total":
                modules.setdefault(row[column], {})
                modules[row[column]] = {**modules[row[column]], **_row(table, row)}
    return modules


def _hierarchy(path: Path, table: Table) -> ToolReport:
    """Read Vitis' indented table: `+ name` is a function, `o name` a loop; the first is the top.

    Its column "Interval" is left alone for modules: their own reports say otherwise.
    """
    latency = table.column("Latency (cycles)", "Latency(cycles)")
    interval = table.column("Interval")
    modules: dict[str, Mapping[str, Figure]] = {}
    for row in table.rows:
        name = row[0].strip()
        if not name.startswith("+") or len(row) != len(table.header):
            continue
        cycles = {
            "latency_cycles": None if latency is None else count(row[latency]),
            "ii_cycles": None if interval is None or modules else count(row[interval]),
        }
        modules[name.lstrip("+ ").rstrip("*")] = {
            **{n: Figure(v, "cycles", Source.CSYNTH) for n, v in cycles.items() if v is not None},
            **_row(table, row),
        }
    if not modules:
        raise ToolFailed("the synthesis report lists no function", str(path), _AGAIN)
    top = next(iter(modules))
    return ToolReport(path=path, figures=modules.pop(top), modules=modules, facts={"top": top})


def parse_cosim_rpt(path: Path) -> ToolReport:
    """Read a co-simulation report; `facts["status"]` is `Pass` or `Fail`.

    Raises:
        ToolFailed: the file is missing, or no language was simulated.
    """
    text = read_report(path, "co-simulation")
    for line in text.splitlines():
        row = cells(line)
        if row[0] not in ("VHDL", "Verilog") or len(row) < 8:
            continue
        if row[1].casefold() not in ("pass", "fail"):
            continue
        figures = {
            "latency_cycles": spread(row[2], row[4], "cycles", Source.COSIM),
            "ii_cycles": spread(row[5], row[7], "cycles", Source.COSIM),
        }
        return ToolReport(
            path=path,
            figures={name: figure for name, figure in figures.items() if figure is not None},
            facts={"status": row[1].capitalize(), "language": row[0]},
        )
    raise ToolFailed("the co-simulation report has no result", str(path), _AGAIN)
