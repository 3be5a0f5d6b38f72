from dataclasses import replace

import pytest

from qapflow.report import words
from qapflow.report.figures import Figure, Source
from qapflow.report.plots import axis, nice_limit, range_plot


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1500, "1.5k"),
        (12345, "12.3k"),
        (99960, "100k"),
        (1.2e6, "1.2M"),
        (5e9, "5.0e+09"),
    ],
)
def test_short_numbers(value, text):
    assert words.short(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(12345, "12,345"), (0.5, "0.5"), (float("inf"), "unbounded")]
)
def test_counts(value, text):
    assert words.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0 %"), (0.01, "< 0.1 %"), (12.34, "12.3 %"), (float("inf"), "has none")],
)
def test_shares(value, text):
    assert words.share(value) == text


def test_control_characters_are_shown():
    assert words.printable("a\x1b[0m\nb") == "a\\x1b[0m\\x0ab"


def test_intervals_without_width_are_silent():
    assert words.span(Figure(1.0, "", Source.ESTIMATE, 1.0, 1.0)) == ""
    assert words.span(Figure(1.0, "", Source.CSYNTH)) == ""
    assert words.span(Figure(1.0, "", Source.ESTIMATE, 0.0, 2500.0)) == "0 to 2,500"


def test_verdicts(report):
    assert words.judge(report).headline == "interpreter and C simulation differ"
    equal = replace(report, comparisons=report.comparisons[:1])
    verdict = words.judge(equal)
    assert (verdict.state, verdict.headline) == ("failed", "1 budget not met")
    assert "latency, ns: 60 of at most 50 (fc|1)" in verdict.detail
    assert "Verified: Keras = interpreter" in verdict.detail
    passed = words.judge(replace(equal, budgets=()))
    assert (passed.state, passed.headline) == ("passed", "Keras = interpreter")
    none = words.judge(replace(report, comparisons=(), budgets=()))
    assert (none.state, none.detail) == ("unverified", "no comparison was run")


def test_throughput(report):
    assert words.interval_text(report) == "every 1 cycle: 200.0 million samples a second"
    slow = (("ii_cycles", Figure(1e6, "cycles", Source.CSYNTH)),)
    assert words.interval_text(replace(report, totals=slow)).endswith(
        "0.2 thousand samples a second"
    )
    assert words.interval_text(replace(report, totals=())) == ""


def test_latency_in_cycles_and_ns(report):
    assert words.latency_text(report) == "12 cycles = 60 ns (9 to 15 cycles, 45 to 75 ns)"


def test_notes_of_estimates_are_gathered(report):
    assert words.estimate_notes(report) == ("estimates are uncalibrated for vitis (quantize)",)


@pytest.mark.parametrize(
    ("value", "limit"), [(0.3, 0.4), (1, 1), (3, 4), (5, 8), (9, 10), (0, 1), (float("inf"), 1)]
)
def test_axes_end_at_round_numbers(value, limit):
    assert nice_limit(value) == pytest.approx(limit)
    assert [text for _, text in axis(8.0)] == ["0", "2", "4", "6", "8"]


def test_ranges_stay_inside_their_types():
    rows = [("a", "s8.4", "", (-8.0, 7.9), (0.0, 0.0)), ("b", "u4.-2", "wraps", None, (0.0, 60.0))]
    plot = range_plot(rows)
    for row in plot.rows:
        outer = row.bars[0]
        for bar in row.bars[1:]:
            assert bar.x == outer.x
            assert bar.width <= outer.width + 0.01
    assert plot.rows[1].marks[0][1] == "clip"
    assert range_plot([]) is None


def test_how_a_layer_is_built(report):
    (plain, *_) = report.layers
    assert words.built_as(replace(plain, strategy="")) == ""
    assert words.built_as(plain) == "latency, RF 1"
    assert words.built_as(replace(plain, written_out=True)) == "latency, written out"
