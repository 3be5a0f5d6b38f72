"""The section of the report about cells counted by Yosys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rich.console import RenderableType
from rich.text import Text

from qapflow.report import words
from qapflow.report.console import to_text
from qapflow.report.figures import Figure, Source, ToolRun
from qapflow.report.parts import NAME, add_row, make_table, say
from qapflow.synth.open.result import ModuleArea, OpenSynthesis

TableOf = tuple[Sequence[str], Sequence[Sequence[str]]]

NAMED = {"ff": "FF", "carry": "CARRY4", "dsp": "DSP", "bram18": "BRAM18", "uram": "URAM",
         "lut_memory": "LUT RAM"}  # fmt: skip
JOINS = "between layers"
PACKING = (
    "LUT: after pairing small ones on one LUT6_2 site, an estimate; from every pair that the "
    "wiring allows to none at all (what Yosys reports)"
)


def headline(found: OpenSynthesis) -> str:
    """Return whose figures these are, in one sentence."""
    effort = {"whole": "flattened", "quick": "quick mapping"}.get(found.effort, "module by module")
    text = f"{found.tool}: {found.top} in cells of {found.family}, {effort}"
    if found.status == "partial":
        missing = [module for module in found.modules if module.status != "ok"]
        text += f"; PARTIAL: {words.plural(len(missing), 'module')} without a result"
    return text


def lut_text(figures: Mapping[str, int], least: int) -> str:
    """Return LUTs after pairing with their interval: 612 (598 to 754)."""
    value, high = figures["lut_packed"], figures["lut"]
    interval = "" if least == high else f" ({words.count(least)} to {words.count(high)})"
    return words.count(value) + interval


def tables(found: OpenSynthesis) -> Iterable[TableOf]:
    """Yield titles and rows: layers, modules with a total, LUTs by size, strategies, timing."""
    shown = [name for name in NAMED if found.totals.get(name)]
    numbers = ["LUT", *(NAMED[name] for name in shown), "estimate", "s"]
    layers = _by_layer(found)
    if len(layers) > 1:
        yield ["layer", *numbers], [_row(name, modules, shown) for name, modules in layers.items()]
    rows = [_module_row(module, shown) for module in found.modules]
    if len(found.modules) > 1:
        name = "total" if found.status == "ok" else "sum of these"
        rows.append(_row(name, found.modules, shown))
    yield ["module", *numbers], rows
    sizes = [f"LUT{size}" for size in range(1, 7)]
    yield (["LUT by inputs", *sizes], [["all", *_counts(found, [s.lower() for s in sizes])]])
    if found.strategies:
        yield _strategies(found, shown)
    if found.timing:
        yield (
            ["timing", "value", "what it is"],
            [[t.name, f"{_amount(t.value)} {t.unit}".strip(), t.note] for t in found.timing],
        )


def _by_layer(found: OpenSynthesis) -> dict[str, list[ModuleArea]]:
    """Return modules by layer, or by layers where they share one; the top joins them."""
    layers: dict[str, list[ModuleArea]] = {}
    for module in found.modules:
        name = ", ".join(module.layers) if module.name != found.top else JOINS
        layers.setdefault(name, []).append(module)
    return layers


def _row(name: str, modules: Sequence[ModuleArea], shown: Sequence[str]) -> list[str]:
    """Return the sum of modules, each as often as the design has it."""
    done = [module for module in modules if module.figures]
    costs = [m.cost_lut * m.count for m in modules if m.cost_lut is not None]
    cost = words.count(round(sum(costs))) if costs else "-"
    seconds = f"{sum(module.seconds for module in modules):.1f}"
    if not done:
        return [words.clip(name, NAME), modules[0].status, *("-" for _ in shown), cost, seconds]
    sums = {kind: sum(m.count * m.figures.get(kind, 0) for m in done) for kind in done[0].figures}
    least = sum(m.count * m.least_lut for m in done)
    counts = [words.count(sums.get(kind, 0)) for kind in shown]
    return [words.clip(name, NAME), lut_text(sums, least), *counts, cost, seconds]


def _amount(value: float) -> str:
    return words.count(value) if value.is_integer() else f"{value:.2f}"


def _counts(found: OpenSynthesis, names: Sequence[str]) -> list[str]:
    return [words.count(found.totals.get(name, 0)) for name in names]


def _module_row(module: ModuleArea, shown: Sequence[str]) -> list[str]:
    """Return one of the instances of a module."""
    name = f"{module.count} x {module.name}" if module.count != 1 else module.name
    row = _row(name, [replace(module, count=1)], shown)
    return [*row[:-1], "kept"] if module.cached else row


def _strategies(found: OpenSynthesis, shown: Sequence[str]) -> TableOf:
    rows = [
        [
            item.name,
            lut_text(item.figures, item.least_lut),
            *(words.count(item.figures.get(kind, 0)) for kind in shown),
            f"{item.seconds:.1f}",
        ]
        for item in found.strategies
    ]
    return ["the same network as", "LUT", *(NAMED[name] for name in shown), "s"], rows


def about(found: OpenSynthesis) -> list[str]:
    """Return what has to be known to read the tables."""
    lines = [PACKING]
    lines += [
        f"{m.name}: {m.status}: {words.clip(m.detail, 200)}"
        for m in found.modules
        if m.status != "ok"
    ]
    lines += [f"{item.name}: {item.detail}" for item in found.strategies]
    if found.cost_lut is not None:
        lines.append("estimate: LUT that the generator of the RTL expects; s: processor time")
    return [*lines, *found.notes]


def parts(found: OpenSynthesis) -> Iterable[RenderableType | None]:
    """Yield the section as text."""
    yield say(headline(found))
    for titles, rows in tables(found):
        columns = [(title, "left" if k == 0 else "right") for k, title in enumerate(titles)]
        columns = [(t, "left!" if t == "what it is" else side) for t, side in columns]
        table = make_table(*columns)
        for row in rows:
            add_row(table, row)
        yield table
    yield from (Text(words.printable(f"- {line}"), style="dim") for line in about(found))


def open_synthesis_totals(found: OpenSynthesis | None) -> tuple[tuple[str, Figure], ...]:
    """Return figures of the whole design; none where a module is missing."""
    if found is None or found.status != "ok":
        return ()
    totals = found.totals
    lut = Figure(
        totals["lut_packed"],
        "lut",
        Source.OPEN_SYNTH,
        found.least_lut,
        totals["lut"],
        found.tool,
    )
    others = ("ff", "dsp", "bram18", "uram")
    figures = {
        name: Figure(totals[name], name, Source.OPEN_SYNTH, note=found.tool) for name in others
    }
    return (("lut", lut), *figures.items())


def open_synthesis_tools(found: OpenSynthesis | None) -> tuple[ToolRun, ...]:
    """Return a row about the tool."""
    if found is None:
        return ()
    missing = sum(module.status != "ok" for module in found.modules)
    detail = f"open synthesis of {words.plural(len(found.modules), 'module')}"
    detail += f", {missing} without a result" if missing else ""
    version = found.tool.removeprefix("yosys ").partition(",")[0]
    return (ToolRun("Yosys", version, "failed" if missing else "ok", detail),)


def render_open_synthesis(found: OpenSynthesis, *, color: bool = False, width: int = 100) -> str:
    """Return the section alone."""
    present = [part for part in parts(found) if part is not None]
    return to_text(present, color=color, width=width)
