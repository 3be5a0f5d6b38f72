"""The report as one HTML file: no other files, no network, nothing unescaped."""

from __future__ import annotations

import math
from typing import Any

import jinja2
from markupsafe import Markup

from qapflow.report import bisection, estimates, open_synthesis, overflow, plots, words
from qapflow.report.figures import Report
from qapflow.report.headroom import best_figures
from qapflow.resources import templates_dir

MOST_ROWS = 24  # of a plot before it is folded


def render_html(report: Report) -> str:
    """Return the report as a page; the same report gives the same bytes."""
    best = best_figures(report.totals)
    resources = plots.resource_plot(report)
    return render_page(
        "report.html.j2",
        report=report,
        words=words,
        overflow=overflow,
        bisection=bisection,
        open_synthesis=open_synthesis,
        verdict=words.judge(report),
        latency=best.get("latency_cycles"),
        interval=best.get("ii_cycles"),
        usages=words.usages(report),
        sources=words.by_source(report),
        fit=report.headroom.partition(":")[0],
        columns=[n for n in words.COSTS if words.shows(report.layers, n)],
        notes=(*words.estimate_notes(report), *report.notes),
        resources=resources,
        shows_slr=any(kind == "slr" for row in resources.rows for _, kind, _ in row.marks),
        layer_plots=estimates.layer_plots(report),
        stages=estimates.stage_table(report),
        latency_plot=plots.latency_plot(report),
        activations=plots.activation_plot(report),
        weights=plots.weight_plot(report),
        sparsity=plots.sparsity_plot(report),
        most=MOST_ROWS,
        left=plots.LEFT,
        width=plots.WIDTH,
        right=plots.RIGHT,
    )


def render_page(template: str, **values: Any) -> str:
    """Return a page from a template of ours, with our style and script in it."""
    made = _environment().get_template(template)
    return made.render(style=_source("style.css"), script=_source("sort.js"), **values)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir() / "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "plain": words.printable,
        "clip": words.clip,
        "shape": words.shape_text,
        "volume": math.prod,
        "sentence": lambda text: text[:1].upper() + text[1:],
    }
    return environment


def _source(name: str) -> Markup:
    """Read one of our own files, which goes into the page as it is."""
    return Markup((templates_dir() / "report" / name).read_text(encoding="utf-8"))
