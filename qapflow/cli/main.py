"""The command line: verbs, exit codes, and the only printer.

Exit codes: 0 ok, 1 a check failed (mismatch, budget), 2 usage, 3 tool missing, 4 model
unsupported, 5 tool crashed or timed out, 128 + n ended by signal n (130: Ctrl-C).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qapflow import __version__
from qapflow.cli.ending import Ended, ended_by_signals
from qapflow.cli.look import run_boards, run_calibrate, run_doctor
from qapflow.cli.options import (
    add_build_options,
    add_cost_options,
    add_train_options,
    add_verify_options,
    build_settings,
    cost_settings,
)
from qapflow.cli.synth import (
    add_diff_options,
    add_init_options,
    add_synth_options,
    run_diff,
    run_init,
    run_synth,
)
from qapflow.errors import QapflowError, UsageError

if TYPE_CHECKING:
    from qapflow.report.figures import Report

FORMATS = {".txt": "text", ".json": "json", ".html": "html", ".htm": "html", ".md": "md"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help()
        return UsageError.exit_code
    try:
        with ended_by_signals():
            return int(options.run(options))
    except QapflowError as error:
        if getattr(options, "json", False):
            print(json.dumps({"error": str(error), "exit_code": error.exit_code}))
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 128 + (interrupt.number if isinstance(interrupt, Ended) else signal.SIGINT)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe left: nothing more to say
        return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; every option has a help text with its unit."""
    parser = argparse.ArgumentParser(
        prog="qapflow",
        description="From a trained Keras or QKeras model to verified FPGA firmware.",
        epilog=__doc__.split("\n\n", 1)[1] if __doc__ else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"qapflow {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")

    build = _verb(verbs, "build", "turn a model into a verified HLS project", run_build)
    add_build_options(build)
    verify = _verb(verbs, "verify", "check a build again, on more or on own inputs", run_verify)
    add_verify_options(verify)

    report = _verb(verbs, "report", "print or save the report of a build", run_report)
    report.add_argument("folder", type=Path, help="a folder made by qapflow build")
    report.add_argument(
        "--format", choices=("text", "txt", "json", "html", "md"), help="default: text"
    )
    report.add_argument("-o", "--output", type=Path, help="a file; its suffix chooses the format")

    cost = _verb(verbs, "cost", "count what a model costs in bits, before any build", run_cost)
    add_cost_options(cost)

    train = _verb(verbs, "train", "train a model, quantized and pruned, by a recipe", run_train)
    add_train_options(train)

    own = _verb(verbs, "calibrate", "refine the estimates with reports of your own", run_calibrate)
    own.add_argument("reports", nargs="+", type=Path, help="projects with reports, or the reports")
    own.add_argument("-o", "--output", type=Path, help="the calibration file to write")
    own.add_argument("--json", action="store_true", help="one JSON object on standard output")

    boards = _verb(verbs, "boards", "list boards, or show and check one", run_boards)
    boards.add_argument("board", nargs="?", help="a name, a part string, or a .toml file")
    boards.add_argument("--json", action="store_true", help="one JSON object on standard output")

    doctor = _verb(verbs, "doctor", "what is installed and what is missing", run_doctor)
    doctor.add_argument("--json", action="store_true", help="one JSON object on standard output")

    text = "count cells by Yosys, or run the vendor's tools, on a build"
    add_synth_options(_verb(verbs, "synth", text, run_synth))
    add_diff_options(_verb(verbs, "diff", "compare two builds, figure by figure", run_diff))
    add_init_options(_verb(verbs, "init", "write a CI file for a model", run_init))
    return parser


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def run_build(options: argparse.Namespace) -> int:
    """Build, then print the report; 1 if a check failed."""
    settings = build_settings(options)
    from qapflow.api import build_with
    from qapflow.cli.progress import Progress
    from qapflow.report import render

    with Progress(quiet=options.quiet or options.json) as progress:
        report = build_with(settings, progress.step)
    for line in progress.edited:
        print(f"note: {line}", file=sys.stderr)
    if options.json:
        sys.stdout.write(render(report, "json"))
    elif not options.quiet:
        sys.stdout.write(render(report, "text", color=_color()))
        print(f"\nwritten to {settings.folder}/ (open report.html in a browser)")
    return _verdict(report)


def _color() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _verdict(report: Report) -> int:
    from qapflow.report.mismatch import describe_mismatch

    for comparison in report.comparisons:
        if comparison.verdict == "different":
            print(f"error: {describe_mismatch(comparison)}", file=sys.stderr)
    for budget in report.budgets:
        if not budget.met:
            actual = "unknown" if budget.actual is None else f"{budget.actual:g}"
            print(
                f"error: budget not met: {budget.name} is {actual}, the limit is {budget.limit:g}"
                + (f"\n  at: {budget.culprit}" if budget.culprit else ""),
                file=sys.stderr,
            )
    return 0 if report.passed else 1


def run_verify(options: argparse.Namespace) -> int:
    """Compare interpreter, C simulation and Keras again on a finished build."""
    from qapflow.api import verify_build
    from qapflow.report.mismatch import describe_mismatch

    if options.vectors is not None and options.vectors < 1:
        raise UsageError(
            f"{options.vectors} samples prove nothing", at="--vectors", hint="give 1 or more"
        )
    if options.bisect:
        return _bisect(options)
    comparisons = verify_build(
        options.folder,
        inputs=options.inputs,
        vectors=10_000 if options.vectors is None else options.vectors,
        seed=options.seed,
        keras=options.keras,
        timeout_s=options.timeout,
        sanitize=options.sanitize,
    )
    names = ("left", "right", "verdict", "samples", "values", "mismatches", "note")
    different = any(item.verdict == "different" for item in comparisons)
    for item in comparisons:
        if not options.json:
            print(
                f"{item.left} = {item.right}: {item.verdict}, {item.mismatches} of {item.values} "
                f"values differ in {item.samples} samples" + (f" ({item.note})" * bool(item.note))
            )
        if item.verdict == "different":
            print(f"error: {describe_mismatch(item)}", file=sys.stderr)
    if options.json:
        rows = [{name: getattr(item, name) for name in names} for item in comparisons]
        print(json.dumps({"comparisons": rows, "passed": not different}))
    return int(different)


def _bisect(options: argparse.Namespace) -> int:
    """Compare with Keras layer by layer; 1 if something contradicts the network."""
    from qapflow.api import bisect_build
    from qapflow.report.bisection import headline, render_bisection
    from qapflow.report.json import render_bisection_json

    if options.keras == "no":
        raise UsageError("--bisect compares with Keras", at="--keras no", hint="leave --keras out")
    found = bisect_build(
        options.folder,
        inputs=options.inputs,
        vectors=options.vectors,
        seed=options.seed,
        timeout_s=options.timeout,
    )
    if options.json:
        sys.stdout.write(render_bisection_json(found))
    else:
        sys.stdout.write(render_bisection(found, color=_color()))
    if not found.passed:
        print(f"error: {headline(found)}", file=sys.stderr)
    if found.verdict == "not run" and options.keras == "require":
        return 3
    return int(not found.passed)


def run_report(options: argparse.Namespace) -> int:
    """Render the stored report."""
    from qapflow.api import load_report
    from qapflow.lower.files import write_file
    from qapflow.report import render

    kind = options.format
    if kind is None:
        kind = "text"
        if options.output:
            kind = FORMATS.get(options.output.suffix.lower())
            if kind is None:
                raise UsageError(
                    f"no report format has the suffix {options.output.suffix!r}",
                    at=str(options.output),
                    hint="use .txt, .json, .html or .md, or give --format",
                )
    color = kind in ("text", "txt") and not options.output and _color()
    text = render(load_report(options.folder), "text" if kind == "txt" else kind, color=color)
    if not options.output:
        sys.stdout.write(text)
        return 0
    try:
        write_file(options.output, text.encode())
    except OSError as error:
        raise UsageError(
            f"the report cannot be written: {error.strerror}", at=str(options.output)
        ) from error
    return 0


def run_cost(options: argparse.Namespace) -> int:
    """Count BOPs, EBOPs, signed digits, nonzeros and memory of a model; estimate it on a board."""
    settings = cost_settings(options)
    from qapflow.cost.json import render_cost_json
    from qapflow.cost.model import cost_of_model
    from qapflow.cost.text import render_cost

    found = cost_of_model(settings, with_board=options.board is not None)
    text = render_cost_json(found) if options.json else render_cost(found, color=_color())
    sys.stdout.write(text)
    return 0


def run_train(options: argparse.Namespace) -> int:
    """Train by a recipe, or list presets, or print a recipe."""
    from qapflow.cli.train import chosen_recipe, list_recipes, train_by

    if options.preset == "list":
        print(list_recipes(), end="")
        return 0
    recipe, text = chosen_recipe(options)
    if options.print_recipe:
        print(text, end="")
        return 0
    summary = train_by(recipe, options)
    if options.json:
        print(json.dumps(summary.facts))
    elif not options.quiet:
        print(summary.text)
    return 0
