"""Compile the C simulation of a project: units in parallel, objects cached by content."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qapflow.errors import ToolFailed, ToolMissing, UsageError
from qapflow.lower.files import write_file
from qapflow.verify.process import Finished, Runner, cores, last_line

SOURCES = "csim/sources.json"
OBJECTS = "csim/obj"
PROGRAM = "csim/csim"
SANITIZED = "csim/csim_sanitized"  # counts lost bits
OPTIMIZE = "-O1"


@dataclass(frozen=True)
class Sources:
    """What `csim/sources.json` says; paths are relative to the project."""

    units: tuple[str, ...]
    include_dirs: tuple[str, ...]
    flags: tuple[str, ...]


def read_sources(project: Path) -> Sources:
    """Read `csim/sources.json`: `units`, `include_dirs`, `flags`.

    Raises:
        UsageError: the file is missing, is not JSON, or lists no unit.
    """
    path = project / SOURCES
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        lists = [tuple(map(str, data[key])) for key in ("units", "include_dirs", "flags")]
    except FileNotFoundError:
        raise UsageError(
            "the project has no C simulation", str(path), "build it again with `qapflow build`"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"the list of C simulation sources cannot be read ({error!r})",
            str(path),
            "build the project again",
        ) from error
    if not lists[0]:
        raise UsageError("the list of C simulation sources is empty", str(path))
    return Sources(*lists)


def find_compiler() -> list[str]:
    """Return the C++ compiler command: `$CXX` if set, else g++, else clang++.

    Raises:
        ToolMissing: there is none.
    """
    wanted = os.environ.get("CXX", "").strip()
    for text in [wanted] if wanted else ["g++", "clang++"]:
        command = shlex.split(text)
        if found := shutil.which(command[0]):
            return [found, *command[1:]]
    raise ToolMissing(
        f"no C++ compiler: {wanted or 'g++'} is not on PATH, and the C simulation needs it",
        f"CXX={wanted}" if wanted else "PATH",
        "install g++: `apt install g++`, `dnf install gcc-c++` or `brew install gcc`; "
        "or set CXX; or build with --no-csim",
    )


def compile_csim(
    project: Path, jobs: int | None = None, timeout: float = 1800.0, *, sanitize: bool = False
) -> Path:
    """Compile the C simulation and return the program's path.

    Nothing is compiled whose unit, headers, flags and compiler are unchanged. `timeout` is in
    seconds for each unit. `sanitize` makes a second program, which counts lost bits.

    Raises:
        ToolMissing: there is no compiler.
        ToolFailed: it reported an error, was killed, or ran out of time.
        UsageError: the project is not complete.
    """
    project = project.resolve()
    sources = read_sources(project)
    compiler = find_compiler()
    flags = [OPTIMIZE, *sources.flags, *(f"-I{name}" for name in sources.include_dirs)]
    if sanitize:
        flags.append("-DQAPFLOW_SANITIZE")
    program = SANITIZED if sanitize else PROGRAM
    maker = _Maker(project, compiler, flags, timeout, program)
    return maker.link(maker.runner.map(maker.compile, sources.units, jobs or cores()))


@dataclass(frozen=True)
class _Maker:
    project: Path
    compiler: Sequence[str]
    flags: Sequence[str]
    timeout: float
    program: str
    runner: Runner = field(default_factory=Runner)

    @property
    def identity(self) -> str:
        """The compiler with its flags; another binary under the same name counts as another."""
        stat = Path(self.compiler[0]).stat()
        return json.dumps([*self.compiler, stat.st_size, stat.st_mtime_ns, *self.flags])

    def _objects(self) -> Path:
        """Each program has objects of its own: the flags differ."""
        return self.project / (OBJECTS + self.program.removeprefix(PROGRAM))

    def compile(self, unit: str) -> Path:
        """Compile one unit unless an object of the same content is there."""
        stem = re.sub(r"[^A-Za-z0-9]+", "_", unit)
        folder = self._objects()
        record = folder / f"{stem}.json"
        target = folder / f"{stem}.o"
        if _fresh(record, target, self.identity, self.project):
            return target
        folder.mkdir(parents=True, exist_ok=True)
        if not (self.project / unit).is_file():
            raise UsageError("a C simulation source is missing", str(self.project / unit))
        part, depends = folder / f"{stem}.{os.getpid()}.o", folder / f"{stem}.{os.getpid()}.d"
        command = [*self.compiler, *self.flags, "-MMD", "-MF", str(depends)]
        log = folder / f"{stem}.log"
        try:
            self._run([*command, "-c", unit, "-o", str(part)], log, part, f"compiling {unit}")
            files = _dependencies(depends) if depends.is_file() else [unit]
            _record(record, self.identity, {f: _digest(self.project / f) for f in files}, part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
            depends.unlink(missing_ok=True)
        return target

    def link(self, objects: Sequence[Path]) -> Path:
        """Link the program unless one of the same objects is there."""
        folder = self._objects()
        record, target = folder / "link.json", self.project / self.program
        if _fresh(record, target, self.identity, self.project):
            return target
        part = folder / f"csim.{os.getpid()}"
        names = [str(path) for path in objects]
        try:
            log = folder / "link.log"
            self._run([*self.compiler, *self.flags, *names, "-o", str(part)], log, part, "linking")
            hashes = {str(p.relative_to(self.project)): _digest(p) for p in objects}
            _record(record, self.identity, hashes, part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def _run(self, command: list[str], log: Path, result: Path, action: str) -> None:
        try:
            done = self.runner.run(command, log=log, cwd=self.project, timeout=self.timeout)
        except OSError as error:
            raise ToolMissing(
                f"the C++ compiler cannot be started ({error.strerror})",
                self.compiler[0],
                "set CXX to a working compiler",
            ) from error
        _judge(done, action, Path(command[0]).name, self.timeout)
        if not result.is_file():
            raise ToolFailed(f"{action}: the compiler reported success but wrote nothing", str(log))


def _judge(done: Finished, action: str, name: str, timeout: float) -> None:
    text = done.text
    if done.timed_out:
        raise ToolFailed(
            f"{action}: {name} did not finish in {timeout:g} s",
            str(done.log),
            "raise --timeout, or raise the reuse factor so that less code is unrolled",
        )
    if done.killed or "Killed" in text:
        raise ToolFailed(
            f"{action}: {name} was killed, most likely because memory ran out",
            str(done.log),
            "compile on a machine with more memory, or raise the reuse factor",
        )
    if done.returncode:
        lines = [s for s in text.splitlines() if re.search(r"\berror\b|undefined reference", s)]
        reason = lines[0].strip() if lines else last_line(text) or f"exit code {done.returncode}"
        raise ToolFailed(f"{action}: {name} failed: {reason}", str(done.log))


def _dependencies(path: Path) -> list[str]:
    """Files named in a make rule as `g++ -MMD` writes it."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    names = re.findall(r"(?:\\.|[^\s\\])+", text.split(": ", 1)[-1])
    return sorted({re.sub(r"\\(.)", r"\1", name).replace("$$", "$") for name in names})


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _record(path: Path, identity: str, inputs: dict[str, str], result: Path) -> None:
    data = {"identity": identity, "inputs": inputs, "result": _digest(result)}
    write_file(path, json.dumps(data, indent=1, sort_keys=True).encode())


def _fresh(record: Path, target: Path, identity: str, project: Path) -> bool:
    """Tell whether `target` is what compiling again would give."""
    try:
        data = json.loads(record.read_text(encoding="utf-8"))
        return bool(
            data["identity"] == identity
            and data["result"] == _digest(target)
            and all(_digest(project / name) == was for name, was in data["inputs"].items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
