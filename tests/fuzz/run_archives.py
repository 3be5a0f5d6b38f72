"""Damaged model files in parallel processes: a message or a sound network, within bounds.

    python -m tests.fuzz.run_archives -n 10000 [--jobs 2] [--models FOLDER] [-o build/fuzz]
    python -m tests.fuzz.run_archives --seed K

The files are random networks saved in every form, the example, and the small models of FOLDER. Each
must be refused by an error of qapflow with all its parts, or give a sound network; nothing may be
executed or written, and seconds and memory are bounded. What fails is kept as FOLDER/archive_K*.
"""

import argparse
import collections
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from qapflow.errors import QapflowError
from qapflow.frontend.load import load
from qapflow.frontend.model import LoadOptions
from qapflow.ir.check import check
from tests.fuzz.damage import damage

ROOT = Path(__file__).parents[2]
NETWORKS = 48  # random networks that are damaged
LARGEST = 300_000  # bytes of a model that is damaged
PER_PROCESS = 2000  # files that the same processes read
LIMIT_S = 20.0  # processor time of one file of at most 300 kB
LIMIT_MIB = 1500  # of the process that reads it, which starts with about 200
FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "socket.bind",
    "pickle.find_class", "os.remove", "os.rename", "os.mkdir", "shutil.rmtree", "code.__new__",
)  # fmt: skip


class Watch:
    """Notes what Python is asked to do while a file is read; hooks cannot be taken off again."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self.notice)

    def notice(self, event, arguments):
        """Remember what a model file must never cause."""
        if not self.on:
            return
        writes = (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        )
        if (event in FORBIDDEN or event == "exec" or writes) and not importing():
            self.seen.append(f"{event} {str(arguments)[:200]}")


def importing():
    """Tell whether a module is being imported just now."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def write_bases(folder, count, models=None):
    """Save random networks, in every form, beside the example and the small models of a folder."""
    from tests.fuzz import keras_models
    from tests.fuzz.judge import save

    keras_models.start_keras()
    for seed in range(count):
        made, _ = keras_models.build(keras_models.random_recipe(seed))
        place = folder / str(seed)
        place.mkdir(parents=True, exist_ok=True)
        save(made, place, ("h5", "keras", "json")[seed % 3])
    shutil.copy(ROOT / "examples/digits/digits.h5", folder)
    for path in sorted(models.rglob("*") if models else ()):
        if path.suffix in (".h5", ".keras") and path.stat().st_size <= LARGEST:
            shutil.copy(path, folder / f"given_{path.name}")
    return find_bases(folder)


def find_bases(folder):
    """List the models that were saved, without the weights of a .json."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".h5", ".keras", ".json"))
    return [p for p in paths if not (p.suffix == ".h5" and p.with_suffix(".json").exists())]


def try_file(seed, bases, watch, keep):
    """Read the damaged file of a seed; return what became of it."""
    chance = random.Random(seed)
    base = chance.choice(bases)
    with tempfile.TemporaryDirectory(prefix="qapflow-fuzz-") as name:
        path, story = damage(base, Path(name), chance)
        before = sorted(Path(name).iterdir())
        row = {"seed": seed, "base": base.name, "story": story, "verdict": "", "detail": ""}
        start = time.process_time()
        watch.seen, watch.on = [], True
        try:
            row |= read(path)
        except Exception as error:  # whatever it is, it is a failure to be listed
            row |= {
                "verdict": "traceback",
                "detail": "".join(traceback.format_exception(error)[-4:]),
            }
        finally:
            watch.on = False
        row["seconds"] = round(time.process_time() - start, 3)
        row["mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        if watch.seen:
            row |= {"verdict": "executed", "detail": "; ".join(watch.seen[:5])}
        elif sorted(Path(name).iterdir()) != before or Path("BAD").exists():
            row |= {"verdict": "executed", "detail": "files were written"}
        elif row["seconds"] > LIMIT_S and row["verdict"] != "traceback":
            row |= {"verdict": "slow", "detail": f"{row['seconds']} s; {row['detail']}"}
        elif row["mib"] > LIMIT_MIB and row["verdict"] != "traceback":
            row |= {"verdict": "memory", "detail": f"{row['mib']} MiB; {row['detail']}"}
        if keep and row["verdict"] not in ("refused", "loaded"):
            shutil.copytree(name, keep / f"archive_{seed}", dirs_exist_ok=True)
    return row


def read(path):
    """Load a model; tell whether that gave a network, or a whole message."""
    try:
        loaded = load(path, LoadOptions())
    except QapflowError as error:
        items = getattr(error, "items", None)
        whole = (
            error.at and error.hint if items is None else all(i.reason and i.hint for i in items)
        )
        kind = "refused" if whole else "half a message"
        return {"verdict": kind, "detail": str(error)[:300]}
    broken = check(loaded.net)
    return {"verdict": "unsound" if broken else "loaded", "detail": "; ".join(broken)[:300]}


WORKER = {}  # what a process keeps between files


def start_worker(bases):
    """Load what is whole first, so that modules are imported; take the process's own limits."""
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - HDF5 talks about damaged files
    os.dup2(sys.stderr.fileno(), 2)
    WORKER["watch"] = Watch()
    for base in bases:
        read(base)


def work(seed, bases, keep):
    """Read one damaged file in a worker."""
    return try_file(seed, bases, WORKER["watch"], keep)


def run(seeds, jobs, bases, keep):
    """Read the damaged files of seeds in `jobs` processes; yield rows."""
    context = multiprocessing.get_context("spawn")
    left = list(seeds)
    while left:
        with ProcessPoolExecutor(jobs, context, start_worker, (bases,)) as pool:
            tasks = {pool.submit(work, seed, bases, keep): seed for seed in left[:PER_PROCESS]}
            for task in as_completed(tasks):
                left.remove(tasks[task])
                try:
                    yield task.result()
                except BrokenProcessPool as error:  # one of the files in work killed a worker
                    yield {"seed": tasks[task], "base": "", "story": "", "verdict": "crash",
                           "detail": repr(error), "seconds": 0.0, "mib": 0}  # fmt: skip


def plain(text):
    """Return a message without names and numbers, to count those that are alike."""
    return re.sub(r"'[^']*'|[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "N", text.split("\n")[0])[:90]


def summarize(rows):
    """Return the figures of a run."""
    verdicts = collections.Counter(row["verdict"] for row in rows)
    bad = [row for row in rows if row["verdict"] not in ("refused", "loaded")]
    messages = collections.Counter(plain(r["detail"]) for r in rows if r["verdict"] == "refused")
    return {
        "files": len(rows),
        "verdicts": dict(verdicts.most_common()),
        "slowest, s": max((row["seconds"] for row in rows), default=0),
        "most memory, MiB": max((row["mib"] for row in rows), default=0),
        "different messages": len(messages),
        "commonest messages": dict(messages.most_common(12)),
        "failures": bad,
    }


def show(figures):
    """Print the figures as text."""
    for name, value in figures.items():
        if name == "failures":
            for row in value:
                print(f"seed {row['seed']} ({row['base']}): {row['verdict']}; {row['story']}")
                print("    " + row["detail"].replace("\n", "\n    "))
        else:
            print(f"{name}: {value}")


def main():
    """Run the suite."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-n", type=int, default=10_000, help="files")
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--networks", type=int, default=NETWORKS, help="that are damaged")
    parser.add_argument("--models", type=Path, help="damage the small models of this folder too")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--seed", type=int, help="this one alone")
    options = parser.parse_args()
    folder = options.output.resolve()
    bases = write_bases(folder / "bases", options.networks, options.models)
    if options.seed is not None:
        row = try_file(options.seed, bases, Watch(), folder)
        print(json.dumps(row, indent=1))
        return int(row["verdict"] not in ("refused", "loaded"))
    start = time.monotonic()
    rows = []
    for row in run(range(options.start, options.start + options.n), options.jobs, bases, folder):
        rows.append(row)
        if row["verdict"] not in ("refused", "loaded"):
            print(f"seed {row['seed']}: {row['verdict']}: {row['detail'][-300:]}", flush=True)
    figures = summarize(sorted(rows, key=lambda row: row["seed"]))
    figures["seconds"] = round(time.monotonic() - start)
    (folder / "archives.json").write_text(json.dumps(figures, indent=1))
    show(figures)
    return int(bool(figures["failures"]))


if __name__ == "__main__":
    sys.exit(main())
