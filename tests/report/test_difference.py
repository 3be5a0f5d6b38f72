"""Two reports side by side: every figure with its direction, verdicts, budgets."""

import json
from dataclasses import replace

import pytest

from qapflow.cli.main import main
from qapflow.report.difference import compare_reports, judge, render_difference
from qapflow.report.figures import Figure, Source
from qapflow.report.json import render_json
from tests.report.conftest import synthesis


def with_total(report, name, value, source):
    rows = [(n, f) for n, f in report.totals if (n, f.source) != (name, source)]
    return replace(report, totals=(*rows, (name, Figure(value, name, source))))


def directions(found):
    return {(c.what, c.where): c.direction for c in found.changes if c.direction != "same"}


def test_a_build_does_not_differ_from_itself(report):
    found = compare_reports(report, report)
    assert not found.worse
    assert directions(found) == {}
    assert all(change.direction == "same" for change in found.layers)


@pytest.mark.parametrize(
    ("what", "before", "after", "percent", "expected"),
    [
        ("LUT", 100, 101, 0, "worse"),
        ("LUT", 100, 99, 0, "better"),
        ("LUT", 100, 102, 2, "same"),
        ("LUT", 100, 102.1, 2, "worse"),
        ("DSP", 0, 1, 50, "worse"),
        ("accuracy", 0.9, 0.89, 0, "worse"),
        ("accuracy", 0.9, 0.91, 0, "better"),
    ],
)
def test_direction(what, before, after, percent, expected):
    assert judge(what, before, after, percent) == expected


def test_figures_are_compared_by_source(report):
    worse = with_total(report, "dsp", 19.0, Source.CSYNTH)
    found = compare_reports(report, worse)
    assert directions(found) == {("DSP", "design, csynth"): "worse"}
    assert found.worse
    assert not compare_reports(report, worse, percent=6).worse
    assert directions(compare_reports(worse, report)) == {("DSP", "design, csynth"): "better"}


def test_figures_of_one_side_only_are_no_verdict(report):
    new = with_total(report, "dsp", 19.0, Source.POST_ROUTE)
    assert directions(compare_reports(report, new)) == {("DSP", "design, post-route"): "changed"}


def test_verdicts_and_budgets(report):
    lost = [
        replace(c, verdict="not run") if c.verdict == "equal" else c for c in report.comparisons
    ]
    broken = [replace(b, met=False) for b in report.budgets]
    after = replace(report, comparisons=tuple(lost), budgets=tuple(broken), fits=False)
    assert directions(compare_reports(report, after)) == {
        ("verdict", "Keras = interpreter"): "worse",
        ("budget", "DSP"): "worse",
        ("board", "design"): "worse",
    }
    gone = replace(report, budgets=())
    assert set(directions(compare_reports(report, gone)).values()) == {"changed"}


def test_layers_tell_where_but_do_not_judge(report):
    sparse = replace(report.layers[0], nonzero_weights=16)
    after = replace(report, layers=(sparse, *report.layers[1:]))
    found = compare_reports(report, after)
    assert not found.worse
    (change,) = [c for c in found.layers if c.direction != "same"]
    assert (change.what, change.before, change.after) == ("nonzero weights", "32", "16")
    assert change.direction == "better"


def test_texts(report, golden):
    totals = {**synthesis().totals, "carry": 90}
    after = with_total(report, "lut", 8000.0, Source.ESTIMATE)
    after = with_total(after, "dsp", 20.0, Source.CSYNTH)
    after = replace(after, clock_ns=4.0, open_synthesis=synthesis(totals=totals))
    found = compare_reports(report, after)
    data = json.loads(render_difference(found, "json"))
    assert data["worse"] is True
    assert [row["what"] for row in data["changes"] if row["direction"] == "worse"] == [
        "DSP",
        "CARRY",
    ]
    text = render_difference(found, "text")
    assert max(map(len, text.splitlines())) <= 100
    assert text + "\n" + render_difference(found, "markdown") == golden


def test_command(report, tmp_path, capsys):
    folders = []
    for name, dsp in (("before", 18.0), ("after", 20.0)):
        folder = tmp_path / name
        folder.mkdir()
        changed = with_total(report, "dsp", dsp, Source.CSYNTH)
        (folder / "report.json").write_text(render_json(changed))
        folders.append(str(folder))
    assert main(["diff", *folders]) == 0
    assert "DSP" in capsys.readouterr().out
    assert main(["diff", *folders, "--fail"]) == 1
    assert main(["diff", *folders, "--fail", "--tolerance", "12"]) == 0
    assert main(["diff", *reversed(folders), "--fail"]) == 0
    capsys.readouterr()
    files = [f"{folder}/report.json" for folder in folders]
    assert main(["diff", *files, "--format", "json", "--fail"]) == 1
    assert json.loads(capsys.readouterr().out)["worse"] is True
    assert main(["diff", folders[0], str(tmp_path)]) == 2
    assert "there is no report here" in capsys.readouterr().err
    assert main(["diff", *folders, "--tolerance", "-1"]) == 2
