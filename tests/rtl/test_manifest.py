"""The manifest gives back the design it was made of."""

import json

import pytest

from qapflow.errors import UsageError
from qapflow.ir.fixed import Fixed
from qapflow.rtl.design import Design, Module, Port
from qapflow.rtl.manifest import read_design, write_manifest

DESIGN = Design(
    top="net",
    language="verilog",
    form="unrolled",
    inputs=(Port("x", "input_1", Fixed(True, 8, 4), (4, 2)),),
    outputs=(Port("y", "dense", Fixed(False, 3, -1), (5,), 9),),
    modules=(Module("stage0", ("dense", "relu"), ("stage0.v",), 12.5), Module("net", (), (), None)),
    files={"stage0.v": b"module stage0; endmodule\n", "sub/net.v": b"\xff"},
    clock_ns=5.0,
    cost_lut=None,
)


def store(folder):
    for path, content in {**DESIGN.files, "design.json": write_manifest(DESIGN)}.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)


def test_there_and_back(tmp_path):
    store(tmp_path)
    assert read_design(tmp_path) == DESIGN


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UsageError, match="no complete RTL here: No such file"):
        read_design(tmp_path)
    store(tmp_path)
    (tmp_path / "stage0.v").unlink()
    with pytest.raises(UsageError) as caught:
        read_design(tmp_path)
    assert caught.value.at.endswith("stage0.v")
    assert caught.value.hint == "run qapflow build with --rtl"


@pytest.mark.parametrize(
    ("change", "what"),
    [({"format": "x"}, "another version"), ({"modules": 3}, "damaged"), ({"files": 3}, "damaged")],
)
def test_other_content_is_refused(tmp_path, change, what):
    store(tmp_path)
    path = tmp_path / "design.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UsageError, match=what):
        read_design(tmp_path)
