"""Estimates as a reader needs them: of which stage, how sure, and which layer makes them unsure."""

from __future__ import annotations

from qapflow.report import plots, words
from qapflow.report.figures import Figure, LayerReport, Report, Source
from qapflow.report.headroom import TITLES, origin

SHOWN = ("lut", "ff", "dsp", "bram18")
ESTIMATED = "csynth"  # the stage whose figures the estimates of layers and totals foresee

Cells = tuple[str, ...]


def width(figure: Figure) -> float:
    """Return the length of a figure's interval, 0 for one without."""
    if figure.low is None or figure.high is None:
        return 0.0
    return figure.high - figure.low


def unsure_share(report: Report, name: str) -> dict[str, float]:
    """Return each layer's percent of the sum of all layers' intervals; empty if all are exact."""
    parts = {
        layer.name: width(layer.figures[name])
        for layer in report.layers
        if name in layer.figures and layer.figures[name].source is Source.ESTIMATE
    }
    whole = sum(parts.values())
    return {layer: 100 * part / whole for layer, part in parts.items()} if whole else {}


def layer_plots(report: Report) -> tuple[tuple[str, plots.Plot], ...]:
    """Return a plot for LUT, FF, DSP, BRAM18: a bar a layer, with its interval as error bar."""
    made = ((TITLES[name], layer_plot(report, name)) for name in SHOWN)
    return tuple((title, plot) for title, plot in made if plot is not None)


def layer_plot(report: Report, name: str) -> plots.Plot | None:
    """Draw one resource by layer; None if no layer takes any."""
    used = [
        layer
        for layer in report.layers
        if name in layer.figures and (layer.figures[name].value or layer.figures[name].high)
    ]
    if not used:
        return None
    ends = [max(x.figures[name].value, x.figures[name].high or 0.0) for x in used]
    limit = plots.nice_limit(max(ends))
    shares = unsure_share(report, name)
    rows = tuple(_row(layer, name, limit, shares.get(layer.name, 0.0)) for layer in used)
    return plots.Plot(rows, plots.axis(limit), note=_most_unsure(shares))


def _row(layer: LayerReport, name: str, limit: float, share: float) -> plots.Row:
    figure = layer.figures[name]
    end = round(plots.scale(figure.value, limit) - plots.LEFT, 2)
    title = f"{layer.name}: {words.count(figure.value)} {TITLES[name]}"
    if figure.note:
        title += f", {figure.note}"
    whisker = None
    if words.span(figure):
        whisker = (plots.scale(figure.low or 0.0, limit), plots.scale(figure.high or 0.0, limit))
    told = (words.span(figure, "short"), origin(figure), f"{share:.0f} % of what is unsure")
    detail = " · ".join(filter(None, told[: 3 if share >= 0.5 else 2]))
    bars = (plots.Bar(float(plots.LEFT), end, "c0", title),)
    return plots.Row(layer.name, bars, words.count(figure.value), detail, (), whisker)


def _most_unsure(shares: dict[str, float]) -> str:
    """Return the layers that most of the uncertainty comes from."""
    largest = sorted(shares.items(), key=lambda pair: -pair[1])[:3]
    named = [f"{name} {share:.0f} %" for name, share in largest if share >= 5]
    return f"what is unsure of the total comes from {', '.join(named)}" if named else ""


def stage_table(report: Report) -> tuple[Cells, tuple[Cells, ...]]:
    """Return titles and rows: the estimate of each stage with its interval; empty without any."""
    known = {n: f for n, f in report.totals if f.source is Source.ESTIMATE}
    stages = [(ESTIMATED, known), *((stage, dict(rows)) for stage, rows in report.stages)]
    if not report.stages or not known:
        return (), ()
    rows = tuple(
        (TITLES[name], *(_cell(figures.get(name)) for _, figures in stages))
        for name in SHOWN
        if any(figures[name].value for _, figures in stages if name in figures)
    )
    return ("", *(f"estimate of {stage}" for stage, _ in stages)), rows


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "no reports"
    interval = words.span(figure)
    return words.count(round(figure.value)) + (f" ({interval})" if interval else "")


def unsure_lines(report: Report) -> tuple[str, ...]:
    """Return a sentence a resource on where the uncertainty of its total comes from."""
    found = ((TITLES[name], _most_unsure(unsure_share(report, name))) for name in SHOWN)
    return tuple(f"{title}: {line}" for title, line in found if line)
