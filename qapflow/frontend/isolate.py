"""Running a reader in a child process first, because HDF5 can hang or crash on damaged files."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Callable
from typing import TypeVar

from qapflow.errors import UsageError
from qapflow.frontend.fields import RESAVE

Result = TypeVar("Result")
BASE_SECONDS = 10
TRIALS = 3  # a child forked beside other threads can crash by chance, a bad file crashes each time
BYTES_PER_SECOND = 10_000_000  # far below any disk or decompressor


def read_isolated(read: Callable[[], Result], size: int, at: str) -> Result:
    """Return `read()` once a child process has survived it.

    Flipped bytes in a file can make the HDF5 library loop for ever or crash, which Python cannot
    stop. `size` in bytes bounds the processor time the child may use. Where there is no fork,
    `read` runs without this trial. Raises UsageError when the child dies.
    """
    if hasattr(os, "fork"):
        seconds = BASE_SECONDS + size // BYTES_PER_SECOND
        status = 0
        for _ in range(TRIALS):
            pid = os.fork()
            if pid == 0:
                _try_out(read, seconds)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if status >= 0 or -status in (signal.SIGXCPU, signal.SIGKILL):
                break
        if status < 0:
            raise UsageError(
                f"the HDF5 file is damaged: reading it ended in {signal.Signals(-status).name}",
                at,
                RESAVE,
            )
    return read()


def _try_out(read: Callable[[], object], seconds: int) -> None:
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
