"""The verb `calibrate`: from a user's reports to past errors and a calibration file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qapflow.calibrate.compare import compare
from qapflow.calibrate.projects import read_projects
from qapflow.calibrate.refine import refine, to_json
from qapflow.calibrate.text import describe
from qapflow.errors import UsageError
from qapflow.estimate.calibration import VARIABLE, current
from qapflow.lower.files import write_file


@dataclass(frozen=True)
class Calibrated:
    """What a run of `calibrate` found: the reports left out, past errors, and the file."""

    usable: int
    skipped: tuple[str, ...]
    text: str
    facts: dict[str, Any]


def calibrate_with(paths: Sequence[Path], output: Path | None) -> Calibrated:
    """Compare estimates with reports; write a refined calibration if a file is named.

    Raises:
        UsageError: the calibration in use cannot be read, or the file cannot be written.
    """
    calibration = current()
    projects, skipped = read_projects(paths)
    rows = compare(projects, calibration)
    usable = len({row.project for row in rows})
    lines = [describe(rows)] if rows else []
    if rows and output:
        try:
            write_file(output, to_json(refine(calibration, rows)).encode())
        except OSError as error:
            what = f"the calibration cannot be written: {error.strerror}"
            raise UsageError(what, str(output)) from error
        lines.append(f"\nwritten to {output}; used where {VARIABLE}={output} is set")
    facts = {
        "rows": [{k: v for k, v in asdict(row).items() if k != "key"} for row in rows],
        "skipped": list(skipped),
        "written": str(output) if rows and output else "",
    }
    return Calibrated(usable, tuple(skipped), "\n".join(lines), facts)
