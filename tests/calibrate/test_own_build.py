"""`qapflow calibrate` on folders that qapflow itself built, and on projects with convolutions."""

import json
import shutil
from pathlib import Path

import pytest

from qapflow.api import build
from qapflow.calibrate.projects import read_projects
from qapflow.cli.main import main
from tests.importer.projects import CSYNTH

ROOT = Path(__file__).parents[2]
REPORT = "hls/digits_prj/solution1/syn/report/csynth.xml"
FILES = ("plan.json", "net/optimised.net", ".qapflow/settings.json", REPORT)

pytestmark = pytest.mark.needs_hls4ml


def report_of(top, **figures):
    text = CSYNTH.format(**({"lut": 40000, "ff": 700, "module_lut": 20000} | figures))
    return text.replace("<TopModelName>myproject<", f"<TopModelName>{top}<")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "build"
    model = ROOT / "examples/digits/digits.h5"
    build(str(model), board="xcvu9p", output=str(folder), csim=False, keras="no")
    path = folder / REPORT
    path.parent.mkdir(parents=True)
    path.write_text(report_of("digits"))
    return folder


@pytest.mark.parametrize("inside", ["", "hls", REPORT])
def test_a_build_is_found_from_any_path_inside(built, inside):
    (project,), skipped = read_projects([built / inside])
    assert skipped == []
    assert project.folder == built.resolve()
    assert project.layer_of["config2"] == "dense_1"


def test_totals_and_layers_of_a_build_are_compared_and_refined(
    built, tmp_path, capsys, monkeypatch
):
    output = tmp_path / "own.json"
    assert main(["calibrate", str(built), "-o", str(output), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    before = {(r["part"], r["figure"]): r for r in rows}
    assert before["total", "lut"]["reported"] == 40000
    assert before["dense_1", "lut"]["reported"] == 20000
    monkeypatch.setenv("QAPFLOW_CALIBRATION", str(output))
    assert main(["calibrate", str(built), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    after = next(r for r in rows if (r["part"], r["figure"]) == ("dense_1", "lut"))
    error = abs(before["dense_1", "lut"]["estimated"] - 20000)
    assert abs(after["estimated"] - 20000) < 0.9 * error


@pytest.mark.parametrize("text", ["", "{", "\xff\xfe", None])
@pytest.mark.parametrize(
    "file", ["plan.json", "net/optimised.net", ".qapflow/settings.json", REPORT]
)
def test_damaged_builds_are_named_and_skipped(built, tmp_path, capsys, file, text):
    folder = tmp_path / "bad"
    shutil.copytree(built, folder)
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(text.encode("latin-1"))
    assert main(["calibrate", str(folder)]) == 1
    error = capsys.readouterr().err
    assert f"skipped: {folder}: " in error
    assert "no report could be used" in error


def test_the_report_of_another_design_is_skipped(built, tmp_path, capsys):
    folder = tmp_path / "foreign"
    shutil.copytree(built, folder)
    (folder / REPORT).write_text(report_of("tagger"))
    assert main(["calibrate", str(folder)]) == 1
    assert "the synthesis report is of 'tagger'" in capsys.readouterr().err
