"""Seconds and memory of tracing, writing and Yosys by size: the jet tagger at five sparsities.

    python -m bench.synthesis.by_size [--sparsity 0.9 0.8 ...] [--engines]

The network is 16-64-32-32-5 with 6-bit weights and activations and 16-bit inputs, its weights
random with exactly so many zeros. `--engines` counts one small network with every Yosys installed.
Prints a table in Markdown, a row as soon as it is known.
"""

import argparse
import resource
import time
from pathlib import Path

from bench.synthesis.models import BOARD, ROOT, design_of, mlp
from qapflow.synth.open.engines import choose_engine, find_engines
from qapflow.synth.open.run import How, memory_share, synthesise
from qapflow.synth.open.script import CellMapping
from qapflow.synth.open.sources import sources_of
from qapflow.synth.open.unit import Limits

WORK = ROOT / "build" / "synth-by-size"
SIZES = (16, 64, 32, 32, 5)
SPARSITIES = (0.9, 0.8, 0.75, 0.5, 0.0)
TITLES = (
    "network", "weights not 0", "trace and write, s", "Verilog, MB", "modules", "own estimate",
    "LUT packed (from to)", "FF", "CARRY4", "Yosys, processor s", "ms a LUT", "largest process, MB",
    "engine",
)  # fmt: skip


def main():
    """Print a row a design."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsity", nargs="*", type=float, default=SPARSITIES)
    parser.add_argument("--engines", action="store_true", help="every engine on one small network")
    parser.add_argument("--effort", choices=("quick", "normal", "whole"), default="normal")
    options = parser.parse_args()
    print(f"| {' | '.join(TITLES)} |\n|{' --- |' * len(TITLES)}")
    if options.engines:
        for engine in find_engines():
            run(
                f"8-8-3, half pruned, {options.effort}", mlp((8, 8, 3), 0.5), engine, options.effort
            )
        return
    for sparsity in options.sparsity:
        run(f"{sparsity:.0%} zeros", mlp(SIZES, sparsity), choose_engine(), options.effort)


def run(title, net, engine, effort):
    """Trace, write, synthesise, print."""
    before = time.process_time()
    design = design_of(net, "bench", BOARD)
    traced = time.process_time() - before
    folder = WORK / f"{title}-{engine.kind}".replace(" ", "_")
    how = How(engine, CellMapping("xcup", effort), Limits(7200.0, memory_share(2)), 2)
    found = synthesise(sources_of(design), how, Path(folder), lambda *words: None)
    seconds = sum(module.seconds for module in found.modules)
    totals = found.totals
    weights = sum(int((node.op.weight.codes != 0).sum()) for node in net.nodes
                  if hasattr(node.op, "weight"))  # fmt: skip
    megabytes = sum(map(len, design.files.values())) / 1e6
    cells = (
        title, f"{weights:,}", f"{traced:.1f}", f"{megabytes:.1f}", len(found.modules),
        f"{design.cost_lut:,.0f}",
        f"{totals['lut_packed']:,} ({found.least_lut:,} to {totals['lut']:,})",
        f"{totals['ff']:,}", f"{totals['carry']:,}", f"{seconds:.0f}",
        f"{1000 * seconds / max(1, totals['lut']):.1f}",
        f"{max(module.peak_mb for module in found.modules):.0f}",
        engine.words + ("" if found.status == "ok" else ", PARTIAL"),
    )  # fmt: skip
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory of tracing and writing: {peak:.0f} MB")
