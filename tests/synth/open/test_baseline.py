"""Recorded figures: worse is red, better and same are green, and what differs is printed."""

import json
from dataclasses import replace

import pytest

from bench.synthesis.__main__ import BASELINES, main
from bench.synthesis.models import MODELS, Model, mlp
from qapflow.errors import UsageError
from qapflow.synth.open.baseline import (
    TOLERANCES,
    Baseline,
    check,
    describe,
    read_baseline,
    record,
    write_baseline,
)
from tests.report.conftest import synthesis

FIGURES = {**dict.fromkeys(TOLERANCES, 0), "lut": 1000, "dsp": 0}
BASE = Baseline("m", "xcvu9p", "normal", {"yosys": "0.70"}, FIGURES, dict(TOLERANCES))


@pytest.mark.parametrize(
    ("name", "now", "state"),
    [
        ("lut", 1000, "same"),
        ("lut", 1020, "same"),
        ("lut", 1021, "worse"),
        ("lut", 999, "better"),
        ("dsp", 1, "worse"),
    ],
)
def test_tolerance_and_direction(name, now, state):
    rows = check(BASE, replace(BASE, figures={**FIGURES, name: now}))
    assert {row.name: row.state for row in rows if row.state != "same"} == (
        {} if state == "same" else {name: state}
    )


def test_difference_is_printed():
    now = replace(BASE, figures={**FIGURES, "lut": 1500, "dsp": 2}, tools={"yosys": "0.71"})
    assert describe(BASE, now, check(BASE, now)).splitlines() == [
        "m on xcvu9p: WORSE",
        "  worse  lut            1,000 ->     1,500  +50.0 %, up to +2 % allowed",
        "  worse  dsp                0 ->         2  +inf %, up to +0 % allowed",
        "  recorded with yosys 0.70; now yosys 0.71: make synth-baselines renews",
    ]


def test_stored_and_read(tmp_path):
    found = record("m", "xcvu9p", synthesis(), {"yosys": "9.9"})
    assert found.figures["lut"] == 610
    write_baseline(tmp_path / "m.json", found)
    assert read_baseline(tmp_path / "m.json") == found
    with pytest.raises(UsageError, match="only a partial result"):
        record("m", "xcvu9p", synthesis(status="partial"), {})
    with pytest.raises(UsageError, match="there is no baseline") as caught:
        read_baseline(tmp_path / "n.json")
    assert caught.value.hint == "make synth-baselines"
    (tmp_path / "n.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(UsageError, match="cannot be read: another format"):
        read_baseline(tmp_path / "n.json")


def test_every_model_has_its_baseline():
    assert {path.stem for path in BASELINES.glob("*.json")} == {model.name for model in MODELS}
    for model in MODELS:
        assert read_baseline(BASELINES / f"{model.name}.json").figures["lut"] > 100


@pytest.mark.slow
@pytest.mark.needs_alkaid
@pytest.mark.needs_yosys
def test_red_without_pruning_and_green_with_it(tmp_path, capsys):
    tiny = Model("tiny", lambda pruned: mlp((4, 2), 0.75 * pruned), "whole")
    go = {"baselines": tmp_path / "baselines", "work": tmp_path / "work", "models": (tiny,)}
    assert main(["check"], **go) == 2
    assert "there is no baseline" in capsys.readouterr().err
    assert main(["renew"], **go) == 0
    assert main(["check"], **go) == 0
    assert "tiny on xcvu9p: same" in capsys.readouterr().out
    assert main(["check", "--worsen"], **go) == 1
    told = capsys.readouterr()
    assert "tiny on xcvu9p: WORSE" in told.out
    assert "worse  lut " in told.out
    assert "1 of the models cost more than their baselines allow" in told.err
