"""Run a program so that neither it nor its children outlive us or its time limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

# Of all runners: the main thread alone hears of Ctrl-C, and must end what other threads run.
_LIVE: set[int] = set()
_ENDING = threading.Event()

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Finished:
    """How a program ended; `returncode` is negative when a signal ended it."""

    returncode: int
    timed_out: bool
    seconds: float
    log: Path

    @property
    def text(self) -> str:
        """What the program printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def killed(self) -> bool:
        """Tell whether a signal ended it, as the kernel does when memory runs out."""
        return self.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)


class Runner:
    """Runs programs from several threads; when one thread fails, the others' programs end too."""

    def __init__(self) -> None:
        self._live: set[int] = set()
        self._stopped = False

    def run(
        self,
        command: Sequence[str],
        *,
        log: Path,
        timeout: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run `command` in its own process group; its output goes to `log`.

        The group is killed after `timeout` seconds and by any exception, Ctrl-C too.

        Raises:
            OSError: the program cannot be started.
        """
        start = time.monotonic()
        timed_out = False
        options: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stderr": subprocess.STDOUT,
            "start_new_session": True,
        }
        with (
            _open_log(log) as stream,
            subprocess.Popen(list(command), cwd=cwd, env=env, stdout=stream, **options) as child,
        ):
            self._live.add(child.pid)
            _LIVE.add(child.pid)
            if self._stopped or _ENDING.is_set():  # since this program was started
                kill_group(child.pid)
            try:
                child.wait(timeout)
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                if child.poll() is None:
                    kill_group(child.pid)
                    child.wait()
                self._live.discard(child.pid)
                _LIVE.discard(child.pid)
        return Finished(child.returncode, timed_out, time.monotonic() - start, log)

    def map(
        self, action: Callable[[Item], Result], items: Sequence[Item], jobs: int
    ) -> list[Result]:
        """Apply `action` to all items on `jobs` threads; the first exception stops the rest."""
        self._stopped = False
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            futures = [pool.submit(action, item) for item in items]
            try:
                return [future.result() for future in futures]
            except BaseException:
                for future in futures:
                    future.cancel()
                self._stopped = True
                for pid in tuple(self._live):
                    kill_group(pid)
                raise


@contextlib.contextmanager
def ended_by_interrupt(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """Enter a pool; an interrupt of this thread ends every program that its threads run.

    Without, leaving the pool would wait for them.
    """
    try:
        with pool:
            try:
                yield pool
            except KeyboardInterrupt:
                _ENDING.set()
                for pid in tuple(_LIVE):
                    kill_group(pid)
                raise
    finally:
        _ENDING.clear()


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


def kill_group(pid: int) -> None:
    """Kill a process group; one that is already gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def last_line(text: str) -> str:
    """Return the last line that is not blank ("" if there is none)."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
