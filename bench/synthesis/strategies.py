"""The jet tagger's matrices as distributed arithmetic and as plain multipliers.

python -m bench.synthesis.strategies [--sparsity 0.75]
"""

import argparse

from bench.synthesis.by_size import SIZES
from bench.synthesis.models import ROOT, mlp
from qapflow.synth.open.compare import compare_strategies
from qapflow.synth.open.engines import choose_engine
from qapflow.synth.open.run import How, memory_share
from qapflow.synth.open.script import CellMapping
from qapflow.synth.open.unit import Limits

WORK = ROOT / "build" / "synth-strategies"


def main():
    """Print a row a strategy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsity", type=float, default=0.75)
    options = parser.parse_args()
    how = How(choose_engine(), CellMapping("xcup"), Limits(7200.0, memory_share(2)), 2)
    net = mlp(SIZES, options.sparsity)
    print("| matrices as | zeros | LUT packed (from to) | CARRY4 | processor s | engine |")
    print("|" + " --- |" * 6)
    for found in compare_strategies(net, how, WORK, lambda *words: None):
        figures = found.figures
        partial = ", PARTIAL" * found.detail.startswith("PARTIAL")
        cells = (
            found.name, f"{options.sparsity:.0%}",
            f"{figures['lut_packed']:,} ({found.least_lut:,} to {figures['lut']:,})",
            f"{figures['carry']:,}", f"{found.seconds:.0f}", how.engine.words + partial,
        )  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
