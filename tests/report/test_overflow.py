from dataclasses import replace

import numpy as np
import pytest

from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Const, Dense, Input, Quantize, Reduce
from qapflow.report import FORMATS, overflow, render
from qapflow.report.overflow import overflow_of, state_overflow
from qapflow.verify.overflow import prove_overflow

BYTE = Fixed(True, 8, 4)


def proof_of(mode, work=10**9):
    builder = NetBuilder()
    edge = builder.add_input("x", (2,), BYTE)
    edge = builder.add("fc", Dense(Const(np.array([[3], [5]]), Fixed(True, 4, 2))), edge)
    edge = builder.add("q", Quantize(Fixed(True, 6, 2), overflow=mode), edge)
    net = builder.finish((edge,))
    return prove_overflow(net, {"x": np.zeros((1, 2), np.int64)}, work)[0]


@pytest.mark.parametrize(
    ("mode", "word", "text"),
    [
        (Overflow.SAT, "saturates", "1 quantizer saturates on some inputs, as the model says: q."),
        (
            Overflow.WRAP,
            "wraps",
            "1 quantizer wraps on some inputs, which changes values altogether: q.",
        ),
    ],
)
def test_saturating_and_wrapping_quantizers_are_named(mode, word, text):
    proof = proof_of(mode)
    assert overflow_of(proof, "q") == word
    assert overflow_of(proof, "fc") == ""
    assert text in state_overflow(proof)
    first = "no accumulator can overflow: each of 1 holds every partial sum"
    assert state_overflow(proof).startswith(first)


def test_what_no_input_was_found_for_is_no_claim():
    proof = proof_of(Overflow.WRAP, work=0)
    assert overflow_of(proof, "q") == "may wrap"
    text = "Whether 1 quantizer can wrap is not excluded, and no input was found: q."
    assert text in state_overflow(proof)
    assert overflow.warnings(proof) == [
        f"q may wrap {end} its range: not excluded: {far} against {limit}, no input found"
        for end, far, limit in (("above", "15.88", "7.75"), ("below", "-16", "-8"))
    ]


def test_margin_is_that_of_the_range():
    # 8 bits times 3 and 5: -128 * 8 to 127 * 8 codes
    text = "fc reaches -1024 to 1016 of -1024 to 1023 (s11.6), 0.00 bits or 0.0 % to spare"
    assert text in state_overflow(proof_of(Overflow.SAT))


def test_a_type_too_narrow_is_said():
    nodes = (
        Node("x", Input(), (), Edge((4,), BYTE)),
        Node("sum", Reduce("sum", (0,), True), ("x",), Edge((1,), BYTE)),
    )
    text = state_overflow(prove_overflow(Net(nodes, ("sum",)), {})[0])
    assert text == "1 of 1 accumulators can overflow: sum. No quantizer can overflow either."


def test_nothing_to_overflow():
    net = Net((Node("x", Input(), (), Edge((4,), BYTE)),), ("x",))
    assert "the network sums nothing" in state_overflow(prove_overflow(net, {})[0])


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_tells_margins_wraps_and_where_the_samples_are(report, form):
    text = render(report, form)
    found = ["o accumulator can overflow", "fc", "relu", "overflow_witness.npz", "510000"]
    assert [
        word for word in found if word.replace("_", "\\_" if form == "md" else "_") not in text
    ] == []


def test_wraps_come_first_and_are_a_warning(report):
    proof = report.overflow
    assert [row[0] for row in overflow.loss_rows(proof)] == ["out", "out", "relu <1>", "relu <1>"]
    assert overflow.warnings(proof)[0] == "out wraps above its range: sample 1: 8 becomes -8"
    assert "warning: out wraps above" in render(report, "text")
    calm = replace(report, overflow=replace(proof, losses=proof.losses[:2]))
    assert "warning: out" not in render(calm, "text")


def test_long_tables_are_shortened_in_text_only(report):
    margins = tuple(replace(report.overflow.margins[0], node=f"n{i}") for i in range(40))
    long = replace(report, overflow=replace(report.overflow, margins=margins))
    assert "and 24 more in report.json" in render(long, "text")
    assert "n39" in render(long, "html")
