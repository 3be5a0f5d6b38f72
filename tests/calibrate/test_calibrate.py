import json

import numpy as np
import pytest

from qapflow.calibrate.compare import compare
from qapflow.calibrate.projects import read_projects
from qapflow.calibrate.refine import refine, to_json
from qapflow.cli.main import main
from qapflow.errors import UsageError
from qapflow.estimate.calibration import VARIABLE, parse, read_calibration, shipped
from tests.importer.projects import write_project

SHAPE = (16, 12)


def weights():
    codes = np.random.default_rng(3).integers(-31, 32, SHAPE)
    return (codes / 32).tolist()


def project(folder, lut=9000):
    report = {"lut": lut + 300, "ff": 700, "module_lut": lut}
    return write_project(folder, weights(), [0.0] * SHAPE[1], report=report)


def lut_key():
    return ("latency", "vivado", "UltraScale+", "csynth", "lut")


def test_estimates_are_held_against_totals_and_layers(tmp_path):
    projects, skipped = read_projects([project(tmp_path / "a")])
    rows = compare(projects, shipped())
    assert skipped == []
    assert {(r.part, r.figure) for r in rows} >= {("total", "lut"), ("fc1", "lut")}
    layer = next(r for r in rows if (r.part, r.figure) == ("fc1", "lut"))
    assert layer.reported == 9000
    assert layer.key == lut_key()


def test_own_reports_move_the_calibration(tmp_path):
    folders = [project(tmp_path / str(k)) for k in range(3)]
    projects, _ = read_projects(folders)
    rows = compare(projects, shipped())
    layer = next(r for r in rows if r.key == lut_key())
    moved = refine(shipped(), rows)
    again = next(r for r in compare(projects, moved) if r.key == lut_key())
    before, after = abs(layer.estimated - 9000), abs(again.estimated - 9000)
    assert after < 0.8 * before
    assert again.inside or again.low <= 9000


def test_a_refined_calibration_is_read_again(tmp_path):
    rows = compare(read_projects([project(tmp_path)])[0], shipped())
    moved = refine(shipped(), rows)
    again = parse(to_json(moved), "here")
    assert again.models == moved.models
    assert again.version == moved.version


def test_the_command_tells_errors_and_writes_a_file(tmp_path, capsys, monkeypatch):
    output = tmp_path / "own.json"
    assert main(["calibrate", str(project(tmp_path / "a")), "-o", str(output)]) == 0
    assert "median" in capsys.readouterr().out
    monkeypatch.setenv(VARIABLE, str(output))
    assert main(["calibrate", str(tmp_path / "a"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {row["figure"] for row in facts["rows"]} >= {"lut", "ff", "dsp"}
    assert read_calibration(output).version.endswith("+own")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (None, "there is no such file or folder"),
        (lambda p: None, "the project has no C synthesis report"),
        (lambda p: (p / "csynth.xml").write_text("<profile><a>"), "the synthesis report is cut"),
        (lambda p: (p / "csynth.xml").write_text("<html></html>"), "has no resource table"),
    ],
)
def test_unusable_reports_are_named_and_skipped(tmp_path, capsys, damage, said):
    folder = tmp_path / "a"
    if damage:
        write_project(folder, weights(), [0.0] * SHAPE[1])
        damage(folder)
    assert main(["calibrate", str(folder)]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "no report could be used" in error


def test_one_good_report_is_enough(tmp_path, capsys):
    good = project(tmp_path / "good")
    assert main(["calibrate", str(good), str(tmp_path / "missing")]) == 0
    assert "skipped: " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_file_that_is_no_calibration_is_refused(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"no calibration|has format"):
        read_calibration(path)
