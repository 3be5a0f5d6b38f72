"""Damaged models of every form: a whole message or a sound network, nothing executed or written.

`make fuzz-archives N=10000` reads more; `python -m tests.fuzz.run_archives --seed K` repeats one.
"""

import subprocess
import sys

import pytest

from tests.fuzz.run_archives import ROOT, Watch, show, summarize


@pytest.mark.needs_keras
@pytest.mark.slow
def test_damaged_files(tmp_path):
    command = [sys.executable, "-m", "tests.fuzz.run_archives", "-n", "300", "--networks", "6"]
    done = subprocess.run(
        [*command, "--jobs", "1", "-o", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "files: 300" in done.stdout


def test_what_is_executed_or_written_is_seen(tmp_path):
    watch = Watch()
    watch.on = True
    try:
        exec("1 + 1")
        (tmp_path / "x").write_text("")
        (tmp_path / "x").read_text()
        (tmp_path / "x").unlink()
    finally:
        watch.on = False
    assert [event.partition(" ")[0] for event in watch.seen] == ["exec", "open", "os.remove"]


def test_figures(capsys):
    row = {"seed": 1, "base": "m.h5", "story": "cut", "seconds": 0.5, "mib": 70}
    rows = [
        {**row, "verdict": "refused", "detail": "'a' of 3 is damaged\n  at: x"},
        {**row, "verdict": "refused", "detail": "'b' of 4 is damaged\n  at: y"},
        {**row, "verdict": "traceback", "detail": "KeyError"},
    ]
    figures = summarize(rows)
    assert figures["verdicts"] == {"refused": 2, "traceback": 1}
    assert figures["commonest messages"] == {"N of N is damaged": 2}
    show(figures)
    assert "seed 1 (m.h5): traceback; cut" in capsys.readouterr().out
