import sys
import time

import pytest

from qapflow.verify.process import Runner, cores, last_line


def test_output_goes_to_a_log_whose_folder_is_made(tmp_path):
    log = tmp_path / "deep" / "log"
    done = Runner().run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], log=log, timeout=10)
    assert (done.returncode, done.timed_out, done.killed) == (3, False, False)
    assert sorted(done.text.split()) == ["err", "out"]


def test_environment_and_folder_are_passed_on(tmp_path):
    done = Runner().run(
        [sys.executable, "-c", "import os; print(os.environ['A'], os.getcwd())"],
        log=tmp_path / "log",
        timeout=60,
        cwd=tmp_path,
        env={"A": "b"},
    )
    assert done.text.split() == ["b", str(tmp_path.resolve())]


def test_an_exception_in_one_item_ends_the_others(tmp_path):
    runner = Runner()

    def act(number):
        if number == 0:
            raise KeyboardInterrupt
        return runner.run(["/bin/sleep", "30"], log=tmp_path / f"{number}", timeout=60)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        runner.map(act, [0, 1, 2, 3], jobs=2)
    assert time.monotonic() - start < 10


def test_results_keep_their_order():
    assert Runner().map(lambda n: n * n, range(20), jobs=4) == [n * n for n in range(20)]


def test_the_last_line_that_says_something():
    assert last_line("a\n b \n\n  \n") == "b"
    assert last_line("\n") == ""
    assert cores() >= 1
