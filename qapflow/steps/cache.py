"""A build directory as a cache of steps.

The law of steps: a step is a function of its settings and of the files of the steps it needs, and
returns the files it makes. It changes no file of another step, reads no clock and no random seed
of its own, and writes nothing outside the folder. Then the same key always means the same bytes,
and a step whose key and files are unchanged need not run. The key holds digests of the needed
*files*, not keys, so a step that happens to make the same bytes again stops the ripple.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from qapflow.errors import UsageError
from qapflow.lower.files import PARTIAL, Files, write_file
from qapflow.verify.process import ended_by_interrupt

C = TypeVar("C")

WORKERS = 2  # the C++ compiler and Keras, side by side


@dataclass(frozen=True)
class Step(Generic[C]):
    """One stage. `settings` must be JSON-able and name everything from outside that `run` reads."""

    name: str
    needs: tuple[str, ...]
    settings: Callable[[C], Mapping[str, Any]]
    run: Callable[[C], Files]
    version: int = 1


@dataclass(frozen=True)
class StepResult:
    """What became of a step: `cached` or not, and files found edited by hand."""

    name: str
    cached: bool
    edited: tuple[str, ...] = ()


class BuildFolder:
    """The folder, its record of steps, and the lock that keeps two builds apart."""

    STATE = ".qapflow/steps.json"
    KEPT = ".qapflow/edited"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state: dict[str, dict[str, Any]] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; the system frees the lock even after kill -9.

        Raises:
            UsageError: the folder cannot be written, is no build folder, or is in use.
        """
        try:
            self._claim()
            handle = os.open(self.path / ".qapflow" / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UsageError(
                    "another build is running in this folder",
                    at=str(self.path),
                    hint="wait for it, or choose another folder with -o",
                ) from error
            for leftover in self.path.rglob(f".*{PARTIAL}"):  # of a build that was killed
                leftover.unlink(missing_ok=True)
            self.state = self._read_state()
            yield
        finally:
            os.close(handle)

    def _claim(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UsageError("the output is a file", at=str(self.path), hint="choose another -o")
        if (
            self.path.is_dir()
            and any(self.path.iterdir())
            and not (self.path / ".qapflow").is_dir()
        ):
            raise UsageError(
                "the output folder holds files that no build made",
                at=str(self.path),
                hint="choose an empty or new folder with -o",
            )
        (self.path / ".qapflow").mkdir(parents=True, exist_ok=True)

    def _read_state(self) -> dict[str, dict[str, Any]]:
        try:
            state = json.loads((self.path / self.STATE).read_text())
        except (FileNotFoundError, ValueError):
            return {}  # nothing known: every step runs
        return state if isinstance(state, dict) else {}

    def read(self, path: str) -> bytes:
        """Return a file that a step made."""
        return (self.path / path).read_bytes()

    def digest(self, step: str) -> str:
        """Digest of all files a step made, as recorded."""
        return _digest(self.state[step]["outputs"])

    def edited(self, step: str) -> tuple[str, ...]:
        """Files of a step that are not as the step left them (changed or gone)."""
        outputs = self.state.get(step, {}).get("outputs", {})
        return tuple(p for p, sha in sorted(outputs.items()) if _sha(self.path / p) != sha)

    def store(self, step: str, key: str, files: Files) -> None:
        """Write the files of a step, drop those it no longer makes, then record it."""
        before = self.state.pop(step, {}).get("outputs", {})
        try:
            self._save()
            files.write(self.path)
            for path in before.keys() - files.contents.keys():
                (self.path / path).unlink(missing_ok=True)
            outputs = {p: hashlib.sha256(c).hexdigest() for p, c in files.contents.items()}
            self.state[step] = {"key": key, "outputs": dict(sorted(outputs.items()))}
            self._save()
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def keep(self, paths: Sequence[str]) -> None:
        """Copy files aside before they are made anew, so that a hand edit is never lost."""
        for path in paths:
            if (self.path / path).is_file():
                target = self.path / self.KEPT / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.path / path, target)

    def _save(self) -> None:
        write_file(
            self.path / self.STATE, json.dumps(self.state, indent=1, sort_keys=True).encode()
        )


def run_steps(
    steps: Sequence[Step[C]],
    context: C,
    folder: BuildFolder,
    report: Callable[[str, str], None] = lambda name, state: None,
) -> tuple[StepResult, ...]:
    """Bring every step up to date; `report(name, "running"|"cached"|"done")` on the way.

    Steps start in order, as soon as what they need is there; two may run side by side. If one
    fails, the others that run are finished and kept. The folder must be locked.
    """
    results: dict[str, StepResult] = {}
    running: dict[Future[Files], tuple[Step[C], str, tuple[str, ...]]] = {}
    waiting = list(steps)
    failed: BaseException | None = None
    with ended_by_interrupt(ThreadPoolExecutor(WORKERS)) as pool:
        while (waiting and not failed) or running:
            for step in [s for s in waiting if all(need in results for need in s.needs)]:
                if failed or len(running) == WORKERS:
                    break
                waiting.remove(step)
                key = _key(step, context, folder)
                edited = folder.edited(step.name)
                if folder.state.get(step.name, {}).get("key") == key and not edited:
                    report(step.name, "cached")
                    results[step.name] = StepResult(step.name, cached=True)
                    continue
                folder.keep(edited)
                report(step.name, "running")
                running[pool.submit(step.run, context)] = (step, key, edited)
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                step, key, edited = running.pop(done)
                if (error := done.exception()) is not None:
                    failed = failed or error
                    continue
                folder.store(step.name, key, done.result())
                report(step.name, "done")
                results[step.name] = StepResult(step.name, cached=False, edited=edited)
    if failed:
        raise failed
    return tuple(results[step.name] for step in steps)


def run_again(step: Step[C], context: C, folder: BuildFolder) -> None:
    """Run one step alone, on what the others have left. The folder must be locked."""
    folder.keep(folder.edited(step.name))
    folder.store(step.name, _key(step, context, folder), step.run(context))


def _key(step: Step[C], context: C, folder: BuildFolder) -> str:
    return _digest(
        {
            "step": step.name,
            "version": step.version,
            "settings": step.settings(context),
            "needs": {need: folder.digest(need) for need in step.needs},
        }
    )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sha(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"the output folder cannot be written: {error.strerror or error}",
        at=str(path),
        hint="free some space or choose another folder with -o",
    )
