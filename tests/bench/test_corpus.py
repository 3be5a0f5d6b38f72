"""The table of a collection: models found, rows judged, limits kept, nothing lost."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from bench.corpus.__main__ import main
from bench.corpus.kept import keep, read_kept, row_key
from bench.corpus.measure import Measured, measure
from bench.corpus.models import Model, find_models
from bench.corpus.render import render_html, render_json, render_text
from bench.corpus.rows import Row, make_row
from bench.corpus.summary import summarize

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
MODEL = Model("a.h5", Path("a.h5"), None, "dense", True, True)
SAMPLE = 6  # models, one or two a family


def report(regime="exact", keras="equal", csim="equal", wrong=0, reason="rounded", far=0.5):
    def check(left, right, verdict, mismatches):
        return {
            "left": left, "right": right, "verdict": verdict, "mismatches": mismatches,
            "values": 10, "note": "",
        }  # fmt: skip

    checks = [
        check("interpreter", "C simulation", csim, 0),
        check("Keras", "interpreter", keras, wrong),
    ]
    reason = reason if regime == "chosen" else ""
    layers = [
        {"origin": "fc", "regime": "exact", "reason": ""},
        {"origin": "end", "regime": regime, "reason": reason},
        {"origin": "end", "regime": regime, "reason": reason},
    ]
    far = {"max_abs_error": far, "argmax_agreement": 0.9} if regime == "chosen" else None
    made = {"regime": regime, "comparisons": checks, "accuracy": far, "layers": layers}
    return json.dumps(made)


def ended(code=0, stdout="", stderr="", timed_out=False):
    return Measured(code, stdout, stderr, 1.5, 100.0, timed_out)


@pytest.mark.parametrize(
    ("run", "verdict", "bad"),
    [
        (ended(0, report()), "exact", False),
        (ended(0, report("chosen", "not run", wrong=3)), "chosen", False),
        (ended(0, report("chosen", reason="softmax from tables")), "exact+", False),
        (ended(0, report("chosen", far=0.0)), "equal", False),
        (ended(0, report("chosen", "not run", reason="softmax from tables")), "chosen", False),
        (ended(1, report("chosen", "different", wrong=1, reason="tables")), "DIFFERS", True),
        (ended(0, report("exact", "not run")), "unverified", False),
        (ended(0, report("exact", csim="not run")), "unverified", False),
        (ended(1, report("exact", "different", wrong=3)), "DIFFERS", True),
        (ended(1, report("chosen", csim="different")), "DIFFERS", True),
        (ended(4, "", "error: 1 thing cannot be built"), "refused", False),
        (ended(2, "", "error: no model"), "bad file", False),
        (ended(5, "", "error: killed"), "tool failed", False),
        (ended(1, "", "Traceback (most recent call last):\n  boom"), "TRACEBACK", True),
        (ended(-11), "CRASHED", True),
        (ended(1, "", "a budget is not met"), "CRASHED", True),
        (ended(130, "", "interrupted", timed_out=True), "timeout", False),
    ],
)
def test_a_verdict_comes_from_exit_code_and_report(run, verdict, bad):
    row = make_row(MODEL, run, "k")
    assert (row.verdict, row.bad, row.built) == (
        verdict,
        bad,
        verdict in ("exact", "equal", "exact+", "chosen", "unverified"),
    )


def test_the_other_tool_stands_beside():
    found = {"verdict": "differs", "mismatches": "7", "values": "9", "max_abs_difference": "0.5"}
    row = make_row(replace(MODEL, baseline=found), ended(0, report()), "k")
    assert (row.hls4ml, row.hls4ml_mismatches, row.hls4ml_max_error) == ("differs", 7, 0.5)
    assert "1 of them: 0 equal to Keras, 1 differ, 0 fail; here: 1 exact" in "\n".join(
        summarize([row])
    )


def test_a_folder_needs_no_manifest(tmp_path):
    for name in ("a.h5", "sub/b.keras", "c.json", "c_weights.h5", "notes.json", "readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = {model.name: model for model in find_models(tmp_path)}
    assert sorted(found) == ["a.h5", "c.json", "sub/b.keras"]
    assert found["c.json"].weights == tmp_path / "c_weights.h5"
    assert {model.family for model in found.values()} == {"unknown"}


def test_a_manifest_and_a_baseline_are_read(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"x")
    (tmp_path / "other.h5").write_bytes(b"x")
    (tmp_path / "MANIFEST.csv").write_text(
        "file,weights_file,status,family,quantised\na.h5,,loads,rnn,True\n"
    )
    (tmp_path / "HLS4ML_BASELINE.csv").write_text("file,verdict\na.h5,crash\n")
    (model,) = find_models(tmp_path)
    assert (model.family, model.loads, model.quantized) == ("rnn", True, True)
    assert model.baseline["verdict"] == "crash"
    (tmp_path / "a.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.h5 is not there"):
        find_models(tmp_path)


def test_a_program_and_its_children_end_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.corpus.measure.GRACE_S", 1.0)  # where Ctrl-C is ignored: nohup
    mark = tmp_path / "late"
    child = f"import time; time.sleep(9); open({str(mark)!r}, 'w')"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    run = measure([sys.executable, "-c", script], {}, 1.0, Event())
    assert run.timed_out
    assert run.seconds < 9
    Event().wait(max(0.0, 9.5 - run.seconds))  # until the child would have written
    assert not mark.exists()


def test_memory_counts_children():
    hold = "x = bytearray(60 << 20); import time; time.sleep(1.5)"
    script = (
        f"import subprocess, sys; p = [subprocess.Popen([sys.executable, '-c', {hold!r}])"
        " for _ in range(2)]; [q.wait() for q in p]"
    )
    run = measure([sys.executable, "-c", script], {}, 60.0, Event())
    assert run.peak_mib > 110  # two that hold 60 MiB each at the same time


def test_rows_are_kept_for_the_same_model_and_code(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"x")
    model = replace(MODEL, path=path)
    key = row_key(model, "code", [])
    row = make_row(model, ended(0, report()), key)
    keep(tmp_path / "rows.jsonl", row)
    with (tmp_path / "rows.jsonl").open("a") as stream:
        stream.write('{"file": "half')  # the disk was full, or the power failed
    assert read_kept(tmp_path / "rows.jsonl") == {key: row}
    assert row_key(model, "other code", []) != key
    path.write_bytes(b"y")
    assert row_key(model, "code", []) != key


def rows():
    built = make_row(MODEL, ended(0, report()), "")
    refused = make_row(
        replace(MODEL, name="<b>.h5", loads=False),
        ended(4, "", "error: 1 thing\n  - x_1 (GarNet): not supported\n  try: else"),
        "",
    )
    return [built, refused]


def test_the_table_shows_every_model_in_every_form():
    made = rows()
    text = render_text(made, "title")
    assert "a.h5" in text
    assert "1 models that Keras loads: 1 built (1 exact)" in text
    assert "1 not built: refused: GarNet: not supported" in text
    data = json.loads(render_json(made, "title"))
    assert [row["verdict"] for row in data["rows"]] == ["exact", "refused"]
    page = render_html(made, "title")
    assert "&lt;b&gt;.h5" in page
    assert "<b>.h5" not in page
    assert "No silent mismatch" in page
    bad = Row("c.h5", "rnn", True, True, "DIFFERS", 1.0, 1.0)
    assert "1 silent mismatches" in render_html([*made, bad], "title")
    long = "a" * 60
    wide = Row(f"{long}.h5", long, True, True, "unverified", 12345.0, 123456.0, mismatches=12345678,
               values=37029888, csim_mismatches=12345678, csim_values=37029888)  # fmt: skip
    figures = ("unverified", "12345678 of 37029888", "12345", "123456")
    assert all(figure in render_text([wide], "title") for figure in figures)
    assert "silent mismatches and tracebacks: 1; c.h5: DIFFERS" in render_text([bad], "t")


def test_a_folder_without_models_is_a_usage_error(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert main([str(tmp_path / "no")]) == 2
    assert "no model in" in capsys.readouterr().err


@pytest.mark.needs_hls4ml
def test_finished_rows_are_not_built_again(tmp_path, capsys):
    folder, out = tmp_path / "models", tmp_path / "out"
    folder.mkdir()
    (folder / "digits.h5").write_bytes((DIGITS / "digits.h5").read_bytes())
    (folder / "broken.h5").write_bytes(b"no model")
    arguments = [str(folder), "-o", str(out), "--", "--keras", "no", "--no-csim"]
    assert main(arguments) == 0
    first = (out / "rows.jsonl").read_text()
    assert main(arguments) == 0
    assert (out / "rows.jsonl").read_text() == first
    found = {row["file"]: row["verdict"] for row in map(json.loads, first.splitlines())}
    assert found == {"digits.h5": "unverified", "broken.h5": "bad file"}
    assert main(["--fresh", *arguments]) == 0
    assert len((out / "rows.jsonl").read_text().splitlines()) == 4
    assert "digits.h5" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.needs_keras
@pytest.mark.needs_gxx
@pytest.mark.needs_hls4ml
def test_a_sample_of_real_models(shared, tmp_path):
    """The smallest model of each family and kind: none may differ in silence."""
    corpus, chosen = shared / "corpus", {}
    with (corpus / "MANIFEST.csv").open(newline="") as stream:
        for row in sorted(csv.DictReader(stream), key=lambda row: int(row["bytes"])):
            kind = (row["family"], row["quantised"])
            if row["status"] == "loads" or row["family"].startswith("attention"):
                chosen.setdefault(kind, row["file"])
    names = list(chosen.values())[:SAMPLE]
    assert len(names) == SAMPLE
    only = [part for name in names for part in ("--only", name)]
    assert main([str(corpus), *only, "-o", str(tmp_path)]) == 0
    table = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert {row["file"] for row in table} >= set(names)
    assert not [row for row in table if row["verdict"] in ("timeout", "tool failed")]
    assert any(row["verdict"] in ("exact", "equal", "exact+") for row in table)
