"""Which planned layers the tool did not finish: the walls of the preflight check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.estimate.tables import read_rows


def failure_facts(folder: Path) -> dict[str, Any]:
    """Return counts of products side by side that always passed, and that always failed."""
    passed: dict[str, list[int]] = {"latency": [], "resource": []}
    failed: dict[str, list[int]] = {"latency": [], "resource": []}
    for row in read_rows(folder / "dense_single_layer.csv"):
        shared = row["strategy"] == "resource"
        lanes = -(-int(row["d_in"]) * int(row["d_out"]) // (int(row["rf"]) if shared else 1))
        done = row["hls_synth_success"] == "True"
        (passed if done else failed)[row["strategy"]].append(lanes)
    walls = {}
    for strategy, lanes_failed in failed.items():
        most = max(passed[strategy], default=0)
        above = [lanes for lanes in lanes_failed if lanes > most]
        walls[strategy] = {
            "most_passed": most,
            "failed_above": len(above),
            "failed_below": len(lanes_failed) - len(above),
            "passed": len(passed[strategy]),
        }
    return {"walls": {"vivado": walls}}
