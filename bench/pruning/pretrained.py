"""Score a folder's trained models on one data set, and say what each costs.

    python -m bench.pruning.pretrained FOLDER DATA.npz [--board xcvu9p]

Takes the models that read one vector of the data's length and give a value for each of its
classes. Accuracy is that of the integer network on all samples `x`, `y` of the archive, whoever
trained on which of them. Classes are taken in the archive's order; where another one gives most
right answers, "reordered" is the accuracy in that order, which tells a model of other labels from
a bad one, and is no measurement of a model that was trained on the archive's.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bench.corpus.models import find_models
from qapflow.boards import load_target
from qapflow.cost.model import cost_of_loaded
from qapflow.errors import QapflowError
from qapflow.ir.interpret import interpret
from qapflow.steps.loading import load_model
from qapflow.steps.settings import BuildSettings

TITLES = (
    "model", "accuracy", "reordered", "BOPs, input 32 bit", "BOPs, input own bits", "EBOPs",
    "CSD digits", "weights", "not 0", "estimated LUT", "types",
)  # fmt: skip


def main() -> None:
    """Print a row a model, the most accurate first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--board", default="xcvu9p")
    options = parser.parse_args()
    with np.load(options.data, allow_pickle=False) as arrays:
        x, y = np.asarray(arrays["x"], np.float64), np.asarray(arrays["y"])
    rows = []
    for model in find_models(options.folder):
        try:
            row = score(model, x, y, options.board)
        except QapflowError as error:
            print(f"{model.name}: {str(error).splitlines()[0]}")
            continue
        rows += [row] if row else []
    print(f"{len(rows)} models, {len(x):,} samples\n")
    print(f"| {' | '.join(TITLES)} |\n|{' --- |' * len(TITLES)}")
    for row in sorted(rows, key=lambda cells: -float(cells[2].split()[0])):
        print(f"| {' | '.join(row)} |")


def score(model, x, y, board):
    """Return the cells of a model, None if it is for other data."""
    settings = BuildSettings(model.path, weights=model.weights, board=board)
    loaded = load_model(settings)
    net = loaded.net
    shapes = [node.out.shape for node in net.inputs]
    ends = [net.edge(name).shape for name in net.outputs]
    if shapes != [x.shape[1:]] or ends != [(int(y.max()) + 1,)]:
        return None
    node, end = net.inputs[0], net.outputs[0]
    codes, _ = node.out.type.encode(x)
    made = net.edge(end).type.decode(interpret(net, {node.name: codes})[end])
    found = cost_of_loaded(loaded, load_target(board))
    cost = found.cost.total
    lut = found.board.totals.get("lut") if found.board else None
    guessed = made.argmax(axis=1)
    order, reordered = best_order(guessed, y)
    told = "" if order == sorted(order) else f" ({' '.join(map(str, order))})"
    return (
        model.path.stem, f"{np.mean(guessed == y):.3f}", f"{reordered:.3f}{told}",
        f"{cost.bops_input_32:,.0f}", f"{cost.bops_input_own:,.0f}", f"{cost.ebops:,}",
        f"{cost.csd_digits:,}",
        f"{cost.weights:,}", f"{cost.nonzeros:,}",
        "-" if lut is None or lut.value is None else f"{lut.value:,.0f}",
        "its own" if found.exact else "chosen",
    )  # fmt: skip


def best_order(guessed: NDArray[np.integer], y: NDArray[np.integer]) -> tuple[list[int], float]:
    """Return the class that each output means when most answers are right, and their share."""
    classes = int(max(guessed.max(), y.max())) + 1
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (guessed, y), 1)
    outputs, meant = linear_sum_assignment(counts, maximize=True)
    return [int(label) for label in meant], float(counts[outputs, meant].sum() / len(y))


if __name__ == "__main__":
    main()
