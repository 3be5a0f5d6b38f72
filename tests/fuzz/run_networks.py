"""Random networks in parallel processes: Keras = interpreter = C simulation, with a report.

    python -m tests.fuzz.run_networks -n 1000 [--jobs 2] [--simulate 4] [-o build/fuzz]
    python -m tests.fuzz.run_networks --seed K

Rows are added to FOLDER/networks.jsonl, one a seed: a run that was stopped goes on where it was.
Every failure is made smaller and left as FOLDER/seed_K.json; --seed K or --recipe FILE repeats it.
"""

import argparse
import collections
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

LIMIT_S = 300  # for one network
PER_PROCESS = 100  # networks


def start_worker():
    """Import Keras once; give up on a network that takes too long."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - TensorFlow talks all the time
    os.dup2(sys.stderr.fileno(), 2)
    from tests.fuzz.keras_models import start_keras

    start_keras()

    def late(*_):
        raise TimeoutError(f"not done in {LIMIT_S} s")

    signal.signal(signal.SIGALRM, late)


def try_seed(seed, simulate, folder):
    """Judge the network of a seed; a failure is made smaller and kept."""
    from tests.fuzz.judge import judge
    from tests.fuzz.keras_models import random_recipe
    from tests.fuzz.shrink import shrink

    signal.alarm(LIMIT_S)
    try:
        recipe = random_recipe(seed)
        row = judge(recipe, simulate)
    finally:
        signal.alarm(0)
    if row["verdict"] == "wrong":
        small = shrink(recipe, lambda r: judge(r, simulate).get("kind") == row["kind"])
        row["detail"] = judge(small, simulate).get("detail", row["detail"])
        keep = {"kind": row["kind"], "simulate": simulate, "recipe": small, "whole": recipe}
        (folder / f"seed_{seed}.json").write_text(json.dumps(keep, indent=1))
    return row


def run(seeds, jobs, every, folder):
    """Judge seeds in `jobs` processes, every `every`-th with the C simulation; yield rows."""
    context = multiprocessing.get_context("spawn")
    left = list(seeds)
    while left:  # processes are renewed now and then, since Keras keeps memory
        with ProcessPoolExecutor(jobs, context, start_worker) as pool:
            batch = left[: PER_PROCESS * jobs]
            tasks = {pool.submit(try_seed, s, s % every == 0, folder): s for s in batch}
            for task in as_completed(tasks):
                left.remove(tasks[task])
                try:
                    yield task.result()
                except BrokenProcessPool:  # one of the networks in work killed a process
                    kind = "a process crashed"
                    yield {"seed": tasks[task], "layers": 0, "verdict": "wrong", "kind": kind,
                           "detail": "", "classes": [], "csim": "", "seconds": 0,
                           "reasons": []}  # fmt: skip


def plain(reason):
    """Return a reason without its numbers, to count those that are alike."""
    return re.sub(r"[-+]?\d+(\.\d+)?(e-?\d+)?", "N", reason)[:110]


def summarize(rows):
    """Return the figures of a run."""
    verdicts = collections.Counter(row["verdict"] for row in rows)
    wrong = [row for row in rows if row["verdict"] == "wrong"]
    layers = collections.Counter(name for row in rows for name in row["classes"])

    def reasons(verdict):
        found = (set(map(plain, r["reasons"])) for r in rows if r["verdict"] == verdict)
        return dict(collections.Counter(text for some in found for text in some).most_common())

    return {
        "networks": len(rows),
        "layers": sum(row["layers"] for row in rows),
        "exact": verdicts["exact"],
        "chosen": verdicts["chosen"],
        "refused": verdicts["refused"],
        "no Keras model": verdicts["no model"],
        "wrong": len(wrong),
        "values compared with Keras": sum(row.get("values", 0) for row in rows),
        "exact layers": sum(row.get("exact_layers", 0) for row in rows),
        "excused by float64": sum("float64" in row.get("note", "") for row in rows),
        "C simulations equal": {
            kind: sum(row["csim"] == kind for row in rows) for kind in ("io_parallel", "io_stream")
        },
        "C simulations refused": dict(
            collections.Counter(
                plain(row["csim"]) for row in rows if row["csim"].startswith("refused")
            )
        ),
        "seconds of work": round(sum(row["seconds"] for row in rows)),
        "slowest": max((row["seconds"] for row in rows), default=0),
        "classes": dict(layers.most_common()),
        "refused by reason": reasons("refused"),
        "chosen by reason": reasons("chosen"),
        "failures": [{key: row[key] for key in ("seed", "kind", "detail")} for row in wrong],
    }


def show(figures):
    """Print the figures as text."""
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, count in value.items():
                print(f"  {count:>6}  {key}")
        elif isinstance(value, list):
            print(f"{name}: {len(value)}")
            for item in value:
                print(f"  seed {item['seed']}: {item['kind']}\n    {item['detail'][:400]}")
        else:
            print(f"{name}: {value}")


def repeat(options):
    """Judge one seed or recipe in this process."""
    from tests.fuzz.judge import judge
    from tests.fuzz.keras_models import random_recipe, start_keras

    start_keras()
    if options.recipe:
        kept = json.loads(options.recipe.read_text())
        recipe = kept.get("recipe", kept)
    else:
        recipe = random_recipe(options.seed)
    row = judge(recipe, True)
    print(json.dumps(recipe, indent=1))
    print(json.dumps(row, indent=1))
    return int(row["verdict"] == "wrong")


def main():
    """Run the suite."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-n", type=int, default=1000, help="networks")
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--simulate", type=int, default=4, help="C simulation of every k-th seed")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--recipe", type=Path, help="this file alone")
    options = parser.parse_args()
    if options.seed is not None or options.recipe:
        return repeat(options)
    options.output.mkdir(parents=True, exist_ok=True)
    log = options.output / "networks.jsonl"
    rows = [json.loads(x) for x in log.read_text().splitlines()] if log.exists() else []
    done = {row["seed"] for row in rows}
    seeds = range(options.start, options.start + options.n)
    rows = [row for row in rows if row["seed"] in seeds]
    start = time.monotonic()
    with log.open("a") as stream:
        todo = [seed for seed in seeds if seed not in done]
        for row in run(todo, options.jobs, options.simulate, options.output.resolve()):
            rows.append(row)
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            if row["verdict"] == "wrong":
                print(f"seed {row['seed']}: {row['kind']}: {row['detail'][:300]}", flush=True)
    figures = summarize(rows)
    figures["seconds"] = round(time.monotonic() - start)
    (options.output / "networks.json").write_text(json.dumps(figures, indent=1))
    show(figures)
    return int(bool(figures["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
