"""Run a program and all it starts under a time limit, and measure its seconds and memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SAMPLE_S = 0.5  # a process that lives shorter may be missed
GRACE_S = 10.0  # to clean up after an interrupt


@dataclass(frozen=True)
class Measured:
    """How a program ended; memory is the most that all its processes held at the same time."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float
    peak_mib: float
    timed_out: bool = False


def measure(
    command: Sequence[str], env: Mapping[str, str], limit_s: float, stop: threading.Event
) -> Measured:
    """Run `command`; end it and everything it started after `limit_s`, or once `stop` is set."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start, peak, timed_out = time.monotonic(), 0, False
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env,
            start_new_session=True,
        )  # fmt: skip
        tree: set[int] = set()
        while child.poll() is None:
            tree = family(child.pid)
            peak = max(peak, sum(map(resident, tree)))
            timed_out = time.monotonic() - start > limit_s
            if timed_out or stop.is_set():
                end(child, tree)
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(SAMPLE_S)
        seconds = time.monotonic() - start
        stdout, stderr = read(out), read(err)
    return Measured(child.returncode, stdout, stderr, seconds, peak / 2**20, timed_out)


def read(stream: IO[str]) -> str:
    """Return all that was written to a temporary file."""
    stream.seek(0)
    return stream.read()


def family(pid: int) -> set[int]:
    """Return a process and all that descend from it (only itself where there is no /proc)."""
    found, todo = {pid}, [pid]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                new = set(map(int, task.read_text().split())) - found
                found |= new
                todo += new
    return found


def resident(pid: int) -> int:
    """Return the bytes of memory of a process that are its own: pages shared by n count 1/n.

    0 if it is gone.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return 1024 * int(text.split("\nPss:", 1)[1].split()[0])
    return 0


def end(child: subprocess.Popen[bytes], tree: set[int]) -> None:
    """Interrupt a program as Ctrl-C would, and kill what is left of it and its descendants."""
    born = {pid: _start(pid) for pid in tree | family(child.pid)}
    child.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_S)
    for pid, start in born.items():
        if start and _start(pid) == start:  # else the number may be another process's by now
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    if child.poll() is None:
        child.kill()
    child.wait()


def _start(pid: int) -> str:
    """Return when a process was started, in clock ticks since boot; "" if it is gone."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""
