"""Run a design on samples, cycle by cycle, and measure what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolFailed
from qapflow.ir.fixed import Codes
from qapflow.rtl.design import Design, Port
from qapflow.rtl.sim.benches import run_bench
from qapflow.rtl.sim.tools import Found, Simulator, find_simulator, first_simulator
from qapflow.rtl.sim.transfers import Stalls, pack, unpack, word_count

IDLE_CYCLES = 1_000_000  # without any transfer, after which a design counts as stuck


@dataclass(frozen=True, eq=False)
class Simulated:
    """Output codes [n, *shape] by edge, and cycles counted from the numbers of transfers.

    `latency_cycles` is from the first transfer into the core to the first out of it,
    `last_latency_cycles` to the last one of the first sample; `ii_cycles` is the median distance of
    the ends of samples, None for a single one. `cycles` is the length of the simulation.
    """

    outputs: Mapping[str, Codes]
    latency_cycles: int
    last_latency_cycles: int
    ii_cycles: float | None
    cycles: int
    simulator: str


def simulate(
    folder: Path,
    design: Design,
    inputs: Mapping[str, Codes],
    stalls: Stalls | None = None,
    *,
    simulator: Simulator | None = None,
    waveform: Path | None = None,
    timeout_s: float = 3600.0,
) -> Simulated:
    """Run the design whose files lie in `folder` on codes [n, *shape] of its input edges.

    Without a name the fastest simulator that is installed is taken. `waveform` is a VCD file to
    write. `timeout_s` holds for each program.

    Raises:
        ToolMissing: no simulator of the language is installed.
        ToolFailed: it failed, took too long, or the design stopped giving outputs.
    """
    found = find_simulator(simulator) if simulator else first_simulator(design.language)
    work = folder / "sim" / "run"
    work.mkdir(parents=True, exist_ok=True)
    for port in design.inputs:
        pack(port, inputs[port.edge]).tofile(work / f"in_{port.name}.bin")
    count = len(next(iter(inputs.values())))
    cycles = run_bench(
        folder, design, found, count, stalls or Stalls(), IDLE_CYCLES, waveform, timeout_s
    )
    outputs = {port.edge: _read(work, port, count) for port in design.outputs}
    return _measured(work, design, outputs, cycles, found)


def _read(work: Path, port: Port, count: int) -> Codes:
    words = np.fromfile(work / f"out_{port.name}.bin", "<u4").reshape(-1, word_count(port))
    if len(words) != count * port.beats:
        raise ToolFailed(
            f"the simulation gave {len(words)} transfers of {port.name}, not {count * port.beats}",
            str(work),
        )
    return unpack(port, words, edge_shape(port))


def edge_shape(port: Port) -> tuple[int, ...]:
    """Return the shape of a whole sample at a port: that of a transfer, after its beats."""
    return port.shape if port.beats == 1 else (port.beats, *port.shape)


def _measured(
    work: Path, design: Design, outputs: Mapping[str, Codes], cycles: int, found: Found
) -> Simulated:
    starts = [_cycles(work, "in", port)[0, 0] for port in design.inputs]
    ends = [_cycles(work, "out", port) for port in design.outputs]
    first = int(min(starts))
    steps = np.diff(np.max([rows[:, -1] for rows in ends], axis=0))
    return Simulated(
        outputs=outputs,
        latency_cycles=int(min(rows[0, 0] for rows in ends)) - first,
        last_latency_cycles=int(max(rows[0, -1] for rows in ends)) - first,
        ii_cycles=float(median(steps.tolist())) if len(steps) else None,
        cycles=cycles,
        simulator=f"{found.name} {found.version}".strip(),
    )


def _cycles(work: Path, side: str, port: Port) -> NDArray[np.int64]:
    """Return the cycle numbers of transfers [n, beats]."""
    found = np.fromfile(work / f"cycles_{side}_{port.name}.bin", "<u8").astype(np.int64)
    return found[: len(found) // port.beats * port.beats].reshape(-1, port.beats)
