"""The last step of a build: everything that was found out, put into one report."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

from qapflow.report.assemble import Findings, assemble
from qapflow.report.figures import (
    Accuracy,
    Comparison,
    Difference,
    Figure,
    OverflowProof,
    Report,
    Source,
    ToolRun,
)
from qapflow.report.json import read_as
from qapflow.report.open_synthesis import open_synthesis_tools, open_synthesis_totals
from qapflow.steps.context import BISECTION, OVERFLOW, SYNTHESIS, Context
from qapflow.steps.open_synthesis import stored_synthesis
from qapflow.steps.rtl import rtl_tools, rtl_totals
from qapflow.verify.bisection import Bisection
from qapflow.versions import compiler_version, keras_versions, package_version

CHECKS = ("passes", "csim", "rtl", "sanitize", "keras")


def assemble_report(context: Context) -> Report:
    """Read what the steps left and return the report."""
    layers, facts = context.layers, context.vector_facts
    checks = {name: context.verification(name) for name in CHECKS}
    synthesis = json.loads(context.folder.read(SYNTHESIS))
    accuracy = checks["keras"]["accuracy"]
    open_synthesis = stored_synthesis(context.folder.path)
    notes = (checks["keras"]["note"], *layers["notes"], facts["note"], *synthesis["notes"])
    findings = Findings(
        comparisons=tuple(
            read_comparison(check["comparison"]) for check in checks.values() if check["comparison"]
        ),
        accuracy=Accuracy(**accuracy) if accuracy else None,
        observed=_observed(context, facts["ranges"]),
        tools=(
            *_tools(checks["keras"]["versions"]),
            *rtl_tools(context),
            *_synth_tools(synthesis),
            *open_synthesis_tools(open_synthesis),
        ),
        totals=(
            *((name, read_figure(figure)) for name, figure in synthesis["totals"]),
            *rtl_totals(context),
            *open_synthesis_totals(open_synthesis),
        ),
        notes=tuple(note for note in notes if note),
        overflow=_proof(context, checks["sanitize"]["comparison"]),
        bisection=_bisection(context),
        open_synthesis=open_synthesis,
    )
    return assemble(
        context.net,
        context.plan,
        context.target,
        context.records,
        model=context.settings.model.name,
        model_digest=layers["digest"],
        findings=findings,
        budgets=context.settings.budgets,
    )


def _proof(context: Context, counted: dict[str, Any] | None) -> OverflowProof:
    proof = read_as(OverflowProof, json.loads(context.folder.read(OVERFLOW)), OVERFLOW)
    if counted is None:
        return proof
    return replace(proof, counts=f"instrumented C simulation: {counted['note']}")


def read_comparison(data: dict[str, Any]) -> Comparison:
    """Return a comparison from its JSON."""
    first = data["first"]
    if first is not None:
        first = Difference(**{**first, "index": tuple(first["index"])})
    return Comparison(**{**data, "first": first})


def _bisection(context: Context) -> Bisection | None:
    """Return the bisection that was run on this build, None if there is none of this network."""
    path = context.folder.path / BISECTION
    if not path.exists():
        return None
    found = read_as(Bisection, json.loads(path.read_text(encoding="utf-8")), BISECTION)
    return found if found.net_digest == context.loaded_net.digest else None


def read_figure(data: dict[str, Any]) -> Figure:
    """Return a figure from its JSON."""
    return Figure(**{**data, "source": Source(data["source"])})


def _observed(context: Context, ranges: dict[str, list[int]]) -> dict[str, tuple[float, float]]:
    found = {}
    for name, (low, high) in ranges.items():
        frac = context.net.edge(name).type.frac
        found[name] = (math.ldexp(low, -frac), math.ldexp(high, -frac))
    return found


def _tools(keras: dict[str, str]) -> tuple[ToolRun, ...]:
    hls4ml, compiler = package_version("hls4ml"), compiler_version()
    rows = [ToolRun("hls4ml", hls4ml, "ok", "wrote the HLS project")]
    if compiler:
        rows.append(ToolRun("C++ compiler", compiler, "ok", "compiled the C simulation"))
    else:
        rows.append(ToolRun("C++ compiler", "", "not run", "none found; qapflow doctor says more"))
    if keras:
        rows += [ToolRun(name, version, "ok") for name, version in sorted(keras.items())]
    elif not keras_versions():
        rows.append(ToolRun("Keras", "", "not run", "pip install 'qapflow[train]' to compare"))
    return tuple(rows)


def _synth_tools(synthesis: dict[str, Any]) -> tuple[ToolRun, ...]:
    rows = tuple(ToolRun(**row) for row in synthesis["tools"])
    return rows or (ToolRun("synthesis", "", "not run", synthesis["detail"]),)
