"""Run the instrumented C simulation, and hold what it counted against the interpreter.

In this program every assignment between fixed-point types looks for lost bits. The quantizers must
lose exactly what the interpreter says; everything else, accumulators above all, nothing.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolFailed, UsageError
from qapflow.ir.fixed import Codes
from qapflow.ir.net import Net
from qapflow.report.figures import Comparison
from qapflow.verify.compile_csim import SANITIZED, compile_csim
from qapflow.verify.csim import SMALLEST_CHUNK, Job, pack, traced_edges
from qapflow.verify.losses import Losses, count_losses
from qapflow.verify.process import cores

SANITIZER = "C simulation, sanitized"
WATCHED = "csim/watched.json"
COUNTS = "losses.json"
AFTER = "the outputs"  # losses after the last edge that can be observed


@dataclass(frozen=True)
class Lost:
    """How many values went above or below a type, and how many lost low bits."""

    above: int = 0
    below: int = 0
    rounded: int = 0

    def __add__(self, other: Lost) -> Lost:
        return Lost(
            self.above + other.above, self.below + other.below, self.rounded + other.rounded
        )


@dataclass(frozen=True)
class Sanitized:
    """Counts by quantizer, and outside quantizers by the edge that was computed."""

    quantizers: Mapping[str, Lost]
    edges: Mapping[str, Lost]


def compare_losses(
    net: Net,
    project: Path,
    inputs: Mapping[str, Codes],
    *,
    jobs: int | None = None,
    timeout: float = 1800.0,
) -> tuple[Comparison, Sanitized]:
    """Compile and run the instrumented simulation on codes [n, *shape]; compare every count.

    Raises:
        ToolMissing: there is no compiler.
        ToolFailed: compiler or simulation crashed or ran out of time.
        UsageError: the project has no instrumented simulation.
    """
    watched = _read_watched(project)
    compile_csim(project, jobs, timeout, sanitize=True)
    start = time.monotonic()
    counted = run_sanitized(project, net, inputs, watched, jobs=jobs, timeout=timeout)
    seconds = time.monotonic() - start
    expected = count_losses(net, inputs)
    wrong = list(_differences(expected, counted))
    samples = min(len(codes) for codes in inputs.values())
    item = Comparison(
        "interpreter",
        SANITIZER,
        "different" if wrong else "equal",
        samples,
        3 * (len(counted.quantizers) + len(counted.edges)),
        len(wrong),
        seconds,
        note=wrong[0] if wrong else state(counted),
    )
    return item, counted


def run_sanitized(
    project: Path,
    net: Net,
    inputs: Mapping[str, Codes],
    watched: Mapping[str, str],
    *,
    jobs: int | None = None,
    timeout: float = 1800.0,
) -> Sanitized:
    """Run the compiled program; `watched` names the quantizers of its counters."""
    project = project.resolve()
    packed = pack(net, inputs)
    edges = (*traced_edges(project, net), AFTER)
    job = Job(project, project / SANITIZED, net, (), timeout)

    def run(samples: NDArray[np.int64]) -> Sanitized:
        with tempfile.TemporaryDirectory(prefix="qapflow-sanitize-") as name:
            job.execute(samples, Path(name), COUNTS)
            return _read_counts(Path(name) / COUNTS, watched, edges)

    count = max(1, min(jobs or cores(), ceil(len(packed) / SMALLEST_CHUNK)))
    parts = job.runner.map(run, np.array_split(packed, count), count)
    return Sanitized(
        {name: _total(part.quantizers[name] for part in parts) for name in watched.values()},
        {name: _total(part.edges[name] for part in parts) for name in edges},
    )


def _total(parts: Iterable[Lost]) -> Lost:
    return sum(parts, Lost())


def _read_watched(project: Path) -> dict[str, str]:
    path = project / WATCHED
    try:
        return {str(k): str(v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(
            f"the list of counted quantizers cannot be read ({error!r})",
            str(path),
            "build the project again",
        ) from error


def _read_counts(path: Path, watched: Mapping[str, str], edges: tuple[str, ...]) -> Sanitized:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = {name: Lost(*map(int, row)) for name, row in data["quantizers"].items()}
        rows = [Lost(*map(int, row)) for row in data["edges"]]
        by_edge = dict(zip(edges, rows, strict=True))
        unknown = found.keys() - watched.keys()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolFailed(
            f"the counts of the C simulation cannot be read ({error!r})",
            path.name,
            "the project does not belong to this network; build it again",
        ) from error
    if unknown:
        raise ToolFailed(
            f"the C simulation counts an unknown quantizer {min(unknown)!r}",
            path.name,
            "build the project again",
        )
    return Sanitized({node: found.get(name, Lost()) for name, node in watched.items()}, by_edge)


def _differences(expected: Mapping[str, Losses], counted: Sanitized) -> Iterator[str]:
    for edge, lost in counted.edges.items():
        for what, number in (
            ("went above their type", lost.above),
            ("went below their type", lost.below),
            ("lost low bits", lost.rounded),
        ):
            if number:
                yield f"{edge}: {number} values {what} in the firmware, where none may"
    for node, lost in counted.quantizers.items():
        wanted = expected[node]
        for what, left, right in (
            ("above", wanted.above, lost.above),
            ("below", wanted.below, lost.below),
            ("rounded", wanted.rounded, lost.rounded),
        ):
            if left != right:
                yield f"{node}: {left} values {what} in the interpreter, {right} in the firmware"


def state(counted: Sanitized) -> str:
    """Return what was counted in one sentence, when all agrees."""
    lost = _total(counted.quantizers.values())
    return (
        f"outside the quantizers 0 values lost bits; in {len(counted.quantizers)} quantizers "
        f"{lost.above} went above and {lost.below} below their type, and {lost.rounded} were "
        "rounded, as in the interpreter"
    )
