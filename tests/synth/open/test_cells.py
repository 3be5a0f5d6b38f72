"""Counting cells, and pairing LUTs on one site."""

import pytest

from qapflow.errors import UsageError
from qapflow.synth.open.cells import Cells, Lut, add_cells, read_blif
from qapflow.synth.open.families import family_of
from qapflow.synth.open.packing import count_packed


def lut(inputs, carries=False):
    return Lut(frozenset(inputs), carries)


def test_every_kind_has_its_figure():
    types = {
        "LUT1": 1, "INV": 2, "LUT6": 4, "RAM32M16": 1, "SRL16E": 3, "FDRE": 5, "FDSE": 1,
        "CARRY4": 2, "MUXF7": 1, "DSP48E2": 3, "RAMB18E2": 1, "RAMB36E2": 2,
    }  # fmt: skip
    figures = Cells(types, packed=6, least=5).figures()
    assert figures == {
        "lut": 7 + 8 + 3, "lut_packed": 6 + 11, "lut_memory": 11, "lut1": 3, "lut2": 0, "lut3": 0,
        "lut4": 0, "lut5": 0, "lut6": 4, "ff": 6, "carry": 2, "muxf": 1, "dsp": 3, "bram18": 5,
        "uram": 0,
    }  # fmt: skip


def test_netlist_gives_cells_and_nets():
    text = """.model top
.inputs a b
.subckt LUT2 I0=a I1=b O=s[0]
.subckt LUT2 I0=a I1=$true O=t
.subckt CARRY4 CI=$false CYINIT=$false S[0]=s[0] S[1]=$false DI[0]=a O[0]=y
.subckt $scopeinfo
.subckt INV I=t O=u
.end
"""
    ((name, (types, luts)),) = read_blif(text).items()
    assert name == "top"
    assert types == {"LUT2": 2, "CARRY4": 1, "INV": 1}
    assert luts == (lut("ab", carries=True), lut("a"), lut("t"))


def test_sums_count_instances():
    total = add_cells([(2, Cells({"LUT2": 3}, 2, 1)), (1, Cells({"FDRE": 1}, 1, 1))])
    assert total == Cells({"LUT2": 6, "FDRE": 1}, 5, 3)


@pytest.mark.parametrize(
    ("luts", "expected"),
    [
        ([lut("abcdef")] * 3, (3, 3)),  # six inputs: a site each
        ([lut("ab"), lut("bc")], (1, 1)),
        ([lut("abc"), lut("cde")], (1, 1)),  # five inputs together
        ([lut("abc"), lut("cdef")], (2, 2)),  # six inputs together
        ([lut("ab"), lut("cd")], (2, 1)),  # nothing in common
        ([lut("ab", True), lut("bc", True)], (2, 2)),  # both need the output of the carry chain
        ([lut("ab", True), lut("bc")], (1, 1)),
        ([lut("ab"), lut("ab"), lut("ab")], (2, 2)),
        ([], (0, 0)),
    ],
)
def test_pairs(luts, expected):
    assert count_packed(tuple(luts)) == expected


def test_families():
    assert family_of("zynq-7000", "xc7z020clg400-1") == "xc7"
    assert family_of("virtex-ultrascale+", "xcvu9p") == "xcup"
    with pytest.raises(UsageError, match="no cells for the family 'versal'") as caught:
        family_of("versal", "xcvc1902")
    assert "--family xcup" in caught.value.hint
