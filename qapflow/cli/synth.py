"""Commands about builds that are there: synth, diff, and init for a project's CI."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from qapflow.errors import ToolMissing, UsageError


def add_synth_options(parser: argparse.ArgumentParser) -> None:
    """Add everything `qapflow synth` takes."""
    parser.add_argument("folder", type=Path, help="a folder made by qapflow build, or of Verilog")
    parser.add_argument("--flow", choices=("open", "vendor"), default="open", help="(open)")
    parser.add_argument("--timeout", type=float, default=3600.0, metavar="S", help=_TIMEOUT)
    parser.add_argument(
        "--require", action="store_true", help="a missing tool is an error (exit 3)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    group = parser.add_argument_group("--flow open")
    group.add_argument("--effort", choices=_EFFORTS, default="normal", help=_EFFORT)
    group.add_argument("--top", default="", help="top module, for a folder of Verilog")
    group.add_argument("--board", default="", help="name, part string, or .toml (the build's)")
    group.add_argument("--family", choices=("xc7", "xcu", "xcup"), help="in place of the board's")
    group.add_argument("--memory-mb", type=int, default=0, help="limit of one process, in MB")
    group.add_argument("--jobs", type=int, default=0, help="modules side by side (one a core)")
    group.add_argument("--compare", action="store_true", help=_COMPARE)
    group.add_argument("--place", action="store_true", help=_PLACE)
    group = parser.add_argument_group("--flow vendor")
    group.add_argument(
        "--stage", choices=("csynth", "cosim", "impl"), default="csynth", help="(csynth)"
    )


_EFFORTS = ("quick", "normal", "whole")
_EFFORT = "quick mapping, module by module, or all flattened (normal)"
_COMPARE = "also the layers' matrices as plain multipliers, beside distributed arithmetic"
_PLACE = "also place and route by nextpnr, on Lattice ECP5: an Fmax of another family"
_TIMEOUT = "seconds for one module or program (3600)"


def run_synth(options: argparse.Namespace) -> int:
    """Synthesise; a missing tool is said, and an error only with --require."""
    for name in ("timeout", "memory_mb", "jobs"):
        value = getattr(options, name)
        if value < 0 or (name == "timeout" and not value):
            raise UsageError(f"{value:g} is no limit", at=f"--{name.replace('_', '-')}")
    if options.flow == "vendor":
        return _run_vendor(options)
    return _run_open(options)


def _run_vendor(options: argparse.Namespace) -> int:
    from qapflow.api import vendor_build
    from qapflow.report import render

    report = vendor_build(
        options.folder, options.stage, timeout_s=options.timeout, require=options.require
    )
    if options.json:
        sys.stdout.write(render(report, "json"))
    elif not options.quiet:
        sys.stdout.write(render(report, "text", color=_color()))
    return 0 if report.passed else 1


def _run_open(options: argparse.Namespace) -> int:
    from qapflow.api import synth_build
    from qapflow.cli.progress import Progress
    from qapflow.report.json import encode
    from qapflow.report.open_synthesis import render_open_synthesis
    from qapflow.steps.open_synthesis import OpenSettings, require_whole

    settings = OpenSettings(
        options.folder,
        options.top,
        options.board,
        options.family,
        options.effort,
        options.timeout,
        options.memory_mb,
        options.jobs,
        options.compare,
        options.place,
        options.require,
    )
    try:
        with Progress(quiet=options.quiet or options.json) as progress:

            def listen(name: str, state: str) -> None:
                if state.startswith("note: ") and not options.quiet:
                    print(f"{name}: {state.removeprefix('note: ')}", file=sys.stderr, flush=True)
                else:
                    progress.step(name, state)

            found = synth_build(settings, listen)
    except ToolMissing as error:
        if options.require:
            raise
        print(f"not run: {error}", file=sys.stderr)
        if options.json:
            print(json.dumps({"status": "not run", "detail": error.what, "try": error.hint}))
        return 0
    if options.json:
        print(json.dumps(encode(found)))
    elif not options.quiet:
        sys.stdout.write(render_open_synthesis(found, color=_color()))
    require_whole(found, options.folder)
    return 0


def _color() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def add_diff_options(parser: argparse.ArgumentParser) -> None:
    """Add everything `qapflow diff` takes."""
    parser.add_argument("before", type=Path, help="a folder made by qapflow build, or report.json")
    parser.add_argument("after", type=Path, help="another one")
    parser.add_argument(
        "--format", choices=("text", "markdown", "json"), default="text", help="(text)"
    )
    parser.add_argument(
        "--tolerance", type=float, default=0.0, metavar="PERCENT", help="of a figure (0)"
    )
    parser.add_argument("--fail", action="store_true", help="exit 1 if anything is worse")


def run_diff(options: argparse.Namespace) -> int:
    """Print what differs between two builds."""
    from qapflow.api import load_report
    from qapflow.report.difference import compare_reports, render_difference

    if options.tolerance < 0:
        raise UsageError(f"{options.tolerance:g} % is no tolerance", at="--tolerance")
    before, after = load_report(_folder(options.before)), load_report(_folder(options.after))
    found = compare_reports(before, after, options.tolerance)
    sys.stdout.write(render_difference(found, options.format))
    return int(options.fail and found.worse)


def _folder(path: Path) -> Path:
    return path.parent if path.name == "report.json" else path


def add_init_options(parser: argparse.ArgumentParser) -> None:
    """Add everything `qapflow init` takes."""
    parser.add_argument("--ci", choices=("github", "gitlab"), required=True, help="whose CI")
    parser.add_argument("--model", default="model.h5", help="path of the model in the project")
    parser.add_argument("--board", default="xcvu9p", help="name, part string, or .toml (xcvu9p)")
    parser.add_argument("--folder", type=Path, default=Path(), help="root of the project (.)")
    parser.add_argument("--force", action="store_true", help="overwrite a file that is there")


def run_init(options: argparse.Namespace) -> int:
    """Write the CI file."""
    from qapflow.cli.ci_files import write_ci

    path = write_ci(
        options.ci, options.folder, model=options.model, board=options.board, force=options.force
    )
    print(f"written to {path}; set the limits in it, and commit it")
    return 0
