from dataclasses import replace

import pytest

from qapflow.report.budgets import check_budgets
from qapflow.report.figures import Comparison, Difference, Figure, Source
from qapflow.steps.settings import Budgets

EQUAL = Comparison("Keras", "interpreter", "equal", 1000, 8000, 0)
FIRST = Difference("e", "fc2", 0, (0,), 0, 1, 0.0, 1.0, "")


def check(report, comparisons=(), **limits):
    (row,) = check_budgets(Budgets(**limits), replace(report, comparisons=tuple(comparisons)))
    return row


def test_no_limit_no_row(report):
    assert check_budgets(Budgets(), report) == ()


@pytest.mark.parametrize(
    ("limit", "met", "culprit"), [(9.5, True, ""), (9.0, False, "fc|1 (QDense, 9,000 LUT)")]
)
def test_lut_percent_of_the_board(report, limit, met, culprit):
    row = check(report, max_lut_percent=limit)
    assert (row.actual, row.met, row.culprit) == (9.04, met, culprit)
    assert row.source == ("estimate, could reach 12.12" if met else "estimate")


def test_dsp_of_the_furthest_tool(report):
    row = check(report, max_dsp=19)
    assert (row.actual, row.met, row.source) == (18.0, True, "csynth")


def test_latency_in_ns_names_the_slowest_layer(report):
    row = check(report, max_latency_ns=59.9)
    assert (row.actual, row.met) == (60.0, False)
    assert row.culprit == "fc|1 (QDense, 2 cycles)"


def test_an_interval_beyond_the_limit_is_said(report):
    row = check(report, max_latency_ns=60.0)
    assert (row.met, row.source) == (True, "estimate, could reach 75")


def test_a_limit_that_is_reached_is_met(report):
    assert check(report, max_latency_ns=60.0).met


def test_an_unknown_figure_is_not_met(report):
    row = check(replace(report, totals=()), max_dsp=10)
    assert (row.actual, row.met, row.source) == (None, False, "no figure")


def test_no_cost_no_culprit(report):
    row = check(
        replace(report, layers=(), totals=(("dsp", Figure(3.0, "dsp", Source.CSYNTH)),)), max_dsp=2
    )
    assert (row.met, row.culprit) == (False, "")


def test_mismatches_against_keras(report):
    assert check(report, (EQUAL,), max_mismatch=0).met
    wrong = replace(EQUAL, verdict="different", mismatches=3, first=FIRST)
    row = check(report, (EQUAL, wrong), max_mismatch=2)
    assert (row.actual, row.met, row.culprit, row.source) == (3.0, False, "fc2", "1,000 samples")
    assert check(report, (wrong,), max_mismatch=3).met


def test_keras_that_did_not_run_is_not_met(report):
    skipped = Comparison("Keras", "interpreter", "not run", note="keras is not installed")
    row = check(report, (skipped,), max_mismatch=0)
    assert (row.actual, row.met, row.culprit) == (None, False, "keras is not installed")
    assert check(report, (), max_mismatch=0).culprit == "Keras was not run"
