"""make synth-check and make synth-baselines: the project's own models against recorded cells.

    python -m bench.synthesis check [--models NAME ...] [--worsen]
    python -m bench.synthesis renew [--models NAME ...]

`check` ends with 1 if any figure is worse than its baseline allows. `--worsen` leaves the pruning
of the networks made here out, to see the check fail.
"""

import argparse
import os
import sys
from pathlib import Path

from bench.synthesis.models import BOARD, MODELS, ROOT, design_of
from qapflow.boards import load_target
from qapflow.errors import QapflowError, ToolFailed
from qapflow.synth.open.baseline import (
    Baseline,
    check,
    describe,
    read_baseline,
    record,
    write_baseline,
)
from qapflow.synth.open.engines import VARIABLE, Engine, choose_engine
from qapflow.synth.open.families import family_of
from qapflow.synth.open.run import How, memory_share, synthesise
from qapflow.synth.open.script import CellMapping
from qapflow.synth.open.sources import sources_of
from qapflow.synth.open.unit import Limits
from qapflow.verify.process import cores
from qapflow.versions import package_version

BASELINES = ROOT / "baselines"
WORK = ROOT / "build" / "synth-check"


def main(arguments=None, baselines=BASELINES, work=WORK, models=MODELS):
    """Check or renew; 1 on a regression, the error's exit code if something cannot run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("check", "renew"))
    parser.add_argument("--models", nargs="*", choices=[model.name for model in models])
    parser.add_argument("--worsen", action="store_true", help="without pruning")
    options = parser.parse_args(arguments)
    try:
        worse = 0
        for model in models:
            if options.models is None or model.name in options.models:
                net = model.make(not options.worsen)
                now = measure(net, model.name, work, model.effort)
                worse += settle(options.action, baselines / f"{model.name}.json", now)
    except QapflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if worse:
        print(f"error: {worse} of the models cost more than their baselines allow", file=sys.stderr)
    return int(worse > 0)


def settle(action: str, path: Path, now: Baseline) -> bool:
    """Store or check one model; return whether it is worse."""
    if action == "renew":
        write_baseline(path, now)
        print(f"{now.model}: {now.figures}")
        return False
    baseline = read_baseline(path)
    rows = check(baseline, now)
    print(describe(baseline, now, rows), flush=True)
    return any(row.state == "worse" for row in rows)


def engine() -> Engine:
    """Return pyosys, whose version the extra [rtl] fixes, unless YOSYS says otherwise."""
    return choose_engine({VARIABLE: "pyosys", **os.environ})


def measure(net, name, work, effort) -> Baseline:
    """Write the RTL of a network and count its cells."""
    target, yosys, jobs = load_target(BOARD), engine(), cores()
    mapping = CellMapping(family_of(target.family, target.part), effort)
    how = How(yosys, mapping, Limits(3600.0, memory_share(jobs)), jobs)
    sources = sources_of(design_of(net, name))
    found = synthesise(sources, how, work, lambda module, state: say(name, module, state))
    for module in found.modules:
        if module.status != "ok":
            raise ToolFailed(f"{name}: {module.name}: {module.status}: {module.detail}")
    tools = {"yosys": yosys.version, "alkaid": package_version("alkaid")}
    return record(name, BOARD, found, tools)


def say(model, module, state):
    """Print the predicted time; the rest is in the result."""
    if state.startswith("note: "):
        print(f"{model}: {state.removeprefix('note: ')}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
