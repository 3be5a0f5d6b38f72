"""How wrong the estimates were, as a table of text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from qapflow.calibrate.compare import Compared


def describe(rows: Sequence[Compared]) -> str:
    """Return a line a figure and stage, of totals and of layers: n, errors, intervals that held."""
    groups: dict[tuple[str, str, str], list[Compared]] = defaultdict(list)
    for row in rows:
        groups[row.stage, "total" if row.part == "total" else "layers", row.figure].append(row)
    lines = [f"{'stage':<16}{'of':<8}{'figure':<16}{'n':>5}{'median':>9}{'largest':>9}{'held':>7}"]
    for (stage, part, figure), found in groups.items():
        errors = [abs(r.estimated - r.reported) / max(r.reported, 1.0) for r in found]
        held = sum(r.inside for r in found)
        lines.append(
            f"{stage:<16}{part:<8}{figure:<16}{len(found):>5}{median(errors):>9.1%}"
            f"{max(errors):>9.1%}{f'{held}/{len(found)}':>7}"
        )
    return "\n".join(lines)
