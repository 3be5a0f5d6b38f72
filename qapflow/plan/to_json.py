"""A plan as JSON text and back, without loss."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import get_args

from qapflow.errors import UsageError
from qapflow.plan import Backend, Choice, IoType, Plan, Strategy


def plan_to_json(plan: Plan) -> str:
    """Return a plan as indented JSON; the same plan gives the same bytes."""
    return json.dumps(asdict(plan), indent=2, sort_keys=True) + "\n"


def plan_from_json(text: str) -> Plan:
    """Read what `plan_to_json` wrote.

    Raises:
        UsageError: not JSON, a missing or unknown key, or a value that no plan has.
    """
    try:
        data = json.loads(text)
        choices = {name: Choice(**choice) for name, choice in data.pop("choices").items()}
        plan = Plan(**data, choices=choices)
        plan = Plan(**{**vars(plan), "notes": tuple(plan.notes)})
        _check(plan)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        hint = "build again; the plan is written anew"
        raise UsageError(f"the plan cannot be read: {error}", "plan.json", hint) from error
    return plan


def _check(plan: Plan) -> None:
    _one_of(plan.backend, Backend)
    _one_of(plan.io_type, IoType)
    for value in (plan.clock_ns, plan.clock_uncertainty_percent):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{value!r} is not a number")
    for choice in plan.choices.values():
        _one_of(choice.strategy, Strategy)
        factor: object = choice.reuse_factor
        if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1:
            raise ValueError(f"{factor!r} is not a reuse factor")
        if not isinstance(choice.written_out, bool):
            raise TypeError(f"{choice.written_out!r} is neither true nor false")
        if choice.written_out and choice.strategy != "latency":
            raise ValueError("only strategy latency is written out")


def _one_of(value: str, kind: object) -> None:
    if value not in get_args(kind):
        raise ValueError(f"{value!r} is not one of {', '.join(get_args(kind))}")
