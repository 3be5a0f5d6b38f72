"""All cases, and the table of the documentation made from them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from tests.features import dense_cases, graph_cases, image_cases
from tests.features.case import Case

CASES: Mapping[str, Case] = {
    case.name: case
    for module in (dense_cases, image_cases, graph_cases)
    for case in module.CASES.found
}

HEAD = """\
# Features

Each feature in a small model with random weights, made by real Keras 2 and QKeras 0.9.0, saved,
read back by qapflow and compared on 1000 samples: Keras with the interpreter, and by
`make features` the interpreter with the C simulation on every edge, once with `io_parallel` and
once with `io_stream`. A verdict holds for both.

- **exact**: no value differs from Keras, and none can but where Keras's own float32 rounds.
- **float32**: qapflow computes the exact result; but Keras, which rounds to float32, may fall to
  the other side of a few steps, which are counted in the reason that the report gives. No value
  differs from Keras on the samples, unless the row says how far and when.
- **bounded**: something is computed in floats that no fixed-point type holds; the largest distance
  from Keras at the output stays below the bound, which the test asserts.
- **refused**: nothing is built; the message names layer, reason and way out.

`make features` does so for every feature and renews this table. `make test` fails if a feature
gives another verdict against Keras than the table says, and simulates one of each kind.
The last column was measured with hls4ml 1.3.0 on models with the same feature (1000 samples of 5
outputs, default settings).

"""


def hls4ml_results() -> dict[str, str]:
    """What hls4ml 1.3.0 gives for a model with each feature."""
    path = Path(__file__).with_name("hls4ml.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return {row[0]: row[1] for row in list(csv.reader(file))[1:]}


def verdict_text(case: Case) -> str:
    """Say what is proved of a case."""
    if case.verdict == "bounded":
        return f"bounded by {case.bound:g}: {case.why}"
    if case.when:
        return f"{case.verdict}; up to {case.bound:g} off {case.when}"
    return f"refused: {case.why}" if case.verdict == "refused" else case.verdict


def render() -> str:
    """Return the page of the documentation."""
    theirs = hls4ml_results()
    rows = [
        f"| {case.name} | {verdict_text(case)} | {theirs[case.name]} |".replace("||", "|")
        for case in CASES.values()
    ]
    counts = [
        f"| {kind} | {sum(case.verdict == kind for case in CASES.values())} | {other} |"
        for kind, other in (
            ("exact", sum(text == "exact" for text in theirs.values())),
            ("float32", "-"),
            ("bounded", "-"),
            ("different, without a word", sum("differ" in text for text in theirs.values())),
            ("refused", sum("fails" in t or "cannot" in t for t in theirs.values())),
        )
    ]
    table = "| feature | qapflow, io_parallel and io_stream | hls4ml 1.3.0 |\n|---|---|---|\n"
    summary = "| | qapflow | hls4ml 1.3.0 |\n|---|---|---|\n"
    return HEAD + summary + "\n".join(counts) + "\n\n" + table + "\n".join(rows) + "\n"
