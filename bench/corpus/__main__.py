"""Build every model of a folder and print one row each; fail on a mismatch or a traceback.

    python -m bench.corpus FOLDER [--family dense] [--only TEXT] [--jobs 2] [-- BUILD OPTIONS]

Each build is a whole process, Keras and the C simulation included: the seconds are those of the
clock, the memory is the most that the build and all it started held at the same time. A folder
needs no manifest; with a MANIFEST.csv the rows say the family of each model and whether Keras loads
it, with a HLS4ML_BASELINE.csv what hls4ml makes of it. Finished rows are kept and not built again
while model and code are the same. Exit code: 0, 1 on a silent mismatch or a traceback, 2 if the
folder cannot be read, 130 after Ctrl-C (what is finished is in the table).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.corpus.kept import ROOT, code_digest, keep, read_kept, row_key
from bench.corpus.measure import measure
from bench.corpus.models import Model, find_models
from bench.corpus.render import render_html, render_json, render_text
from bench.corpus.rows import Row, make_row

LIMIT_S = 1800.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the table."""
    options = parse(arguments)
    try:
        models = [model for model in find_models(options.folder) if wanted(model, options)]
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not models:
        print(f"error: no model in {options.folder}", file=sys.stderr)
        return 2
    start = time.monotonic()
    rows, complete = run_all(models, options)
    minutes = (time.monotonic() - start) / 60
    title = f"{options.folder.name}: {len(rows)} of {len(models)} models, {minutes:.1f} min"
    write_table(rows, f"{title} on {options.jobs} jobs", options.output)
    if not complete:
        return 130
    return 1 if any(row.bad for row in rows) else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; what follows -- goes to every build."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.corpus",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--family", action="append", help="only this family (may be repeated)")
    parser.add_argument("--only", action="append", help="only file names that contain this")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="of one model (1800)")
    parser.add_argument("--fresh", action="store_true", help="build finished rows again")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/corpus"))
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:cut])
    options.extra = given[cut + 1 :]
    return options


def wanted(model: Model, options: argparse.Namespace) -> bool:
    """Tell whether the command line asks for this model."""
    family = options.family is None or model.family in options.family
    return family and (options.only is None or any(text in model.name for text in options.only))


def run_all(models: Sequence[Model], options: argparse.Namespace) -> tuple[list[Row], bool]:
    """Build models, the large files first; return rows by family and name, and if all are there."""
    path = options.output / "rows.jsonl"
    kept = {} if options.fresh else read_kept(path)
    code = code_digest()
    settings = [str(options.limit_s), *options.extra]
    keys = {model.name: row_key(model, code, settings) for model in models}
    rows = {name: kept[key] for name, key in keys.items() if key in kept}
    todo = sorted((m for m in models if m.name not in rows), key=lambda m: -m.size)
    stop = Event()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        transient=True,
    )  # fmt: skip
    with bar, ThreadPoolExecutor(options.jobs) as pool:
        task = bar.add_task("models", total=len(models), completed=len(rows))
        futures = {
            pool.submit(build, m, keys[m.name], options.limit_s, options.extra, stop) for m in todo
        }
        try:
            for future in as_completed(futures):
                row = future.result()
                rows[row.file] = row
                keep(path, row)
                bar.advance(task)
                bar.console.print(f"{row.verdict:<12}{row.seconds:>7.1f} s  {row.file}")
        except KeyboardInterrupt:
            stop.set()
            for future in futures:
                future.cancel()
    done = [rows[model.name] for model in models if model.name in rows]
    return done, len(done) == len(models)


def build(model: Model, key: str, limit_s: float, extra: Sequence[str], stop: Event) -> Row:
    """Build one model in a process of its own and return its row."""
    with tempfile.TemporaryDirectory(prefix="qapflow-corpus-") as name:
        command = [sys.executable, "-m", "qapflow", "build", str(model.path), "--json"]
        command += ["-o", str(Path(name) / "build"), *extra]
        if model.weights is not None:
            command += ["--weights", str(model.weights)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": name}
        return make_row(model, measure(command, env, limit_s, stop), key)


def write_table(rows: Sequence[Row], title: str, folder: Path) -> None:
    """Write table.txt, table.json and table.html, and print the text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.txt").write_text(render_text(rows, title), encoding="utf-8")
    (folder / "table.json").write_text(render_json(rows, title), encoding="utf-8")
    (folder / "table.html").write_text(render_html(rows, title), encoding="utf-8")
    print(render_text(rows, title, color=sys.stdout.isatty()))
    print(f"written: {folder}/table.txt, table.json, table.html")


if __name__ == "__main__":
    sys.exit(main())
