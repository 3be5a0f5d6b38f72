"""Later stages of the flow: what logic synthesis makes of the figures of C synthesis."""

from __future__ import annotations

from qapflow.estimate.calibration import Calibration
from qapflow.estimate.interval import CSYNTH, POST_SYNTH, measured
from qapflow.estimate.module import family_group
from qapflow.plan import Plan
from qapflow.report.figures import Figure, Source
from qapflow.target import Target

WHOLE = "whole design"

Totals = tuple[tuple[str, Figure], ...]


def later_stages(
    totals: Totals, plan: Plan, target: Target, calibration: Calibration
) -> dict[str, Totals]:
    """Return totals of post-synthesis (out of context), where reports relate them to csynth.

    The interval is that of the csynth figure, times that of the ratio. No public report relates
    post-route figures to those of C synthesis, so there is no such stage.
    """
    rows = []
    for name, figure in totals:
        model = calibration.find(
            WHOLE, plan.backend, family_group(target.family), name, POST_SYNTH
        ) or calibration.find(WHOLE, "any", "any", name, POST_SYNTH)
        if model is None:
            continue
        ratio = model.coefficients[CSYNTH]
        facts = {name: figure.value, "clock_ns": plan.clock_ns}
        value = measured(figure.value * ratio, figure.unit, model, facts, figure.note)
        wide = (
            float(int((value.low or 0.0) * _share(figure.low, figure.value))),
            float(round((value.high or 0.0) * _share(figure.high, figure.value))),
        )
        made = Figure(value.value, figure.unit, Source.ESTIMATE, *wide, value.note)
        rows.append((name, made))
    return {POST_SYNTH: tuple(rows)} if rows else {}


def _share(end: float | None, value: float) -> float:
    return end / value if end is not None and value else 1.0
