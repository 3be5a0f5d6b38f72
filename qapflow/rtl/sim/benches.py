"""Run the test bench of a design in each simulator; all leave the same binary files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qapflow.errors import ToolFailed
from qapflow.lower.files import write_file
from qapflow.rtl.design import Design, Port
from qapflow.rtl.sim.tools import TITLES, Found
from qapflow.rtl.sim.transfers import Stalls, word_count
from qapflow.rtl.sim.verilator import build_bench, require_success
from qapflow.rtl.templates import render
from qapflow.verify.process import Finished, Runner

STUCK = 3  # exit code of a bench that waits for ever
SCRAMBLE = 2654435761  # spreads small seeds over the shift register


def run_bench(
    folder: Path,
    design: Design,
    found: Found,
    samples: int,
    stalls: Stalls,
    idle: int,
    waveform: Path | None,
    timeout_s: float,
) -> int:
    """Simulate what lies packed in `folder`/sim/run; return the number of cycles.

    Raises:
        ToolFailed: a program failed or took too long, or no transfer came for `idle` cycles.
    """
    work = (folder / "sim" / "run").resolve()
    if found.name == "verilator":
        program = build_bench(
            folder, design, found, waveform=waveform is not None, timeout_s=timeout_s
        )
        command = [str(program.resolve()), str(work), str(stalls.gap_percent)]
        command += [str(stalls.backpressure_percent), str(stalls.seed), str(idle)]
        command += [str(waveform.resolve())] if waveform else []
        command += [str(samples * port.beats) for port in design.outputs]
        return _cycles(found, _run(command, work, timeout_s), timeout_s)
    facts = _facts(design, samples, stalls, idle, waveform)
    for port in design.inputs:
        _to_hex(work, port)
    prepared = _icarus if found.name == "icarus" else _ghdl
    command = prepared(folder, work, design, found, facts, timeout_s)
    cycles = _cycles(found, _run(command, work, timeout_s), timeout_s)
    for port in design.inputs:
        _cycles_to_binary(work / f"cycles_in_{port.name}")
    for port in design.outputs:
        _cycles_to_binary(work / f"cycles_out_{port.name}")
        _from_hex(work, port)
    return cycles


def _run(command: Sequence[str], work: Path, timeout_s: float) -> Finished:
    log = work / f"{Path(command[0]).name}.log"
    return Runner().run(command, log=log, timeout=timeout_s, cwd=work)


def _cycles(found: Found, ended: Finished, timeout_s: float) -> int:
    text = ended.text
    stuck = re.search(r"error: (no transfer in \d+ cycles.*)", text)
    if stuck:
        raise ToolFailed(
            f"the design is stuck in simulation: {stuck[1]}",
            str(ended.log),
            "please report this network",
        )
    require_success(TITLES[found.name], ended, timeout_s, " in simulation")
    numbers = [line for line in text.split() if line.isdigit()]
    if not numbers:
        raise ToolFailed("the simulation ended without a result", str(ended.log), "read the log")
    return int(numbers[-1])


def _facts(
    design: Design, samples: int, stalls: Stalls, idle: int, waveform: Path | None
) -> dict[str, Any]:
    def described(port: Port) -> dict[str, Any]:
        digits = -(-port.bits // 4)
        transfers = samples * port.beats
        return {"name": port.name, "bits": port.bits, "digits": digits, "transfers": transfers}

    return {
        "top": design.top,
        "state": (stalls.seed * SCRAMBLE) % (1 << 32) | 1,
        "gaps": stalls.gap_percent,
        "backpressure": stalls.backpressure_percent,
        "idle": idle,
        "waveform": str(waveform.resolve()) if waveform else "",
        "inputs": [described(port) for port in design.inputs],
        "outputs": [described(port) for port in design.outputs],
    }


def _icarus(
    folder: Path, work: Path, design: Design, found: Found, facts: dict[str, Any], timeout_s: float
) -> list[str]:
    write_file(work / "bench.v", render("sim/bench.v.j2", **facts))
    sources = [str((folder / path).resolve()) for path in design.sources]
    program = work / "bench.vvp"
    command = [found.path, "-g2005", "-s", "bench", "-o", str(program.resolve())]
    ended = _run([*command, str((work / "bench.v").resolve()), *sources], work, timeout_s)
    require_success("Icarus Verilog", ended, timeout_s)
    return ["vvp", "-n", str(program.resolve())]


def _ghdl(
    folder: Path, work: Path, design: Design, found: Found, facts: dict[str, Any], timeout_s: float
) -> list[str]:
    write_file(work / "bench.vhd", render("sim/bench.vhd.j2", **facts))
    core = f"src/{design.top}.vhd"
    pieces = {path for path in design.sources if path.startswith(f"src/{design.top}_")}
    first = sorted(path for path in design.sources if path not in pieces and path != core)
    ordered = [*first, *sorted(pieces), core]
    sources = [str((folder / path).resolve()) for path in ordered]
    flags = ["--std=08", "--workdir=."]
    command = [found.path, "-a", *flags, *sources, str((work / "bench.vhd").resolve())]
    require_success("GHDL", _run(command, work, timeout_s), timeout_s)
    return [found.path, "--elab-run", *flags, "bench", "--ieee-asserts=disable"]


def _to_hex(work: Path, port: Port) -> None:
    rows = np.fromfile(work / f"in_{port.name}.bin", "<u4").reshape(-1, word_count(port))
    digits = -(-port.bits // 4)
    lines = [f"{int.from_bytes(row.tobytes(), 'little'):0{digits}x}\n" for row in rows]
    (work / f"in_{port.name}.hex").write_text("".join(lines))


def _from_hex(work: Path, port: Port) -> None:
    size, parts = 4 * word_count(port), []
    for number, text in enumerate((work / f"out_{port.name}.hex").read_text().split()):
        try:
            parts.append(int(text, 16).to_bytes(size, "little"))
        except ValueError as error:
            raise ToolFailed(
                f"transfer {number} of {port.name} has bits without a value: {text}",
                str(work),
                "please report this network",
            ) from error
    (work / f"out_{port.name}.bin").write_bytes(b"".join(parts))


def _cycles_to_binary(path: Path) -> None:
    numbers = np.array(path.with_suffix(".txt").read_text().split(), np.uint64)
    numbers.astype("<u8").tofile(path.with_suffix(".bin"))
