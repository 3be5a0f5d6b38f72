"""What pruning has to stand: searched networks of equal BOPs, and HGQ2 on the same folds."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import yaml

from bench.pruning.grid import Setting, Variant, recipe
from bench.pruning.points import Point
from bench.pruning.runs import run_train
from qapflow.lower.files import write_file
from qapflow.train.recipes.recipe import DataRecipe
from qapflow.train.samples.data import load_data

SMALLEST = 2  # units of a searched layer
HGQ2_PROCESS = Path(__file__).with_name("hgq2_process.py")


@dataclass(frozen=True)
class Rival:
    """Means over folds of another method's network; `spread` is the standard deviation."""

    name: str
    accuracy: float
    spread: float
    val_accuracy: float
    bops: float | None
    ebops: float


def search_networks(
    point: Point, setting: Setting, data: Path, folder: Path, trials: int, board: str
) -> Rival:
    """Return the best of `trials` dense networks of at most the BOPs of `point`, in its bits.

    Unpruned; widths by Bayesian optimization of the validation loss (Hawks et al. 2021 used Ax).
    """
    wanted: dict[str, Any] = dict(recipe(replace(point.variant, rewind=False), setting))
    wanted |= {
        "name": "search",
        "pruning": {"method": "none"},
        "search": {
            "trials": trials,
            "units": [[SMALLEST, width] for width in setting.widths],
            "max_bops": int(point.bops_input_own),
        },
    }
    path = (
        folder / f"search-{point.variant.name}-{point.stage}.yaml"
    )  # another point, another search
    output, text = path.with_suffix(".h5"), yaml.safe_dump(wanted, sort_keys=False)
    if not (output.exists() and path.exists() and path.read_text(encoding="utf-8") == text):
        write_file(path, text.encode())
        run_train(path, data, output, 1, board)
    found = [
        [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
        for rows in sorted(output.with_suffix(".search").glob("trial_*.train/rows.jsonl"))
    ]
    best = min(found, key=lambda rows: fmean(row["val_loss"] for row in rows))
    return _mean(f"best of {len(found)} searched, {point.variant.bits} bits", best)


def _mean(name: str, rows: Sequence[Mapping[str, Any]]) -> Rival:
    return Rival(
        name,
        fmean(row["accuracy"] for row in rows),
        stdev(row["accuracy"] for row in rows) if len(rows) > 1 else 0.0,
        fmean(row["val_accuracy"] for row in rows),
        fmean(row["cost_bops_input_own"] for row in rows),
        fmean(row["cost_ebops"] + row["cost_ebops_accumulation"] for row in rows),
    )


def train_hgq2(
    python: str, setting: Setting, data: Path, folder: Path, epochs: int, beta: float, level: float
) -> Rival | None:
    """Train HGQ2's network on every fold; return the fewest EBOPs that validate at `level`.

    `python` is an interpreter with HGQ2. Each fold gives its own epoch; None when one has none.
    """
    chosen = []
    for fold in range(setting.folds):
        rows = _hgq2_rows(python, setting, data, folder / f"hgq2_{fold}", fold, epochs, beta)
        kept = [row for row in rows if row["validation_accuracy"] >= level]
        if not kept:
            return None
        chosen.append(min(kept, key=lambda row: row["ebops"]))
    accuracies = [row["test_accuracy"] for row in chosen]
    return Rival(
        f"HGQ2, {epochs} epochs", fmean(accuracies), stdev(accuracies) if len(chosen) > 1 else 0.0,
        fmean(row["validation_accuracy"] for row in chosen), None,
        fmean(row["ebops"] for row in chosen),
    )  # fmt: skip


def _hgq2_rows(
    python: str, setting: Setting, data: Path, stem: Path, fold: int, epochs: int, beta: float
) -> Sequence[Mapping[str, Any]]:
    samples, rows = stem.with_suffix(".npz"), stem.with_suffix(".json")
    arguments = [
        ",".join(map(str, setting.widths)), str(epochs), str(setting.batch_size),
        str(setting.learning_rate), str(beta),
    ]  # fmt: skip
    if rows.exists():
        kept = json.loads(rows.read_text(encoding="utf-8"))
        if kept["arguments"] == arguments:
            return list(kept["rows"])
    wanted = {"source": str(data), "standardize": setting.standardize, "folds": setting.folds}
    source = DataRecipe.model_validate(wanted)
    made = load_data(source, 0, fold)
    sets = {
        f"{axis}_{part}": getattr(made, f"{axis}_{part}")
        for axis in "xy"
        for part in ("train", "validation", "test")
    }
    np.savez(samples, seed=fold, classes=len(made.classes), **sets)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    print(f"training {stem.name} with HGQ2", flush=True)
    done = subprocess.run(
        [python, str(HGQ2_PROCESS), str(samples), str(rows), *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    samples.unlink()
    if done.returncode:
        raise SystemExit(f"HGQ2 failed ({done.returncode}):\n{done.stderr[-2000:]}")
    kept = {**json.loads(rows.read_text(encoding="utf-8")), "arguments": arguments}
    write_file(rows, json.dumps(kept).encode())
    return list(kept["rows"])


def render_rivals(point: Point, rivals: Sequence[Rival], ebops: float) -> str:
    """Return the lines of a point and its rivals; `ebops` are the point's as HGQ2 counts."""
    lines = [
        "side by side (EBOPs with those of sums, as HGQ2 counts)",
        f"  {'':<34}{'accuracy':>10}{'+-':>8}{'validation':>12}{'BOPs':>12}{'EBOPs':>11}",
    ]
    own = Rival(
        f"{point.variant.name}, step {point.stage}", point.accuracy, point.spread,
        point.val_accuracy, point.bops_input_own, ebops,
    )  # fmt: skip
    for rival in (own, *rivals):
        cost = "-" if rival.bops is None else f"{rival.bops:,.0f}"
        lines.append(
            f"  {rival.name:<34}{rival.accuracy:>10.4f}{rival.spread:>8.4f}"
            f"{rival.val_accuracy:>12.4f}{cost:>12}{rival.ebops:>11,.0f}"
        )
    return "\n".join(lines) + "\n"


def ebops_of(rows: Mapping[Variant, Sequence[Mapping[str, Any]]], point: Point) -> float:
    """Return a point's EBOPs with those of sums, the mean over its folds."""
    found = [row for row in rows[point.variant] if row["stage"] == point.stage]
    return fmean(row["cost_ebops"] + row["cost_ebops_accumulation"] for row in found)
