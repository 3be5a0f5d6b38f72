"""Results by content: a module whose files, script and tool are unchanged is not synthesised."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict
from pathlib import Path

from qapflow.lower.files import write_file
from qapflow.rtl.design import Module
from qapflow.synth.open.cells import Cells
from qapflow.synth.open.engines import Engine
from qapflow.synth.open.sources import Sources, digest_files
from qapflow.synth.open.unit import Unit

FORMAT = "open synthesis 1"

MS_PER_LUT = 6.0
"""Seconds of Yosys by size before anything was measured here; 5 to 7 on two shared cores."""
ALONE_LUT = 1500
"""Modules of fewer may have shared a process, and its start."""
START_S = 4.5
"""Reading the cell libraries, whatever the design."""


class Kept:
    """Results in a folder, one file each; a damaged file counts as absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, engine: Engine, sources: Sources, module: Module, script: str) -> str:
        """Return the name of a result."""
        data = [path for path in sources.files if not path.endswith((".v", ".sv"))]
        paths = sorted({*module.files, *data})
        return digest_files(sources.files, paths, FORMAT, engine.kind, engine.version, script)

    def find(self, key: str) -> Unit | None:
        """Return a result."""
        try:
            data = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
            cells = Cells(**data.pop("cells"))
            return Unit(**data, cells=cells)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def keep(self, key: str, unit: Unit) -> None:
        """Store a result; failures are not kept: the next run tries again."""
        if unit.status == "ok":
            write_file(self.folder / f"{key}.json", json.dumps(asdict(unit), indent=1).encode())

    def seconds_of(self, cost_lut: float | None) -> float | None:
        """Predict the time of a module from those synthesised here before, None without size."""
        if cost_lut is None:
            return None
        return START_S + cost_lut * self.ms_per_lut() / 1000

    def ms_per_lut(self) -> float:
        """Return the median milliseconds a LUT of what ran alone, or as measured elsewhere."""
        rates = []
        for path in self.folder.glob("*.json"):
            unit = self.find(path.stem)
            if unit is not None and unit.cells is not None and unit.cells.lut >= ALONE_LUT:
                rates.append(1000 * max(unit.seconds - START_S, 0.0) / unit.cells.lut)
        return statistics.median(rates) if rates else MS_PER_LUT
