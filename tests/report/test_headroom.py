from dataclasses import replace

import pytest

from qapflow.report.figures import Figure, Source
from qapflow.report.headroom import best_figures, board_percent, judge_fit, percent, slr_percent


def totals(source=Source.ESTIMATE, **values):
    rows = []
    for name, given in values.items():
        value, low, high = given if isinstance(given, tuple) else (given, None, None)
        rows.append((name, Figure(float(value), name, source, low, high)))
    return tuple(rows)


def test_percent_of_board_and_of_one_slr(board):
    assert board_percent(board, "lut", 3000) == 3.0
    assert slr_percent(board, "lut", 3000) == 6.0
    assert percent(5, 0) == float("inf")
    assert percent(0, 0) == 0.0


def test_the_furthest_tool_wins():
    rows = totals(Source.POST_ROUTE, lut=3) + totals(lut=1) + totals(Source.CSYNTH, lut=2)
    assert best_figures(rows)["lut"].value == 3


def test_fits_with_shares_of_board_and_slr(board):
    assert judge_fit(board, totals(lut=(9000, 8000.0, 10000.0), dsp=50)) == (
        True,
        "fits: LUT 9.0 % of the board (18.0 % of one SLR), DSP 10.0 % (20.0 %)",
    )


def test_one_die_has_no_slr_share(board):
    assert judge_fit(replace(board, slrs=1), totals(lut=9000)) == (
        True,
        "fits: LUT 9.0 % of the board",
    )


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"lut": 75_000}, "Why tight: LUT is above the guide limit of 70 %"),
        ({"lut": 1000, "ff": 110_000}, "Why tight: FF is above the guide limit of 50 %"),
        ({"lut": 1000, "bram18": 85}, "Why tight: BRAM18 is above the guide limit of 80 %"),
        ({"lut": (60_000, 1.0, 130_000.0)}, "Why tight: LUT could reach 130.0 %"),
    ],
)
def test_tight(board, figures, reason):
    fits, sentence = judge_fit(board, totals(**figures))
    assert fits
    assert sentence.startswith("tight: ")
    assert reason in sentence


def test_does_not_fit(board):
    fits, sentence = judge_fit(board, totals(lut=1000, dsp=(600, 500.0, 700.0)))
    assert not fits
    assert sentence.startswith("does not fit: ")
    assert sentence.endswith(". Too much: DSP 120.0 %")


def test_a_resource_the_board_lacks(board):
    fits, sentence = judge_fit(board, totals(uram=1))
    assert not fits
    assert "URAM of none" in sentence


def test_more_than_one_slr_is_said(board):
    _, sentence = judge_fit(board, totals(lut=60_000))
    assert "LUT needs more than one SLR" in sentence


def test_a_design_without_luts_is_not_judged(board):
    fits, sentence = judge_fit(board, totals(dsp=50))
    assert (fits, sentence) == (
        False,
        "unknown: no figure for LUT; DSP 10.0 % of the board (20.0 % of one SLR)",
    )


def test_nothing_known(board):
    assert judge_fit(board, ()) == (False, "unknown: no figure for any resource")
