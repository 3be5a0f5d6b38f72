"""Train variants in processes side by side; what was trained is not trained again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from bench.pruning.grid import Setting, Variant, recipe
from qapflow.lower.files import write_file

Row = dict[str, Any]
Rows = Mapping[Variant, Sequence[Row]]


def train_all(
    todo: Iterable[Variant], setting: Setting, data: Path, folder: Path, jobs: int, board: str
) -> dict[Variant, list[Row]]:
    """Return the rows of every variant; one that fails ends the comparison."""
    with ThreadPoolExecutor(jobs) as pool:
        tasks = {v: pool.submit(train, v, setting, data, folder, jobs, board) for v in todo}
        return {variant: task.result() for variant, task in tasks.items()}


def train(
    variant: Variant, setting: Setting, data: Path, folder: Path, jobs: int, board: str
) -> list[Row]:
    """Train one variant, or go on with it, and return its rows."""
    output = folder / f"{variant.name}.h5"
    if not is_trained(variant, setting, folder):
        path = output.with_suffix(".yaml")
        write_file(path, write_recipe(variant, setting).encode())
        run_train(path, data, output, jobs, board)
    rows = output.with_suffix(".train") / "rows.jsonl"
    return [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]


def is_trained(variant: Variant, setting: Setting, folder: Path) -> bool:
    """Tell whether a folder has all of a variant, trained by this very recipe."""
    path, output = folder / f"{variant.name}.yaml", folder / f"{variant.name}.h5"
    text = write_recipe(variant, setting)
    return output.exists() and path.exists() and path.read_text(encoding="utf-8") == text


def write_recipe(variant: Variant, setting: Setting) -> str:
    """Return the recipe of a variant as YAML."""
    return yaml.safe_dump(recipe(variant, setting), sort_keys=False)


def run_train(path: Path, data: Path, output: Path, jobs: int, board: str) -> None:
    """Run `qapflow train`; its cores are shared among the jobs."""
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    limits = {name: str(threads) for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")}
    environment: Mapping[str, str] = {**os.environ, **limits}
    command = [sys.executable, "-m", "qapflow", "train", str(path), "--data", str(data)]
    print(f"training {output.stem}", flush=True)
    done = subprocess.run(
        [*command, "-o", str(output), "--board", board, "--json"], env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{output.stem} failed ({done.returncode}):\n{done.stderr[-2000:]}")
