"""How far estimates are from reports of tools, on data they were not fitted to.

usage: python -m bench.estimate GROUNDTRUTH_FOLDER [--shipped] [--rule4ml PYTHON] [--quick]

--shipped    hold the shipped calibration against the folder's rows, instead of fitting anew and
             leaving out each group (for folders the calibration has not seen)
--rule4ml    a Python that has rule4ml 0.2.0: its predictions on the same single layers
--quick      no timing, no published designs
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.estimate.calibrate import all_samples, fit_all
from bench.estimate.end_to_end import follow
from bench.estimate.fit import FITTED
from bench.estimate.pieces import by_rule, figures_of, region_of, terms_of
from bench.estimate.published import illustrate
from bench.estimate.tables import Sample, single_layers
from bench.estimate.timing import time_estimates
from qapflow.estimate.calibration import shipped
from qapflow.estimate.interval import POST_SYNTH, measured
from qapflow.estimate.matrix import find
from qapflow.estimate.terms import shape

FIGURES = ("lut", "ff", "dsp", "bram18", "latency_cycles", "ii_cycles")
HEAD = f"{'kind':<32}{'tool':<8}{'family':<13}{'stage':<15}{'figure':<16}{'n':>5}{'groups':>8}"
COLUMNS = f"{'median':>9}{'P90':>9}{'bias':>9}{'exact':>8}{'held 90 %':>11}"


def cross_validation(folder: Path) -> None:
    """Print the errors on left-out shapes and repositories, as the calibration file has them."""
    print("Cross-validation: whole shapes and whole repositories left out\n")
    print(HEAD + COLUMNS)
    for model in fit_all(folder)[0]:
        e = model.errors
        exact = f"{e['exact']:>8.1%}" if "exact" in e else f"{'-':>8}"
        held = f"{e['coverage']:>11.0%}" if "coverage" in e else f"{'one group':>11}"
        print(
            f"{model.kind:<32}{model.tool:<8}{model.family:<13}{model.stage:<15}"
            f"{model.figure:<16}{model.rows:>5}{model.groups:>8}"
            f"{e['median']:>9.1%}{e['p90']:>9.1%}{e['bias']:>9.1%}{exact}{held}"
        )


def held_against(folder: Path) -> None:
    """Print the errors of the shipped calibration on a folder it has not seen."""
    print(f"Calibration {shipped().version} on {folder}\n")
    print(HEAD + COLUMNS)
    for (kind, tool, family), samples in all_samples(folder).items():
        for figure in figures_of(kind):
            model = find(shipped(), samples[0].module, figure)
            if model is None:
                print(f"{kind:<32}{tool:<8}{family:<13}csynth         {figure:<16}no reports")
                continue
            found = [
                measured(value_of(s, figure), figure, model, region_of(s.module)) for s in samples
            ]
            truth = np.array([s.truth[figure] for s in samples])
            values = np.array([f.value for f in found])
            error = np.abs(values - truth) / np.maximum(truth, 1)
            ratio = np.median((values + 1) / (truth + 1)) - 1
            held = np.mean([f.low <= t <= f.high for f, t in zip(found, truth, strict=True)])
            groups = len({s.group for s in samples})
            print(
                f"{kind:<32}{tool:<8}{family:<13}{'csynth':<15}{figure:<16}{len(samples):>5}"
                f"{groups:>8}{np.median(error):>9.1%}{np.quantile(error, 0.9):>9.1%}{ratio:>9.1%}"
                f"{np.mean(values == truth):>8.1%}{held:>11.0%}"
            )


def value_of(sample: Sample, figure: str) -> float:
    """Return the shipped calibration's estimate for a sample."""
    module = sample.module
    if figure not in FITTED:
        return by_rule(module, figure)
    model = find(shipped(), module, figure)
    assert model is not None
    return model.evaluate(terms_of(module, figure), shape(module) if model.forest else ())


def end_to_end(folder: Path) -> None:
    """Print how the path from the model file agrees with the rows of its reports."""
    print("\nEnd to end: model file, front end, plan, estimate (shipped calibration)\n")
    rows = list(follow(folder, shipped()))
    if not rows:
        print("no model files")
        return
    same = sum(row.same for row in rows)
    print(f"{len(rows)} rows; statistics of the weights equal to the table's path on {same}")
    for kind in sorted({row.sample.module.kind for row in rows}):
        used = [row for row in rows if row.sample.module.kind == kind]
        for figure in FIGURES:
            truth = np.array([r.sample.truth[figure] for r in used])
            value, low, high = np.array([r.estimated[figure] for r in used]).T
            error = np.abs(value - truth) / np.maximum(truth, 1)
            print(
                f"{kind:<32}{figure:<16}{len(used):>5}{np.median(error):>9.1%}"
                f"{np.quantile(error, 0.9):>9.1%}{np.mean(value == truth):>8.1%} exact"
                f"{np.mean((low <= truth) & (truth <= high)):>7.0%} held"
            )


def beside_rule4ml(folder: Path, python: str, every: int = 1) -> None:
    """Print rule4ml's errors on the single layers (or every n-th), from its own environment."""
    rows = {}
    for sample in single_layers(folder):
        module = sample.module
        strategy = "latency" if module.kind == "latency" else "resource"
        key = (module.kernel.n_in, module.kernel.n_out, module.reuse_factor, strategy)
        rows.setdefault(key, []).append(sample)
    rows = dict(list(rows.items())[::every])
    names = ("n_in", "n_out", "reuse_factor", "strategy")
    asked = [dict(zip(names, key, strict=True)) for key in rows]
    script = Path(__file__).with_name("rule4ml_side.py")
    done = subprocess.run(
        [python, str(script)], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    print("\nrule4ml 0.2.0 on the same single layers (in its own environment)\n")
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for key, row in zip(rows, told, strict=True):
        for sample in rows[key]:
            for figure in FIGURES[:5]:
                pair = (row[figure], sample.truth[figure])
                pairs.setdefault((sample.module.kind, figure), []).append(pair)
    for (kind, figure), values in sorted(pairs.items()):
        value, truth = np.array(values).T
        error = np.abs(value - truth) / np.maximum(truth, 1)
        print(
            f"{kind:<32}{figure:<16}{len(truth):>5}{np.median(error):>9.1%}"
            f"{np.quantile(error, 0.9):>9.1%}"
        )


def published() -> None:
    """Print estimates beside published figures."""
    print("\nPublished designs, ILLUSTRATION: random weights of the stated bits and sparsity\n")
    print(
        f"{'design':<18}{'arXiv':<12}{'stage':<16}{'figure':<16}{'published':>10}{'estimate':>10}"
    )
    for design, found in illustrate():
        totals = dict(found.totals)
        if design.stage == POST_SYNTH:
            totals |= dict(found.stages.get(POST_SYNTH, ()))
        for figure in ("lut", "ff", "dsp", "latency_cycles"):
            made = totals[figure]
            print(
                f"{design.name:<18}{design.source:<12}{design.stage:<16}{figure:<16}"
                f"{getattr(design, figure):>10,}{made.value:>10,.0f}  "
                f"({made.low:,.0f} to {made.high:,.0f})"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__, usage=argparse.SUPPRESS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shipped", action="store_true")
    parser.add_argument("--rule4ml")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if not any(
        (options.folder / name).is_file() for name in ("dense_single_layer.csv", "modules.csv")
    ):
        print(f"error: {options.folder} has no tables of reports", file=sys.stderr)
        return 2
    (held_against if options.shipped else cross_validation)(options.folder)
    end_to_end(options.folder)
    if options.rule4ml:
        beside_rule4ml(options.folder, options.rule4ml)
    if not options.quick:
        published()
        print("\nTime of an estimate\n")
        for parameters, seconds in time_estimates():
            print(f"{parameters:>10,} parameters {1e3 * seconds:>9.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
