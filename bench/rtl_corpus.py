"""Models of a folder as RTL: which form, whether simulation is exact under stalls, what it takes.

Each model is built in a process of its own: loaded, its form chosen, written, and simulated on
random codes of its inputs, with random gaps before and back-pressure behind the core, against the
interpreter. The script ends with exit code 1 when a simulation differs.

    python -m bench.rtl_corpus FOLDER [--models TEXT ...] [--samples 20] [--limit-s 600]
        [--yosys-s 300] [-o TABLE]

`--models` takes those whose file names contain one of the texts; without it, all are taken.
`--yosys-s` counts cells too, for at most so many seconds a process; a design of which a module
takes longer is PARTIAL and has no totals. `--samples 0` writes and counts, and simulates nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STALL_PERCENT = 30
COLUMNS = (
    "model", "family", "verdict", "form", "lut", "latency", "last", "interval", "write_s",
    "simulate_s", "lut_packed", "ff", "carry", "dsp", "bram18", "yosys_s", "tool", "note",
)  # fmt: skip


def main() -> int:
    """Run all models; return 1 if one differs."""
    options = parse()
    if options.one:
        print(json.dumps(run(options.folder, options.one, options)))
        return 0
    from bench.corpus.models import find_models

    rows = []
    print("\t".join(COLUMNS), flush=True)
    for model in find_models(options.folder):
        if options.models and not any(text in model.name for text in options.models):
            continue
        row = {"model": model.name, "family": model.family, **in_child(model.name, options)}
        rows.append(row)
        print("\t".join(str(row.get(name, "")) for name in COLUMNS), flush=True)
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    exact = sum(row["verdict"] == "exact" for row in rows)
    print(f"{exact} of {len(rows)} exact")
    return int(any(row["verdict"] == "different" for row in rows))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=[])
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--limit-s", type=float, default=600.0)
    parser.add_argument("--yosys-s", type=float, default=0.0)
    parser.add_argument("--board", default="xcvu9p")
    parser.add_argument("--form", default="auto", choices=("auto", "unrolled", "streaming"))
    parser.add_argument("--simulator", choices=("verilator", "icarus"))
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def in_child(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Build one model in a process that may crash or take too long."""
    command = [
        sys.executable, "-m", "bench.rtl_corpus", str(options.folder), "--one", name,
        "--samples", str(options.samples), "--board", options.board, "--form", options.form,
        "--limit-s", str(options.limit_s), "--yosys-s", str(options.yosys_s),
    ]  # fmt: skip
    command += ["--simulator", options.simulator] if options.simulator else []
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=options.limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"verdict": "too long", "note": f"more than {options.limit_s:g} s"}
    if done.returncode:
        return {"verdict": "crash", "note": done.stderr.strip().rpartition("\n")[2]}
    found: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return found


def run(folder: Path, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what became of one model."""
    from bench.corpus.models import find_models
    from qapflow.boards import load_target
    from qapflow.errors import QapflowError
    from qapflow.frontend.archive import read_model
    from qapflow.frontend.load import load
    from qapflow.plan.propose import propose
    from qapflow.rtl.forms import Order, write_design

    model = next(model for model in find_models(folder) if model.name == name)
    row: dict[str, Any] = {}
    try:
        net = load(read_model(model.path, model.weights)).net
        target = load_target(options.board)
        start = time.monotonic()
        order = Order("core", "verilog", options.form)
        design, reason = write_design(net, propose(net, target), target, order)
        row |= {"form": design.form, "lut": design.cost_lut, "note": reason}
        row["write_s"] = round(time.monotonic() - start, 1)
        row["verdict"] = "written"
        with tempfile.TemporaryDirectory() as place:
            if options.samples:
                row |= simulate_stalled(net, design, Path(place), options)
            if options.yosys_s:
                row |= count_cells(design, Path(place), options)
    except QapflowError as error:
        row |= {"verdict": type(error).__name__, "note": " ".join(str(error).split())[:300]}
    return row


def simulate_stalled(
    net: Any, design: Any, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Simulate a design with and without stalls; return the verdict and what was measured."""
    import numpy as np

    from qapflow.ir.interpret import interpret
    from qapflow.lower.files import Files
    from qapflow.rtl.sim.simulate import simulate
    from qapflow.rtl.sim.transfers import Stalls

    Files(design.files).write(folder)
    rng = np.random.default_rng(0)
    codes = {
        node.name: rng.integers(
            node.out.type.lo, node.out.type.hi + 1, (options.samples, *node.out.shape)
        )
        for node in net.inputs
    }
    expected = interpret(net, codes)
    start = time.monotonic()
    how = {"simulator": options.simulator, "timeout_s": options.limit_s}
    free = simulate(folder, design, codes, **how)
    stalled = simulate(folder, design, codes, Stalls(STALL_PERCENT, STALL_PERCENT, 7), **how)
    same = all(
        np.array_equal(values.reshape(expected[name].shape), expected[name])
        for found in (free, stalled)
        for name, values in found.outputs.items()
    )
    return {
        "verdict": "exact" if same else "different",
        "latency": free.latency_cycles,
        "last": free.last_latency_cycles,
        "interval": free.ii_cycles,
        "simulate_s": round(time.monotonic() - start, 1),
    }


def count_cells(design: Any, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the cells that Yosys counts, module by module; no totals where one has none."""
    from qapflow.boards import load_target
    from qapflow.synth.open.engines import choose_engine
    from qapflow.synth.open.families import family_of
    from qapflow.synth.open.run import How, memory_share, synthesise
    from qapflow.synth.open.script import CellMapping
    from qapflow.synth.open.sources import sources_of
    from qapflow.synth.open.unit import Limits
    from qapflow.verify.process import cores

    target, jobs = load_target(options.board), cores()
    mapping = CellMapping(family_of(target.family, target.part))
    how = How(choose_engine(), mapping, Limits(options.yosys_s, memory_share(jobs)), jobs)
    found = synthesise(sources_of(design), how, folder / "cells", lambda *words: None)
    row: dict[str, Any] = {"yosys_s": round(found.seconds, 1), "tool": found.tool}
    if found.status != "ok":
        missing = [module.name for module in found.modules if module.status != "ok"]
        return row | {"lut_packed": f"PARTIAL: {len(missing)} of {len(found.modules)} missing"}
    return row | {name: found.totals.get(name, 0) for name in COLUMNS if name in found.totals}


if __name__ == "__main__":
    sys.exit(main())
