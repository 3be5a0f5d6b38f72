import json
from dataclasses import replace

import pytest

from qapflow.errors import UsageError
from qapflow.report import read_report, render
from qapflow.report.figures import Figure, Source


def test_round_trip_loses_nothing(report):
    assert read_report(render(report, "json")) == report


def test_round_trip_of_infinite_figures(report):
    endless = replace(
        report, totals=(("lut", Figure(1.0, "lut", Source.ESTIMATE, 0.0, float("inf"))),)
    )
    text = render(endless, "json")
    assert "Infinity" not in text
    assert read_report(text) == endless


def test_keys_are_in_the_order_of_the_class(report):
    data = json.loads(render(report, "json"))
    assert list(data)[:4] == ["format", "passed", "model", "model_digest"]
    assert data["passed"] is False
    assert data["totals"][5] == [
        "dsp",
        {"value": 18.0, "unit": "dsp", "source": "csynth", "low": None, "high": None, "note": ""},
    ]


def test_text_that_is_no_json():
    with pytest.raises(UsageError, match="the report is not JSON"):
        read_report("{")


@pytest.mark.parametrize("text", ["{}", "[]", '{"format": "qapflow report 99"}'])
def test_another_format(text):
    with pytest.raises(UsageError, match="the report has another format"):
        read_report(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", 3), ("clock_ns", "fast"), ("clock_ns", True), ("layers", {}), ("layers", [1]),
        ("fits", 1), ("totals", [["lut"]]), ("target", {"name": "x"}), ("accuracy", []),
        ("totals", [["lut", {"value": 1, "unit": "", "source": "guess"}]]),
    ],
)  # fmt: skip
def test_damaged_reports_name_the_place(report, key, value):
    data = json.loads(render(report, "json"))
    data[key] = value
    with pytest.raises(UsageError, match="the report is damaged") as caught:
        read_report(json.dumps(data))
    assert caught.value.at.startswith(f"report.{key}")


def test_a_missing_field_is_damage(report):
    data = json.loads(render(report, "json"))
    del data["headroom"]
    with pytest.raises(UsageError, match="damaged") as caught:
        read_report(json.dumps(data))
    assert caught.value.at == "report.headroom"
