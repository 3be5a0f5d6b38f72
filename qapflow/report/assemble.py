"""Gather what a build found out into one `Report`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qapflow import __version__
from qapflow.estimate import estimate, is_hardware
from qapflow.frontend.model import LayerRecord
from qapflow.ir.interval import Interval, bound_net
from qapflow.ir.net import Edge, Net, Node, with_bodies
from qapflow.ir.ops import Affine, Conv, Dense, Reshape
from qapflow.plan import Plan
from qapflow.report.budgets import check_budgets
from qapflow.report.figures import (
    Accuracy,
    Comparison,
    Figure,
    LayerReport,
    OverflowProof,
    Report,
    ToolRun,
)
from qapflow.report.headroom import judge_fit
from qapflow.report.ledger import make_ledger
from qapflow.report.overflow import overflow_of, state_overflow
from qapflow.steps.settings import Budgets
from qapflow.synth.open.result import OpenSynthesis
from qapflow.target import Target
from qapflow.verify.bisection import Bisection
from qapflow.verify.overflow import prove_overflow

Range = tuple[float, float]


@dataclass(frozen=True)
class Findings:
    """What was measured on a build, all optional.

    `observed` are ranges of values by edge on the verification vectors; `totals` are figures of
    whole designs from tools, `layer_figures` those of nodes, which replace estimates. Without
    `overflow` the proof is made without searching.
    """

    comparisons: tuple[Comparison, ...] = ()
    accuracy: Accuracy | None = None
    observed: Mapping[str, Range] = field(default_factory=dict)
    tools: tuple[ToolRun, ...] = ()
    totals: tuple[tuple[str, Figure], ...] = ()
    layer_figures: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    overflow: OverflowProof | None = None
    bisection: Bisection | None = None
    open_synthesis: OpenSynthesis | None = None


def assemble(
    net: Net,
    plan: Plan,
    target: Target,
    records: Sequence[LayerRecord],
    *,
    model: str,
    model_digest: str,
    findings: Findings | None = None,
    budgets: Budgets | None = None,
) -> Report:
    """Return the report of a build: estimates, ledger, headroom, budgets, and the findings."""
    found = findings or Findings()
    flat = with_bodies(net)
    intervals = bound_net(flat)
    proof = found.overflow or prove_overflow(net, {}, work=0)[0]
    figures = estimate(net, plan, target)
    totals = (*figures.totals, *found.totals)
    found = replace(found, overflow=proof)
    report = Report(
        model=model,
        model_digest=model_digest,
        net_digest=net.digest,
        qapflow_version=__version__,
        target=target,
        clock_ns=plan.clock_ns,
        backend=plan.backend,
        io_type=plan.io_type,
        regime="exact" if all(r.regime == "exact" for r in records) else "chosen",
        layers=_layers(
            flat, plan, intervals, records, replace(found, overflow=proof), figures.layers
        ),
        totals=totals,
        fits=False,
        headroom="",
        ledger=make_ledger(net, plan, records),
        comparisons=found.comparisons,
        accuracy=found.accuracy,
        budgets=(),
        tools=found.tools,
        overflow_statement=state_overflow(proof),
        notes=_notes(plan, target, (*map(str, figures.risks), *figures.missing, *found.notes)),
        overflow=proof,
        stages=tuple(sorted(figures.stages.items())),
        bisection=found.bisection,
        open_synthesis=found.open_synthesis,
    )
    return _judge(report, budgets or Budgets())


def _judge(report: Report, budgets: Budgets) -> Report:
    """Add what follows from the figures: whether it fits, and which budgets hold."""
    fits, headroom = judge_fit(report.target, report.totals)
    return replace(report, fits=fits, headroom=headroom, budgets=check_budgets(budgets, report))


def observe(net: Net, codes: Mapping[str, object]) -> dict[str, Range]:
    """Return the range of real values of each edge among codes [n, *shape] (empty: left out)."""
    ranges = {}
    for name, array in codes.items():
        samples = np.asarray(array)
        if samples.size:
            ends = (int(samples.min()), int(samples.max()))
            ranges[name] = _values(net.edge(name), *ends)
    return ranges


def _notes(plan: Plan, target: Target, notes: tuple[str, ...]) -> tuple[str, ...]:
    unverified = f"the totals of {target.name} are not verified by a tool's report: {target.source}"
    own = () if target.verified else (unverified,)
    return tuple(dict.fromkeys((*own, *plan.notes, *notes)))


def _layers(
    net: Net,
    plan: Plan,
    intervals: Mapping[str, Interval],
    records: Sequence[LayerRecord],
    found: Findings,
    figures: Mapping[str, Mapping[str, Figure]],
) -> tuple[LayerReport, ...]:
    by_name = {record.name: record for record in records}
    return tuple(
        _layer(
            net, node, plan, intervals, by_name.get(node.origin), found, figures.get(node.name, {})
        )
        for node in net.nodes
        if is_hardware(node)
    )


def _layer(
    net: Net,
    node: Node,
    plan: Plan,
    intervals: Mapping[str, Interval],
    record: LayerRecord | None,
    found: Findings,
    figures: Mapping[str, Figure],
) -> LayerReport:
    sources = [net.edge(name) for name in node.inputs]
    choice = plan.choices.get(node.name)
    op = node.op
    constant = op.weight if isinstance(op, Dense | Conv) else None
    if isinstance(op, Affine):
        constant = op.scale
    weights = constant.codes if constant else np.zeros(0, np.int64)
    return LayerReport(
        name=node.name,
        op=type(op).__name__,
        origin=node.origin,
        class_name=record.class_name if record else "",
        regime=record.regime if record else "exact",
        reason=record.reason if record else "",
        input_shapes=tuple(edge.shape for edge in sources),
        output_shape=node.out.shape,
        input_types=tuple(str(edge.type) for edge in sources),
        output_type=str(node.out.type),
        weight_type=str(constant.type) if constant else "",
        strategy=choice.strategy if choice else "",
        reuse_factor=choice.reuse_factor if choice else None,
        value_range=_values(node.out, intervals[node.name].low, intervals[node.name].high),
        observed_range=found.observed.get(node.name),
        weight_range=_weight_range(node, constant.type.frac) if constant else None,
        weights=int(weights.size),
        nonzero_weights=int(np.count_nonzero(weights)),
        can_overflow=overflow_of(found.overflow, node.name) if found.overflow else "",
        figures={**figures, **found.layer_figures.get(node.name, {})},
        inputs=tuple(_feeder(net, name) for name in node.inputs),
        written_out=choice.written_out if choice else False,
    )


def _feeder(net: Net, name: str) -> str:
    """Return the node behind an edge, reshapes passed over: they are no hardware."""
    while isinstance(net.by_name[name].op, Reshape):
        (name,) = net.by_name[name].inputs
    return name


def _values(edge: Edge, low: int, high: int) -> Range:
    return math.ldexp(low, -edge.type.frac), math.ldexp(high, -edge.type.frac)


def _weight_range(node: Node, frac: int) -> Range:
    op = node.op
    assert isinstance(op, Dense | Conv | Affine)
    codes = op.scale.codes if isinstance(op, Affine) else op.weight.codes
    return math.ldexp(int(codes.min()), -frac), math.ldexp(int(codes.max()), -frac)
