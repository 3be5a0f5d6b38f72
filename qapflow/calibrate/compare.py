"""Hold estimates of projects against what their tools reported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from qapflow.calibrate.projects import Project
from qapflow.estimate import CSYNTH, POST_SYNTH, estimate
from qapflow.estimate.calibration import Calibration
from qapflow.estimate.matrix import find, module_of
from qapflow.estimate.module import family_group
from qapflow.estimate.stages import WHOLE
from qapflow.ir.ops import Dense
from qapflow.report.figures import Figure

FIGURES = ("lut", "ff", "dsp", "bram18", "latency_cycles", "ii_cycles")
Key = tuple[str, str, str, str, str]  # of the model that made an estimate


@dataclass(frozen=True)
class Compared:
    """One figure of one design: what was estimated and what the tool reported."""

    project: str
    part: str  # "total" or a layer
    stage: str
    figure: str
    estimated: float
    low: float
    high: float
    reported: float
    key: Key | None = None

    @property
    def inside(self) -> bool:
        """Tell whether the interval held the report."""
        return self.low <= self.reported <= self.high


def compare(projects: Iterable[Project], calibration: Calibration) -> list[Compared]:
    """Return every figure that both an estimate and a report have."""
    rows: list[Compared] = []
    for project in projects:
        found = estimate(project.net, project.plan, project.target, calibration)
        if project.whole:
            rows += _rows(project, "total", CSYNTH, dict(found.totals), project.report.figures)
            if project.synthesis:
                later = dict(found.stages.get(POST_SYNTH, ()))
                keys = {n: (WHOLE, "any", "any", POST_SYNTH, n) for n in later}
                after = project.synthesis.figures
                rows += _rows(project, "total", POST_SYNTH, later, after, keys)
        for name, module in _modules(project):
            figures, keys = found.layers.get(name, {}), _keys(project, name, calibration)
            rows += _rows(project, name, CSYNTH, figures, module, keys)
    return rows


def _rows(
    project: Project,
    part: str,
    stage: str,
    estimated: Mapping[str, Figure],
    reported: Mapping[str, Figure],
    keys: Mapping[str, Key] | None = None,
) -> Iterator[Compared]:
    for name in FIGURES:
        if name in estimated and name in reported:
            figure = estimated[name]
            yield Compared(
                str(project.folder),
                part,
                stage,
                name,
                figure.value,
                figure.value if figure.low is None else figure.low,
                figure.value if figure.high is None else figure.high,
                reported[name].value,
                (keys or {}).get(name),
            )


def _modules(project: Project) -> Iterator[tuple[str, Mapping[str, Figure]]]:
    """Give the dense kernels of a report: modules are named after the configuration they have."""
    for name, figures in sorted(project.report.modules.items()):
        found = re.search(r"dense_(?:latency|resource)\w*_(config\w*?)(?:_s)?$", name)
        if found and found[1] in project.layer_of:
            yield project.layer_of[found[1]], figures


def _keys(project: Project, name: str, calibration: Calibration) -> dict[str, Key]:
    node = project.net.by_name[name]
    if not isinstance(node.op, Dense) or not family_group(project.target.family):
        return {}
    module = module_of(project.net, node, project.plan, project.target)
    models = {figure: find(calibration, module, figure) for figure in FIGURES}
    return {
        figure: (m.kind, m.tool, m.family, m.stage, m.figure) for figure, m in models.items() if m
    }
