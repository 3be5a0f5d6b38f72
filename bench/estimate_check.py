"""Compare the estimates with public csynth reports: n, median and P90 error, 5..95 % factors.

usage: estimate_check.py GROUNDTRUTH_FOLDER

The folder holds `dense_single_layer.csv` with the layers' `models/*.h5`, and `modules.csv`, one
row a module of larger designs with statistics of its weights.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import h5py
import numpy as np

from qapflow.boards import load_target
from qapflow.estimate import estimate
from qapflow.estimate.kernel import Kernel
from qapflow.estimate.latency import tree_cycles
from qapflow.estimate.resources import latency_cost, resource_cost
from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Const, Dense, Input
from qapflow.plan import Choice, Plan

COLUMNS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM_18K"}
Pairs = dict[tuple[str, str], list[tuple[float, float]]]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def read_codes(path: Path, bits: int) -> np.ndarray:
    """Return the codes of `quantized_bits(bits, 0, alpha=1)` of the file's kernel."""
    found = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and "kernel" in name:
            found.append(item[()])

    with h5py.File(path) as file:
        file.visititems(visit)
    limit = 1 << (bits - 1)
    return np.clip(np.rint(found[0].astype(np.float64) * limit), -limit, limit - 1).astype(np.int64)


def single_layers(folder: Path, pairs: Pairs) -> None:
    target = load_target("alveo-u250")
    wide = Fixed(True, 16, 10)
    for row in read_rows(folder / "dense_single_layer.csv"):
        if row["hls_synth_success"] != "True":
            continue
        reuse = int(row["rf"])
        if row["strategy"] == "latency" and reuse > 1:
            continue  # csynth ignored the reuse factor: the same figures as RF=1
        bits = int(row["prec"])
        codes = read_codes(folder / "models" / Path(row["model_file"]).name, bits)
        weight = Const(codes, Fixed(True, bits, bits - 1))
        nodes = (
            Node("x", Input(), (), Edge((codes.shape[0],), wide)),
            Node("fc", Dense(weight), ("x",), Edge((codes.shape[1],), wide)),
        )
        choice = Choice(row["strategy"], reuse)
        plan = Plan("vivado", "io_parallel", 5.0, 12.5, {"fc": choice})
        figures = estimate(Net(nodes, ("fc",)), plan, target)["fc"]
        folded = row["strategy"] == "latency" or reuse == 1
        kind = "latency UltraScale" if folded else "resource rf gt n_in"
        for name, column in COLUMNS.items():
            pairs[kind, name].append((figures[name].value, float(row[column + "_hls"])))
        pairs[kind, "latency_cycles"].append(
            (figures["latency_cycles"].value, float(row["BestLatency_hls"]))
        )
        pairs[kind, "ii_cycles"].append((figures["ii_cycles"].value, float(row["IntervalMin_hls"])))


def number(row: dict[str, str], key: str, default: float = 0.0) -> float:
    try:
        return float(row[key])
    except ValueError:
        return default


def kernel_of(row: dict[str, str]) -> Kernel:
    return Kernel(
        n_in=int(number(row, "n_in")),
        n_out=int(number(row, "n_out")),
        weight_width=int(number(row, "weight_t_w", 16)),
        in_width=int(number(row, "in_t_w", 16)),
        accumulator_width=int(number(row, "accum_t_w", 16)),
        nonzeros=int(number(row, "n_w") - number(row, "n_zero")),
        dsp_constants=int(number(row, "u_dsp")),
        one_adder_constants=int(number(row, "u_lut_adds")),
        adders=int(number(row, "u_lut_adds") + 2.4 * number(row, "u_dsp")),
        digits=int(number(row, "csd_sum")),
        max_terms=int(number(row, "max_terms")),
    )


def modules(folder: Path, pairs: Pairs) -> None:
    fast, slow = load_target("alveo-u250"), load_target("pynq-z2")
    seen, unread = set(), []
    for row in read_rows(folder / "modules.csv"):
        if row["kind"] not in ("dense_latency", "dense_resource") or not number(row, "n_w"):
            continue
        if row["in_t_w"] == "" and row["kind"] == "dense_latency":
            continue
        key = tuple(row[k] for k in ("repo", "n_in", "n_out", "LUT", "FF", "DSP", "part"))
        reuse = int(number(row, "reuse_factor", 1))
        if key in seen or (row["kind"] == "dense_latency" and reuse > 1):
            continue
        seen.add(key)
        kernel = kernel_of(row)
        if number(row, "LUT") < 0.5 * kernel.nonzeros * kernel.accumulator_width:
            unread.append(row["module"])  # fewer adders than weights: outputs nobody reads
            continue
        target = slow if row["part"].startswith("xc7") else fast
        plan = Plan("vivado", "io_parallel", number(row, "clk_target", 5), 12.5, {})
        cycles = tree_cycles(kernel, plan, target)
        if row["kind"] == "dense_latency":
            cost = latency_cost(kernel, cycles, target is fast)
        else:
            cost, cycles = resource_cost(kernel, reuse), reuse + 1
        group = cost.kind
        for name, column in (("lut", "LUT"), ("ff", "FF"), ("dsp", "DSP"), ("bram18", "BRAM")):
            pairs[group, name].append((cost.amounts[name], number(row, column)))
        pairs[group, "latency_cycles"].append((cycles, number(row, "lat_best")))
    print(f"{len(unread)} modules left out: their outputs are partly unread\n")


def show(pairs: Pairs) -> None:
    print(f"{'group':<48}{'figure':<16}{'n':>5}{'median':>9}{'P90':>9}{'5 %':>8}{'95 %':>8}")
    for (group, name), values in sorted(pairs.items()):
        guess, truth = np.array(values).T
        used = (truth > 0) & (guess > 0)
        if not used.any():
            wrong = int(((truth > 0) != (guess > 0)).sum())
            print(f"{group:<48}{name:<16}{len(truth):>5}  zero; wrong on {wrong}")
            continue
        guess, truth, missed = guess[used], truth[used], len(truth) - int(used.sum())
        error, ratio = np.abs(guess - truth) / truth, truth / guess
        low, high = np.quantile(ratio, [0.05, 0.95])
        note = f"  ({missed} with a zero on one side or both)" if missed else ""
        print(
            f"{group:<48}{name:<16}{len(truth):>5}{np.median(error):>9.1%}"
            f"{np.quantile(error, 0.9):>9.1%}{low:>8.2f}{high:>8.2f}{note}"
        )


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    folder = Path(sys.argv[1])
    pairs: Pairs = defaultdict(list)
    single_layers(folder, pairs)
    modules(folder, pairs)
    show(pairs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
