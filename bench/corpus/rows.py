"""One row of the table: what became of a model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from bench.corpus.measure import Measured
from bench.corpus.models import Model

EXIT = {2: "bad file", 3: "tool missing", 4: "refused", 5: "tool failed"}
BAD = ("DIFFERS", "TRACEBACK", "CRASHED")  # what fails the whole run
BUILT = ("exact", "equal", "exact+", "chosen", "unverified")
TABLE = re.compile(r"\btables?\b")  # stands in the reason of a real function
REASON = 600  # characters


@dataclass(frozen=True)
class Row:
    """What became of a model, beside what hls4ml made of it.

    `verdict`: exact (every output value equals Keras, and must), equal (every output value equals
    Keras, but floats might have been rounded otherwise), exact+ (equal up to real functions as
    softmax, which are tables with a stated error bound: see `max_error`), chosen (floats had to be
    rounded: see `max_error`), unverified (built, equal in the C simulation, but Keras did not run
    it), refused, bad file, tool missing, tool failed, timeout, or one of `BAD`. `mismatches` of
    `values` differ from Keras; where `regime` is exact, that is a defect.
    """

    file: str
    family: str
    loads: bool | None
    quantized: bool | None
    verdict: str
    seconds: float
    peak_mib: float
    regime: str = ""
    layers: int | None = None
    exact_layers: int | None = None
    only_tables: bool = False
    keras: str = ""
    mismatches: int | None = None
    values: int | None = None
    csim: str = ""
    csim_mismatches: int | None = None
    csim_values: int | None = None
    max_error: float | None = None
    same_class: float | None = None
    note: str = ""
    reason: str = ""
    hls4ml: str = ""
    hls4ml_mismatches: int | None = None
    hls4ml_values: int | None = None
    hls4ml_max_error: float | None = None
    key: str = ""

    @property
    def built(self) -> bool:
        """Tell whether there is a project, and no check failed."""
        return self.verdict in BUILT

    @property
    def bad(self) -> bool:
        """Tell whether this fails the run."""
        return self.verdict in BAD


def make_row(model: Model, run: Measured, key: str) -> Row:
    """Sum up a build by its exit code and its report."""
    facts: dict[str, Any] = {}
    if run.timed_out:
        verdict, facts["reason"] = "timeout", f"stopped after {run.seconds:.0f} s"
    elif "Traceback (most recent call last)" in run.stderr:
        verdict, facts["reason"] = "TRACEBACK", _one_line(run.stderr)[-REASON:]
    elif run.returncode in (0, 1) and run.stdout.startswith("{"):
        facts = read_report(json.loads(run.stdout))
        verdict = _built(run.returncode, facts)
    else:
        verdict = EXIT.get(run.returncode, "CRASHED")
        facts["reason"] = _one_line(run.stderr)[:REASON] or f"exit code {run.returncode}"
    return Row(
        model.name, model.family, model.loads, model.quantized, verdict, round(run.seconds, 1),
        round(run.peak_mib), key=key, **facts, **_baseline(model.baseline),
    )  # fmt: skip


def _built(code: int, facts: Mapping[str, Any]) -> str:
    if code:
        return "DIFFERS"
    if facts["regime"] == "chosen" and facts["csim"] == "equal" and facts["max_error"] == 0:
        return "equal"
    if facts["only_tables"] and facts["keras"] == facts["csim"] == "equal":
        return "exact+"
    if facts["regime"] == "chosen":
        return "chosen" if facts["keras"] != "not run" or facts["values"] else "unverified"
    return "exact" if facts["keras"] == facts["csim"] == "equal" else "unverified"


def read_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what a row shows out of a report as JSON."""
    report = report.get("report", report)
    checks = report["comparisons"]
    keras = next(c for c in checks if "Keras" in (c["left"], c["right"]))
    csim = next(c for c in checks if "C simulation" in (c["left"], c["right"]))
    accuracy = report["accuracy"] or {}
    reasons = {layer["origin"]: layer["reason"] for layer in report["layers"]}
    floats = {layer["origin"] for layer in report["layers"] if layer["regime"] == "chosen"}
    return {
        "regime": report["regime"],
        "layers": len(reasons),
        "exact_layers": len(reasons) - len(floats),
        "only_tables": bool(floats) and all(TABLE.search(reasons[name]) for name in floats),
        "keras": keras["verdict"],
        "mismatches": keras["mismatches"],
        "values": keras["values"],
        "note": keras["note"],
        "csim": csim["verdict"],
        "csim_mismatches": csim["mismatches"],
        "csim_values": csim["values"],
        "max_error": accuracy.get("max_abs_error"),
        "same_class": accuracy.get("argmax_agreement"),
    }


def _baseline(row: Mapping[str, str]) -> dict[str, Any]:
    def number(name: str, kind: type) -> Any:
        text = row.get(name) or ""
        return kind(float(text)) if text else None

    return {
        "hls4ml": row.get("verdict", ""),
        "hls4ml_mismatches": number("mismatches", int),
        "hls4ml_values": number("values", int),
        "hls4ml_max_error": number("max_abs_difference", float),
    }


def _one_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", " | ", text.strip().removeprefix("error: "))


def to_json(row: Row) -> dict[str, Any]:
    """Return a row as JSON holds it."""
    return asdict(row)


def from_json(data: Mapping[str, Any]) -> Row:
    """Read a row; keys that are no column are left out."""
    names = {field.name for field in fields(Row)}
    return Row(**{name: value for name, value in data.items() if name in names})
