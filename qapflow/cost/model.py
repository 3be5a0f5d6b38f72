"""The cost of a model file: front end, passes, counts, and the estimate where a board is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qapflow.boards import load_target
from qapflow.cost.board import estimate_on
from qapflow.cost.declared import declared_bits
from qapflow.cost.figures import BoardEstimate, NetCost
from qapflow.cost.measure import measure
from qapflow.frontend.model import Loaded
from qapflow.passes import PASSES
from qapflow.steps.loading import load_model
from qapflow.steps.settings import BuildSettings
from qapflow.target import Target


@dataclass(frozen=True)
class ModelCost:
    """What `qapflow cost` found out about one model file."""

    model: str
    model_digest: str
    exact: bool  # every layer computes what the model computes
    cost: NetCost
    board: BoardEstimate | None
    notes: tuple[str, ...]


def cost_of_model(settings: BuildSettings, *, with_board: bool) -> ModelCost:
    """Read a model and return its cost, with the estimate on `settings.board` if asked for.

    Raises:
        UsageError: a file, board or choice is wrong.
        ModelUnsupported: some layers cannot be built; all are listed.
    """
    target = load_target(settings.board) if with_board else None
    return cost_of_loaded(
        load_model(settings),
        target,
        model=settings.model.name,
        io_type=settings.io_type,
        backend=settings.backend,
        clock_ns=settings.clock_ns,
        strategy=settings.strategy,
        reuse_factor=settings.reuse_factor,
        overrides=settings.overrides,
    )


def cost_of_loaded(
    loaded: Loaded, target: Target | None = None, *, model: str = "", **choices: Any
) -> ModelCost:
    """Return the cost of a model that was read, with the estimate on a board if one is given.

    `choices` are those of `qapflow.plan.propose.propose`.

    Raises:
        UsageError: a choice is impossible for this network.
    """
    net = loaded.net
    for rewrite in PASSES:
        net = rewrite(net)
    return ModelCost(
        model=model or loaded.spec.name,
        model_digest=loaded.spec.digest,
        exact=loaded.exact,
        cost=measure(net, declared_bits(loaded.spec)),
        board=estimate_on(net, target, **choices) if target else None,
        notes=(*_float_note(loaded), *loaded.notes),
    )


def _float_note(loaded: Loaded) -> tuple[str, ...]:
    chosen = list(dict.fromkeys(r.name for r in loaded.records if r.regime == "chosen"))
    if not chosen:
        return ()
    names = ", ".join(chosen[:4]) + (f" and {len(chosen) - 4} more" if len(chosen) > 4 else "")
    return (f"{names}: float layers, counted with the fixed-point types chosen for them",)
