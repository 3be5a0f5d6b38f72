"""What pruning and size do to unrolled RTL: LUT by estimate and by Yosys, cycles, seconds, memory.

    python bench/rtl_sparsity.py sparsity OUT [--vectors 10000] [--yosys]
    python bench/rtl_sparsity.py sizes OUT

The networks are made here: 16-64-32-32-5 (or the sizes below) with inputs of fixed<16,6>, 6-bit
weights drawn uniformly from -31/32 to 31/32 and set to zero at random, seed 0, and rectifiers of 6
bits that saturate and round to nearest, ties to even. Nothing is trained. `sparsity` holds RTL,
interpreter and C simulation against each other on the same vectors and draws the curve; every row
is a process of its own, so that peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from qapflow.boards import load_target
from qapflow.errors import QapflowError
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Net
from qapflow.ir.ops import Const, Dense, Quantize
from qapflow.lower.files import Files
from qapflow.lower.project import lower
from qapflow.plan.propose import propose
from qapflow.rtl.design import Design
from qapflow.rtl.forms import Order, write_design
from qapflow.rtl.sim.simulate import simulate
from qapflow.rtl.sim.tools import find_simulator
from qapflow.rtl.sim.transfers import Stalls
from qapflow.rtl.sim.verilator import build_bench
from qapflow.verify.compare import compare_csim
from qapflow.verify.compile_csim import compile_csim
from qapflow.verify.vectors import make_vectors

JETS = (16, 64, 32, 32, 5)
SPARSITIES = (0, 50, 75, 80, 90)
SIZES = {"1k": (16, 32, 16), "4k": JETS, "20k": (64, 128, 64, 64), "100k": (128, 256, 256)}
SIZE_SPARSITY = 75


@dataclass(frozen=True)
class Written:
    """A design on disk, its samples, and the figures so far."""

    design: Design
    folder: Path
    codes: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]
    row: dict[str, object]


def perceptron(sizes: tuple[int, ...], sparsity: int) -> Net:
    """Return dense layers of these sizes, `sparsity` percent of their weights zero."""
    rng = np.random.default_rng(0)
    builder = NetBuilder()
    last = builder.add_input("x", (sizes[0],), Fixed(True, 16, 10))
    for number, (n, m) in enumerate(pairwise(sizes)):
        weight = rng.integers(-31, 32, (n, m))
        weight[rng.random(weight.shape) < sparsity / 100] = 0
        dense = Dense(Const(weight, Fixed(True, 6, 5)))
        last = builder.add(f"fc{number}", dense, last, origin=f"fc{number}")
        if number < len(sizes) - 2:
            clip = Quantize(Fixed(False, 6, 3), Rounding.RND_CONV, Overflow.SAT)
            last = builder.add(f"relu{number}", clip, last, origin=f"relu{number}")
    return builder.finish((last,))


def write(sizes: tuple[int, ...], sparsity: int, out: Path, vectors: int) -> Written:
    """Write one network to a folder; return what is needed to simulate it, with its figures."""
    net, target = perceptron(sizes, sparsity), load_target("xcvu9p")
    plan = propose(net, target)
    weights = [node.op.weight.codes for node in net.nodes if isinstance(node.op, Dense)]
    row: dict[str, object] = {
        "sparsity": sparsity,
        "weights": int(sum(w.size for w in weights)),
        "nonzero": int(sum(np.count_nonzero(w) for w in weights)),
    }
    codes = dict(make_vectors(net, vectors, 0).codes)
    expected = interpret(net, codes)
    start = time.monotonic()
    design, reason = write_design(net, plan, target, Order("net"), (codes, expected))
    row |= {"form": design.form, "reason": reason, "write_s": time.monotonic() - start}
    row |= {"write_mb": _peak_mb(resource.RUSAGE_SELF), "cost_lut": design.cost_lut}
    row["text_mb"] = sum(map(len, design.files.values())) / 1e6
    folder = out / "rtl"
    Files(design.files).write(folder)
    return Written(design, folder, codes, expected, row)


def run(written: Written) -> dict[str, object]:
    """Compile and simulate what was written; return its figures."""
    design, folder, row = written.design, written.folder, written.row
    codes, expected = written.codes, written.expected
    start = time.monotonic()
    build_bench(folder, design, find_simulator("verilator"), timeout_s=3000)
    row |= {"build_s": time.monotonic() - start, "build_mb": _peak_mb(resource.RUSAGE_CHILDREN)}
    start = time.monotonic()
    found = simulate(folder, design, codes, simulator="verilator")
    row["simulate_s"] = time.monotonic() - start
    stalled = simulate(folder, design, codes, Stalls(30, 30, 1), simulator="verilator")
    row["latency_cycles"], row["ii_cycles"] = found.latency_cycles, found.ii_cycles
    row["values"] = int(sum(array.size for array in expected.values()))
    row["rtl_mismatches"] = _mismatches(found.outputs, expected)
    row["rtl_mismatches_stalled"] = _mismatches(stalled.outputs, expected)
    return row


def check_csim(sparsity: int, out: Path, vectors: int) -> int:
    """Return how many values of the C simulation differ from the interpreter."""
    net, target = perceptron(JETS, sparsity), load_target("xcvu9p")
    lower(net, propose(net, target), target, "net").write(out / "hls")
    compile_csim(out / "hls")
    return compare_csim(net, out / "hls", make_vectors(net, vectors, 0).codes).mismatches


def count_cells(out: Path) -> dict[str, object]:
    """Return what Yosys counts in the RTL of a row."""
    from qapflow.steps.open_synthesis import OpenSettings, open_synthesis

    (out / "rtl" / "design.json").unlink(missing_ok=True)
    settings = OpenSettings(out / "rtl", top="net", board="xcvu9p")
    found = open_synthesis(settings, lambda name, state: None)
    return {"yosys": dict(found.totals), "yosys_s": found.seconds, "tool": found.tool}


def _mismatches(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> int:
    return int(sum(np.count_nonzero(found[name] != expected[name]) for name in expected))


def _peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def draw(rows: list[dict], path: Path) -> None:
    """Draw LUT and cycles over sparsity."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, left = pyplot.subplots(figsize=(6, 4))
    zeros = [row["sparsity"] for row in rows]
    left.plot(zeros, [row["cost_lut"] for row in rows], "o-", label="alkaid's estimate")
    if all("yosys" in row for row in rows):
        left.plot(zeros, [row["yosys"]["lut"] for row in rows], "s-", label=rows[0]["tool"])
    left.set(xlabel="weights that are zero, percent", ylabel="LUT", ylim=(0, None))
    left.legend(loc="lower left")
    right = left.twinx()
    right.plot(zeros, [row["latency_cycles"] for row in rows], "k^:", label="latency")
    right.set(ylabel="latency, cycles (simulated)", ylim=(0, None))
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def run_row(words: list[str]) -> dict:
    """Run one row in a process of its own; a refusal is a row too."""
    done = subprocess.run(
        [sys.executable, __file__, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1] if done.stderr else "no output"}
    return json.loads(done.stdout.splitlines()[-1])


def one(options: argparse.Namespace) -> None:
    """Print one row as JSON."""
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    try:
        made = write(SIZES[options.size], options.zeros, out, options.vectors)
        row = made.row if options.write_only else run(made)
        if options.csim:
            row["csim_mismatches"] = check_csim(options.zeros, out, options.vectors)
        if options.yosys:
            row |= count_cells(out)
    except QapflowError as error:
        row = {"refused": str(error)}
    print(json.dumps(row))


def main() -> None:
    """Run all rows, print them, and keep them as JSON beside the curve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("sparsity", "sizes", "one"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument("--yosys", action="store_true")
    parser.add_argument("--write-only", action="store_true", help="compile and run nothing")
    parser.add_argument("--csim", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--size", choices=SIZES, default="4k", help=argparse.SUPPRESS)
    parser.add_argument("--zeros", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.what == "one":
        one(options)
        return
    words = ["--vectors", str(options.vectors)] + ["--yosys"] * options.yosys
    words += ["--write-only"] * options.write_only
    rows = []
    for key in SPARSITIES if options.what == "sparsity" else SIZES:
        out = options.out / f"{options.what}_{key}"
        if options.what == "sparsity":
            more = ["--zeros", str(key), "--csim"]
        else:
            more = ["--size", str(key), "--zeros", str(SIZE_SPARSITY)]
        rows.append({"key": key} | run_row(["one", str(out), *words, *more]))
        print(json.dumps(rows[-1]), flush=True)
        (options.out / f"{options.what}.json").write_text(json.dumps(rows, indent=1) + "\n")
    if options.what == "sparsity" and all("latency_cycles" in row for row in rows):
        draw(rows, options.out / "sparsity.png")


if __name__ == "__main__":
    main()
