"""Running a reader in a child process first, because HDF5 can hang or crash on damaged files."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

from qapflow.errors import UsageError
from qapflow.frontend.fields import RESAVE

Result = TypeVar("Result")
BASE_SECONDS = 10
BYTES_PER_SECOND = 10_000_000  # far below any disk or decompressor
FRESH = """
import pickle, sys
sys.path[:], read, seconds = pickle.load(sys.stdin.buffer)
from qapflow.frontend.isolate import try_out
try_out(pickle.loads(read), seconds)
"""


def read_isolated(read: Callable[[], Result], size: int, at: str) -> Result:
    """Return `read()` once a child process has survived it.

    Flipped bytes in a file can make the HDF5 library loop for ever or crash, which Python cannot
    stop. `size` in bytes bounds the processor time the child may use. Where there is no fork,
    `read`, which must be something that can be pickled, runs without this trial. Raises UsageError
    when the child dies.
    """
    if hasattr(os, "fork"):
        seconds = BASE_SECONDS + size // BYTES_PER_SECOND
        status = _forked(read, seconds)
        if status < 0 and -status not in (signal.SIGXCPU, signal.SIGKILL):
            # A child forked beside the threads of TensorFlow can crash on a good file.
            status = _started(read, seconds)
        if status < 0:
            raise UsageError(
                f"the HDF5 file is damaged: reading it ended in {signal.Signals(-status).name}",
                at,
                RESAVE,
            )
    return read()


def _forked(read: Callable[[], object], seconds: int) -> int:
    """Try in a copy of this process, which starts at once; return its exit status."""
    pid = os.fork()
    if pid == 0:
        try_out(read, seconds)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _started(read: Callable[[], object], seconds: int) -> int:
    """Try in a new Python, which has nothing of this process; return its exit status."""
    task = pickle.dumps((sys.path, pickle.dumps(read), seconds))
    command = [sys.executable, "-c", FRESH]
    return subprocess.run(command, input=task, capture_output=True, check=False).returncode


def try_out(read: Callable[[], object], seconds: int) -> None:
    """Run `read` and leave; its errors come again in the parent, where they are shown."""
    import resource

    try:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU):
            signal.signal(number, signal.SIG_DFL)
        read()
    finally:
        os._exit(0)
