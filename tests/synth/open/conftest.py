"""A Yosys that does what a test asks for, and small Verilog."""

import sys
import textwrap

import pytest

from qapflow.rtl.design import Module
from qapflow.synth.open.engines import find_engines
from qapflow.synth.open.sources import Sources

ADDER = b"module adder(input [7:0] a, b, output [8:0] s); assign s = a + b; endmodule\n"
TOP = b"""module top(input clk, input [7:0] a, b, c, output reg [8:0] x, y);
  wire [8:0] p, q;
  adder first(.a(a), .b(b), .s(p));
  adder second(.a(b), .b(c), .s(q));
  always @(posedge clk) begin x <= p; y <= q; end
endmodule
"""
NETLIST = """.model adder
.subckt LUT2 I0=a I1=b O=s
.subckt LUT6 I0=a I1=b I2=c I3=d I4=e I5=f O=t
.end
"""

FAKE = """\
    #!{python}
    import os, pathlib, sys, time
    if sys.argv[1:] == ["-V"]:
        print("Yosys 9.9 (git sha1 0123)")
        sys.exit(0)
    script = pathlib.Path("script.ys").read_text()
    name = script.partition("hierarchy -check -top ")[2].split()[0]
    with open({log!r}, "a") as stream:
        stream.write(name + "\\n")
    if name in {fail!r}:
        {action}
    names = [name]
    if name == "qapflow_batch":
        names = [line.split()[3] for line in open("batch.v") if "keep" in line]
    text = "".join({netlist!r}.replace("adder", one) for one in names)
    pathlib.Path("netlist.blif").write_text(text)
"""


@pytest.fixture
def fake(tmp_path):
    """Return a maker of fake engines: fake(action, fail) -> (Engine, names it ran)."""

    def make(action="pass", fail=(), netlist=NETLIST):
        path, log = tmp_path / "bin" / "yosys", tmp_path / "ran.txt"
        path.parent.mkdir(exist_ok=True)
        text = textwrap.dedent(FAKE)
        path.write_text(
            text.format(
                python=sys.executable, log=str(log), fail=fail, action=action, netlist=netlist
            )
        )
        path.chmod(0o755)
        (engine,) = find_engines({"YOSYS": str(path), "PATH": ""})
        return engine, lambda: sorted(log.read_text().split()) if log.exists() else []

    return make


@pytest.fixture
def two_level():
    """A top with two adders."""
    adder = Module("adder", ("dense",), ("adder.v",), 8.0)
    top = Module("top", (), ("top.v", "adder.v"), None)
    return Sources("top", (adder, top), {"adder.v": ADDER, "top.v": TOP})
