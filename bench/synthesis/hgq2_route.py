"""The same network by two roads to RTL: qapflow's, and HGQ2's layers through alkaid.

    python -m bench.synthesis.hgq2_route PYTHON [--sparsity 0.75] [--board xcvu9p]

PYTHON is an interpreter with HGQ2 and alkaid. The network is 16-64-32-32-5 of `models.mlp`, its
types fixed in HGQ2's layers, so that both compute the same: their values are compared on 10,000
samples. Both are pipelined for the same clock, without ternary adders, and counted by Yosys.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.synthesis.by_size import SIZES
from bench.synthesis.models import BOARD, ROOT, design_of, mlp
from qapflow.boards import load_target
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Dense
from qapflow.lower.files import Files
from qapflow.plan.propose import propose
from qapflow.rtl.schedule import stage_budget
from qapflow.rtl.sim.simulate import simulate
from qapflow.rtl.sim.tools import find_simulator
from qapflow.rtl.sim.verilator import build_bench
from qapflow.synth.open.engines import choose_engine
from qapflow.synth.open.run import How, memory_share, synthesise
from qapflow.synth.open.script import CellMapping
from qapflow.synth.open.sources import Sources, read_folder, sources_of
from qapflow.synth.open.unit import Limits

PROCESS = Path(__file__).with_name("hgq2_process.py")
WORK = ROOT / "build" / "synth-hgq2-route"
SAMPLES = 10_000
TITLES = (
    "road", "differ from the interpreter", "latency, cycles", "alkaid's estimate",
    "LUT packed (from to)", "FF", "CARRY4", "trace and write, s", "Yosys, s",
)  # fmt: skip


@dataclass(frozen=True)
class Road:
    """One design and what is known before synthesis; `latency` says where it is from."""

    name: str
    mismatches: int
    latency: str
    cost_lut: float
    seconds: float
    sources: Sources


def main() -> None:
    """Print a row a road."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="a Python that has HGQ2 and alkaid")
    parser.add_argument("--sparsity", type=float, default=0.75)
    parser.add_argument("--board", default=BOARD)
    options = parser.parse_args()
    net = mlp(SIZES, options.sparsity)
    codes = draw_samples(net)
    engine = choose_engine()
    how = How(engine, CellMapping("xcup", "normal"), Limits(7200.0, memory_share(2)), 2)
    print(f"{options.sparsity:.0%} zeros, {engine.words}\n")
    print(f"| {' | '.join(TITLES)} |\n|{' --- |' * len(TITLES)}")
    with tempfile.TemporaryDirectory() as folder:
        roads = (
            own_road(net, codes, options.board, Path(folder, "own")),
            hgq2_road(net, codes, options, Path(folder, "hgq2")),
        )
        for road in roads:
            print(count(road, how), flush=True)


def draw_samples(net):
    """Return input codes [n, inputs]: half over the whole range, half near zero."""
    kind = net.inputs[0].out.type
    codes = np.random.default_rng(0).integers(
        kind.lo, kind.hi, (SAMPLES, *net.inputs[0].out.shape), endpoint=True
    )
    codes[::2] //= 16
    return codes


def values_of(net, codes):
    """Return what the interpreter computes, as reals [n, outputs]."""
    name = net.outputs[0]
    return net.edge(name).type.decode(interpret(net, {net.inputs[0].name: codes})[name])


def own_road(net, codes, board, folder) -> Road:
    """Write and simulate qapflow's RTL."""
    start = time.process_time()
    design = design_of(net, "own", board)
    seconds = time.process_time() - start
    Files(design.files).write(folder)
    build_bench(folder, design, find_simulator("verilator"), timeout_s=3000)
    samples = {net.inputs[0].name: codes}
    found = simulate(folder, design, samples, simulator="verilator")
    expected = interpret(net, samples)
    wrong = sum(int(np.count_nonzero(found.outputs[k] != v)) for k, v in expected.items())
    latency = f"{found.latency_cycles} (RTL simulation)"
    return Road("qapflow", wrong, latency, design.cost_lut, seconds, sources_of(design))


def hgq2_road(net, codes, options, folder) -> Road:
    """Let HGQ2 and alkaid write RTL of the same network; its values are Keras's and the logic's."""
    folder.mkdir(parents=True)
    target = load_target(options.board)
    plan = propose(net, target)
    budget = stage_budget(target, plan.clock_ns, plan.clock_uncertainty_percent)
    kernels = [
        node.op.weight.type.decode(node.op.weight.codes)
        for node in net.nodes
        if isinstance(node.op, Dense)
    ]
    arrays = {f"kernel_{n}": kernel.astype(np.float32) for n, kernel in enumerate(kernels)}
    reals = net.inputs[0].out.type.decode(codes).astype(np.float32)
    np.savez(folder / "network.npz", samples=reals, **arrays)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(folder / "network.npz"), str(folder), str(plan.clock_ns), str(budget.units)]
    subprocess.run([options.python, str(PROCESS), *words], env=environment, check=True)
    made = json.loads((folder / "made.json").read_text())
    wrong = int(np.count_nonzero(np.load(folder / "keras_values.npy") != values_of(net, codes)))
    return Road(
        "HGQ2 and alkaid", wrong + made["logic_differs"], f"{made['stages']} (as alkaid says)",
        made["cost_lut"], made["seconds"], read_folder(folder / "src", "hgq2"),
    )  # fmt: skip


def count(road: Road, how: How) -> str:
    """Return a row of the table, with the cells that Yosys counts."""
    folder = WORK / road.name.replace(" ", "_")
    found = synthesise(road.sources, how, folder, lambda *words: None)
    totals = found.totals
    cells = (
        road.name, road.mismatches, road.latency, f"{road.cost_lut:,.0f}",
        f"{totals['lut_packed']:,} ({found.least_lut:,} to {totals['lut']:,})",
        f"{totals['ff']:,}", f"{totals['carry']:,}", f"{road.seconds:.1f}",
        f"{sum(m.seconds for m in found.modules):.0f}" + " PARTIAL" * (found.status != "ok"),
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
