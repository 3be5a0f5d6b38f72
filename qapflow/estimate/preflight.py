"""Will it synthesise? Plans held against recorded runs of the tools, with the plan that passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qapflow.estimate.calibration import Calibration, current
from qapflow.ir.net import Net, Node, with_bodies
from qapflow.plan import Choice, Plan
from qapflow.plan.reuse import has_weights, parallel_multiplications, valid_reuse_factors


@dataclass(frozen=True)
class Risk:
    """A layer whose plan failed in recorded runs, and the choice that passed in all of them.

    "fails": more products side by side than in any run that ended well. "unknown": the tool has no
    recorded runs, the wall is that of the other tool.
    """

    node: str
    verdict: Literal["fails", "unknown"]
    products: int
    wall: int
    failed: int
    better: Choice | None
    better_products: int = 0

    def __str__(self) -> str:
        """Return the risk in one sentence."""
        said = f"{self.node}: {self.products:,} products side by side"
        if self.verdict == "fails":
            head = f"will not synthesise: {said}; all {self.failed:,} recorded runs with more than"
        else:
            head = f"may not synthesise: {said}; with the other tool all runs with more than"
        text = f"{head} {self.wall:,} failed"
        if self.better is None:
            return f"{text}, and no reuse factor has fewer"
        return (
            f"{text}; strategy {self.better.strategy}, reuse factor {self.better.reuse_factor} "
            f"({self.better_products:,} at once) would pass"
        )


def preflight(net: Net, plan: Plan, calibration: Calibration | None = None) -> tuple[Risk, ...]:
    """Return the layers that the tools will not finish, by the recorded runs."""
    walls = (calibration or current()).facts.get("walls", {})
    known = walls.get(plan.backend)
    wall_rows = known or next(iter(walls.values()), None)
    if not wall_rows:
        return ()
    risks = []
    for node in with_bodies(net).nodes:
        choice = plan.choices.get(node.name)
        if choice is None or not has_weights(node) or choice.strategy not in wall_rows:
            continue
        row = wall_rows[choice.strategy]
        products = parallel_multiplications(node, choice)
        if products <= row["most_passed"]:
            continue
        shared = wall_rows.get("resource", row)
        better, fewer = _passing(node, min(shared["most_passed"], row["most_passed"]))
        verdict: Literal["fails", "unknown"] = "fails" if known else "unknown"
        failed, wall = row["failed_above"], row["most_passed"]
        risks.append(Risk(node.name, verdict, products, wall, failed, better, fewer))
    return tuple(risks)


def _passing(node: Node, wall: int) -> tuple[Choice | None, int]:
    """Return the fastest shared choice below a wall, and its products side by side."""
    for factor in valid_reuse_factors(node):
        choice = Choice("resource", factor)
        products = parallel_multiplications(node, choice)
        if factor > 1 and products <= wall:
            return choice, products
    return None, 0
