"""What importing TensorFlow leaves on a user's screen."""

import subprocess
import sys

import pytest

WRITES = r"""
import os, sys
from qapflow.train.libraries import without_notes
with without_notes():
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() are ...\n")
    os.write(2, b"I0000 00:00:1.5 22 cudart_stub.cc:31] Could not find cuda drivers\n")
    os.write(2, b"E0000 00:00:1.5 22 cuda_dnn.cc:8] Unable to register\n")
    print("a line of Python", file=sys.stderr)
os.write(2, b"I0000 later\n")
"""
RAISES = r"""
import os
from qapflow.train.libraries import without_notes
with without_notes():
    os.write(2, b"last words\n")
    raise SystemExit("the end")
"""
CLOSED = r"""
import os
from qapflow.train.libraries import without_notes
os.close(2)
with without_notes():
    print("ran")
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_only_notes_are_left_out():
    assert run(WRITES).stderr.splitlines() == [
        "E0000 00:00:1.5 22 cuda_dnn.cc:8] Unable to register",
        "a line of Python",
        "I0000 later",
    ]


def test_an_error_is_seen_whole():
    assert run(RAISES).stderr == "last words\nthe end\n"


def test_without_a_stderr_nothing_is_held():
    assert run(CLOSED).stdout == "ran\n"


@pytest.mark.needs_keras
def test_importing_everything_writes_nothing():
    done = run("from qapflow.train.libraries import load_keras; load_keras()")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
