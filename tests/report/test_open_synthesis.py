"""Cells by Yosys in the report: said to be of another source, never in place of the estimate."""

from dataclasses import replace

from qapflow.report.figures import Figure, Source
from qapflow.report.headroom import best_figures
from qapflow.report.open_synthesis import (
    headline,
    open_synthesis_tools,
    open_synthesis_totals,
    render_open_synthesis,
)
from tests.report.conftest import estimated, module_area, synthesis


def test_text(golden):
    assert render_open_synthesis(synthesis()) == golden


def test_partial_result_says_so_and_gives_no_totals():
    broken = module_area("stage0", status="failed")
    found = synthesis(status="partial", modules=(broken, module_area("top", lut=4)))
    assert headline(found).endswith("; PARTIAL: 1 module without a result")
    text = render_open_synthesis(found)
    assert "stage0: failed: ERROR: syntax <error> in line 7" in text
    assert "sum of these" in text
    assert "total" not in text
    assert open_synthesis_totals(found) == ()
    (tool,) = open_synthesis_tools(found)
    assert (tool.version, tool.status) == ("9.9", "failed")


def test_totals_carry_source_and_tool():
    totals = dict(open_synthesis_totals(synthesis()))
    tag = "yosys 9.9, not Vivado"
    assert totals["lut"] == Figure(509, "lut", Source.OPEN_SYNTH, 490, 610, tag)
    assert totals["ff"] == Figure(77, "ff", Source.OPEN_SYNTH, note=tag)
    assert open_synthesis_totals(None) == ()


def test_other_hardware_never_stands_in_for_the_estimate():
    guess = estimated(900.0, "lut")
    cells = Figure(700.0, "lut", Source.OPEN_SYNTH)
    cycles = Figure(9.0, "cycles", Source.RTL_SIM)
    rows = [("lut", guess), ("lut", cells), ("latency_cycles", cycles)]
    assert best_figures(rows) == {"lut": guess}
    tool = replace(guess, source=Source.CSYNTH)
    assert best_figures([*rows, ("lut", tool)]) == {"lut": tool}
