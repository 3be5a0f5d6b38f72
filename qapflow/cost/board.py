"""The project's estimate of a network on a board, to stand beside its cost in bits."""

from __future__ import annotations

from typing import Any

from qapflow.cost.figures import BoardEstimate
from qapflow.estimate import estimate
from qapflow.ir.net import Net
from qapflow.plan.propose import propose
from qapflow.report.headroom import judge_fit
from qapflow.target import Target


def estimate_on(net: Net, target: Target, **choices: Any) -> BoardEstimate:
    """Return latency, interval and resources of a network on a board, all estimates.

    `choices` are those of `qapflow.plan.propose.propose`, such as `strategy` or `reuse_factor`.

    Raises:
        UsageError: a choice is impossible for this network.
    """
    plan = propose(net, target, **choices)
    found = estimate(net, plan, target)
    fits, headroom = judge_fit(target, found.totals)
    return BoardEstimate(
        target=target,
        clock_ns=plan.clock_ns,
        backend=plan.backend,
        io_type=plan.io_type,
        totals=dict(found.totals),
        layers=found.layers,
        fits=fits,
        headroom=headroom,
        notes=(*plan.notes, *map(str, found.risks), *found.missing),
    )
