"""Read Vivado's `report_utilization` and `report_timing_summary`, and write the script for them."""

from __future__ import annotations

import re
from pathlib import Path

from qapflow.errors import ToolFailed
from qapflow.report.figures import Figure, Source
from qapflow.synth.result import ToolReport, count
from qapflow.synth.tables import cells, read_report

_AGAIN = "run the stage again; the tool's log tells why it stopped"

# Row name -> figure and factor. A "Block RAM Tile" is a 36 Kbit block: two BRAM18.
_ROWS: tuple[tuple[str, str, int], ...] = (
    (r"(?:CLB|Slice) LUTs\*?", "lut", 1),
    (r"(?:CLB|Slice) Registers|Registers", "ff", 1),
    (r"Block RAM Tile", "bram18", 2),
    (r"URAM", "uram", 1),
    (r"DSPs|DSP Slices", "dsp", 1),
)


def parse_utilization(path: Path, source: Source) -> ToolReport:
    """Read `report_utilization`; `source` says whether it was placed and routed.

    Raises:
        ToolFailed: the file is missing, or the LUT, register, BRAM or DSP row is.
    """
    figures: dict[str, Figure] = {}
    for line in read_report(path, "utilisation").splitlines():
        if not line.lstrip().startswith("|"):
            continue
        name, *rest = cells(line)
        for pattern, key, factor in _ROWS:
            value = count(rest[0]) if rest else None
            if key not in figures and value is not None and re.fullmatch(pattern, name):
                unit = "blocks" if key == "bram18" else ""
                figures[key] = Figure(factor * value, unit, source)
    missing = [key for key in ("lut", "ff", "bram18", "dsp") if key not in figures]
    if missing:
        what = f"the utilisation report has no row for {', '.join(missing)}"
        raise ToolFailed(what, str(path), _AGAIN)
    return ToolReport(path=path, figures=figures)


def parse_timing(path: Path, source: Source = Source.POST_ROUTE) -> ToolReport:
    """Read `report_timing_summary`: worst slacks in ns, and Fmax = 1000 / (period - WNS) in MHz.

    Raises:
        ToolFailed: the file is missing or has no design timing summary.
    """
    lines = read_report(path, "timing").splitlines()
    values = _under(lines, r"\s*WNS\(ns\)\s+TNS\(ns\)")
    if values is None:
        raise ToolFailed("the timing report has no design timing summary", str(path), _AGAIN)
    slacks = {"wns_ns": 0, "tns_ns": 1, "whs_ns": 4}
    read = {k: count(values[i]) if i < len(values) else None for k, i in slacks.items()}
    timing = {k: Figure(v, "ns", source) for k, v in read.items() if v is not None}
    period = _period(lines)
    if period is not None:
        timing["target_clock_ns"] = Figure(period, "ns", source)
        if "wns_ns" in timing and period > timing["wns_ns"].value:
            fmax = 1000.0 / (period - timing["wns_ns"].value)
            timing["fmax_mhz"] = Figure(fmax, "MHz", source)
    notes = () if "wns_ns" in timing else ("no path is constrained, so there is no slack",)
    return ToolReport(path=path, timing=timing, notes=notes)


def _under(lines: list[str], header: str) -> list[str] | None:
    """Return the words of the first line of values under a header and its dashes."""
    for number, line in enumerate(lines):
        if re.match(header, line):
            below = [text for text in lines[number + 1 : number + 4] if text.strip()]
            values = [text.split() for text in below if not re.fullmatch(r"[\s-]+", text)]
            return values[0] if values else None
    return None


def _period(lines: list[str]) -> float | None:
    """Return the period of the first clock in the clock summary: `ap_clk {0.0 2.5} 5.0 200.0`."""
    values = _under(lines, r"\s*Clock\s+Waveform\(ns\)\s+Period\(ns\)")
    match = re.search(r"\{[^}]*\}\s+([\d.]+)", " ".join(values)) if values else None
    return float(match[1]) if match else None


# Read by Vivado in batch mode. The four variables come from the C synthesis report.
IMPLEMENTATION_SCRIPT = """\
# Out-of-context implementation of the generated RTL; writes its reports beside this file.
set rtl $::env(QAPFLOW_RTL)
set part $::env(QAPFLOW_PART)
set_part $part
read_verilog [glob -directory $rtl *.v]
foreach memory [glob -nocomplain -directory $rtl *.dat] { file copy -force $memory . }
foreach ip [glob -nocomplain -directory $rtl *_ip.tcl] { source $ip }
synth_design -top $::env(QAPFLOW_TOP) -part $part -mode out_of_context
create_clock -period $::env(QAPFLOW_CLOCK_NS) -name ap_clk [get_ports ap_clk]
report_utilization -file qapflow_util_synth.rpt
opt_design
place_design
phys_opt_design
route_design
report_utilization -file qapflow_util_routed.rpt
report_timing_summary -file qapflow_timing_routed.rpt
"""
