"""Compare pruning, quantization and both on one data set; every model is trained and proved.

    python -m bench.pruning mnist.npz -o build/pruning/mnist --standardize range --jobs 2

Trains every precision with iterative pruning, by fine-tuning and as lottery tickets, with and
without batch normalization and L1 (Hawks et al., Front. AI 4:676564, 2021), and prints accuracy
and BOPs of each step. Stopped, it goes on where it was.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.pruning.grid import FLOAT, Setting, slimmer_variants, variants
from bench.pruning.plot import draw
from bench.pruning.points import Point, baseline, cheapest, make_points
from bench.pruning.rivals import ebops_of, render_rivals, search_networks, train_hgq2
from bench.pruning.runs import Rows, is_trained, train_all
from bench.pruning.table import render
from qapflow.train.recipes.recipe import FRACTIONS


def main() -> None:
    """Train what is missing, print the tables, draw the picture."""
    options = _options()
    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        tuple(options.widths), tuple(options.bits), options.standardize, options.input_bits,
        options.folds, options.epochs, options.patience, options.batch_size, options.learning_rate,
        tuple(options.fractions),
    )  # fmt: skip
    todo = [
        *variants(options.bits, options.only),
        *slimmer_variants(options.slim_bits, options.slim_inputs, options.slim_units, options.only),
    ]
    if options.finished:
        todo = [variant for variant in todo if is_trained(variant, setting, folder)]
    if not todo:
        raise SystemExit("none of these variants is trained")
    rows = train_all(todo, setting, options.data.resolve(), folder, options.jobs, options.board)
    points = make_points(rows, _sizes(options.data, setting.widths))
    text = render(points) + "\n" + _stand(options, setting, rows, points)
    (folder / "table.txt").write_text(text, encoding="utf-8")
    (folder / "points.json").write_text(json.dumps([asdict(p) for p in points], indent=1))
    draw(points, folder / "accuracy.png")
    print(text)


def _stand(
    options: argparse.Namespace, setting: Setting, rows: Rows, points: Sequence[Point]
) -> str:
    """Compare the cheapest point without loss with what else gives small networks."""
    base = baseline(points)
    point = cheapest([p for p in points if p.variant.bits != FLOAT], base)
    if point is None or not (options.trials or options.hgq2):
        return ""
    data, folder, found = options.data.resolve(), options.output, []
    if options.trials:
        found.append(search_networks(point, setting, data, folder, options.trials, options.board))
    if options.hgq2:
        level = base.val_accuracy - base.val_spread
        epochs, beta = options.hgq2_epochs, options.hgq2_beta
        rival = train_hgq2(options.hgq2, setting, data, folder, epochs, beta, level)
        found += [rival] if rival else []
    return render_rivals(point, found, ebops_of(rows, point))


def _sizes(data: Path, widths: tuple[int, ...]) -> tuple[int, ...]:
    with np.load(data, allow_pickle=False) as arrays:
        inputs = int(np.prod(arrays["x_train"].shape[1:]))
        classes = len(np.unique(arrays["y_train"]))
    return (inputs, *widths, 1 if classes == 2 else classes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.pruning", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("data", type=Path, help=".npz with x_train, y_train, x_test, y_test")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 32, 32])
    parser.add_argument("--bits", type=int, nargs="+", default=[32, 12, 8, 6, 4])
    parser.add_argument("--input-bits", type=int, default=8, help="of quantized networks")
    parser.add_argument(
        "--slim-bits", type=int, nargs="+", default=[4], help="bits of slimmer variants"
    )
    parser.add_argument(
        "--slim-inputs", type=int, nargs="*", default=[], help="their bits of the input"
    )
    parser.add_argument(
        "--slim-units", type=float, nargs="*", default=[], help="shares of units they lose"
    )
    parser.add_argument("--standardize", default="features", choices=("features", "range", "none"))
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=15, help="at most, each pruning step")
    parser.add_argument("--patience", type=int, default=4, help="epochs without a better loss")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument(
        "--fractions", type=float, nargs="+", default=FRACTIONS,
        help="share of what is left that each pruning step removes",
    )  # fmt: skip
    parser.add_argument("--board", default="xcvu9p", help="whose estimate goes with each point")
    parser.add_argument("--only", default="", help="only variants whose names contain this")
    parser.add_argument(
        "--finished", action="store_true", help="tables of what is trained; no variant is trained"
    )
    parser.add_argument("--trials", type=int, default=0, help="networks searched at equal BOPs")
    parser.add_argument("--hgq2", help="a Python that has HGQ2, trained on the same folds")
    parser.add_argument("--hgq2-epochs", type=int, default=60)
    parser.add_argument("--hgq2-beta", type=float, default=1e-4, help="price of an EBOP at the end")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
