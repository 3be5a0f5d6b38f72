"""Make `calibration.json` from tables of reports: the same bytes for the same tables.

usage: python -m bench.estimate.calibrate GROUNDTRUTH_FOLDER OUTPUT.json
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.estimate.designs import read_pairs, stage_models
from bench.estimate.failures import failure_facts
from bench.estimate.fit import fit, predict_held_out, residuals, rounded
from bench.estimate.layers import plain_layers
from bench.estimate.pieces import figures_of, is_element
from bench.estimate.tables import Sample, modules, single_layers
from qapflow.estimate.calibration import FORMAT, Model
from qapflow.estimate.elements import CAST, RELU, STREAM
from qapflow.estimate.module import UNROLLED

VERSION = "1"
LEAST_ROWS = 3
ONE_KERNEL = (RELU, CAST, RELU + STREAM)  # terms of one kernel, whose rows are fitted together
Key = tuple[str, str, str]


def all_samples(folder: Path, names: tuple[str, ...] = ("",)) -> dict[Key, list[Sample]]:
    """Return samples by (kind, tool, family), in a fixed order; `names` as in `single_layers`."""
    found: dict[Key, list[Sample]] = defaultdict(list)
    for sample in (*single_layers(folder, names), *modules(folder), *plain_layers(folder)):
        module = sample.module
        found[module.kind, module.tool, module.family].append(sample)
    return {key: found[key] for key in sorted(found)}


def fit_all(folder: Path) -> tuple[list[Model], dict[str, Any]]:
    """Return all models and the facts of the calibration."""
    found = all_samples(folder)
    models = []
    for key, samples in found.items():
        if is_enough(key, samples):
            pool = pool_of(key, found)
            models += [fit(samples, figure, pool) for figure in figures_of(key[0])]
    models += stage_models(read_pairs(folder))
    facts = {"correlation": correlation(found), **failure_facts(folder)}
    return models, facts


def is_enough(key: Key, samples: Sequence[Sample]) -> bool:
    """Tell rows that a model is made of; elements of one source alone stay a judgement."""
    groups = {s.group for s in samples}
    return len(samples) >= LEAST_ROWS and (len(groups) > 1 or not is_element(key[0]))


def pool_of(key: Key, found: dict[Key, list[Sample]]) -> list[Sample]:
    """Return all samples whose formula shares coefficients with that of a key."""
    if is_element(key[0]):
        keys = [k for k in found if k[0] == key[0] or {k[0], key[0]} <= set(ONE_KERNEL)]
        return [sample for k in keys for sample in found[k]]
    if key[0] not in UNROLLED:
        return found[key]
    keys = [k for k in found if k[0] in UNROLLED and k[2] == key[2]]
    return [sample for k in keys for sample in found[k]]


def correlation(found: dict[Key, list[Sample]]) -> float:
    """Return how much errors of modules of one design agree: intraclass correlation of LUT."""
    logs: dict[str, list[float]] = defaultdict(list)
    for key, samples in found.items():
        if key[0] == "latency" and len(samples) >= LEAST_ROWS:
            truth = np.array([s.truth["lut"] for s in samples])
            off = residuals(truth, predict_held_out(samples, "lut", pool_of(key, found)), "lut")
            for sample, value in zip(samples, off, strict=True):
                logs[sample.group].append(float(value))
    groups = [np.array(v) for v in logs.values() if len(v) > 1]
    if len(groups) < 2:
        return 0.5
    within = np.mean([g.var(ddof=1) for g in groups])
    between = np.var([g.mean() for g in groups], ddof=1)
    return rounded(float(np.clip(between / max(between + within, 1e-12), 0.0, 1.0)))


def count_sources(found: dict[Key, list[Sample]]) -> list[dict[str, Any]]:
    """Return every repository with the rows that were used of it."""
    counted = Counter(s.source for samples in found.values() for s in samples)
    return [{"source": name, "rows": counted[name]} for name in sorted(counted)]


def to_row(model: Model) -> dict[str, Any]:
    """Return a model as JSON data, without what is empty."""
    row: dict[str, Any] = dict(vars(model))
    forest = row.pop("forest")
    if forest is not None:
        row["forest"] = dict(vars(forest))
    return {name: value for name, value in row.items() if value not in ({}, None)}


def write(models: Sequence[Model], facts: dict[str, Any], sources: list[dict[str, Any]]) -> str:
    """Return the file's text: one model a line, keys sorted."""
    rows = [json.dumps(to_row(m), sort_keys=True, separators=(",", ":")) for m in models]
    head = {"facts": facts, "format": FORMAT, "sources": sources}
    digest = hashlib.sha256("\n".join([*rows, json.dumps(head, sort_keys=True)]).encode())
    head["version"] = f"{VERSION}+{digest.hexdigest()[:12]}"
    lines = [f' "{k}": {json.dumps(v, sort_keys=True)}' for k, v in sorted(head.items())]
    lines.append(' "models": [\n  ' + ",\n  ".join(rows) + "\n ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    """Fit, write, and say what was used."""
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    if not (folder / "dense_single_layer.csv").is_file():
        print(f"error: {folder} has no dense_single_layer.csv", file=sys.stderr)
        return 2
    models, facts = fit_all(folder)
    text = write(models, facts, count_sources(all_samples(folder)))
    output.write_text(text, encoding="utf-8")
    print(f"{output}: {len(models)} models, {len(text):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
