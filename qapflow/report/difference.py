"""What differs between two builds, and whether it is better or worse."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from rich.console import RenderableType
from rich.text import Text

from qapflow.report import words
from qapflow.report.console import to_text
from qapflow.report.figures import Figure, Report
from qapflow.report.markdown import escape, table_of
from qapflow.report.parts import add_row, make_table

Direction = Literal["better", "worse", "same", "changed"]
MARKS = {"better": "✅", "worse": "❌", "same": "", "changed": ""}

# Every figure of a design is a cost: fewer is better. The others are named here.
MORE_IS_BETTER = ("accuracy", "accuracy (Keras)", "same class as Keras")
TITLES = ("what", "where", "before", "after", "change", "")


@dataclass(frozen=True)
class Change:
    """One thing in both builds. `percent` is of the value before, None for words and from 0."""

    what: str
    where: str
    before: str
    after: str
    direction: Direction
    percent: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two builds side by side: `changes` judge the second, `layers` only tell where it differs."""

    before: str
    after: str
    changes: tuple[Change, ...]
    layers: tuple[Change, ...]
    tolerance_percent: float

    @property
    def worse(self) -> bool:
        """Tell whether anything that judges is worse."""
        return any(change.direction == "worse" for change in self.changes)


def compare_reports(before: Report, after: Report, percent: float = 0.0) -> Comparison:
    """Return the comparison; a figure is worse or better only by more than `percent`."""
    changes = [
        *_words(before, after),
        *_verdicts(before, after),
        *_numbers(_totals(before), _totals(after), percent),
        *_numbers(_accuracy(before), _accuracy(after), percent),
    ]
    layers = _numbers(_layers(before), _layers(after), percent)
    name = f"{before.model} on {before.target.name}", f"{after.model} on {after.target.name}"
    return Comparison(*name, tuple(changes), tuple(layers), percent)


def judge(what: str, before: float, after: float, percent: float) -> Direction:
    """Return whether a number is better or worse by more than `percent` of the one before."""
    if before == after:
        return "same"
    if abs(after - before) <= abs(before) * percent / 100:
        return "same"
    return "better" if (after > before) == (what in MORE_IS_BETTER) else "worse"


Key = tuple[str, str]


def _numbers(
    before: Mapping[Key, float], after: Mapping[Key, float], percent: float
) -> Iterable[Change]:
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old is None or new is None:
            yield Change(*key, _number(old), _number(new), "changed")
            continue
        change = None if old == 0 else 100 * (new - old) / abs(old)
        direction = judge(key[0], old, new, percent)
        percent_changed = 0.0 if old == new else change
        yield Change(*key, _number(old), _number(new), direction, percent_changed)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return words.count(value) if float(value).is_integer() else words.real(value)


def _words(before: Report, after: Report) -> Iterable[Change]:
    """Yield settings that differ, and the network."""
    for what, old, new in (
        ("qapflow", before.qapflow_version, after.qapflow_version),
        ("board", before.target.name, after.target.name),
        ("clock in ns", f"{before.clock_ns:g}", f"{after.clock_ns:g}"),
        ("backend", before.backend, after.backend),
        ("io", before.io_type, after.io_type),
        ("network", before.net_digest[:12], after.net_digest[:12]),
    ):
        if old != new:
            yield Change(what, "design", old, new, "changed")
    order = ["exact", "chosen"]
    yield _ordered("regime", "design", before.regime, after.regime, order)
    fits = ["fits", "does not fit"]
    yield _ordered("board", "design", fits[not before.fits], fits[not after.fits], fits)


def _ordered(what: str, where: str, old: str, new: str, order: Sequence[str]) -> Change:
    """Compare words of which the first of `order` is the best."""
    if old == new:
        return Change(what, where, old, new, "same")
    better = order.index(new) < order.index(old)
    return Change(what, where, old, new, "better" if better else "worse")


VERDICTS = ("equal", "not run", "different")
BUDGETS = ("met", "not met")


def _verdicts(before: Report, after: Report) -> Iterable[Change]:
    old = {f"{c.left} = {c.right}": str(c.verdict) for c in before.comparisons}
    new = {f"{c.left} = {c.right}": str(c.verdict) for c in after.comparisons}
    for name in dict.fromkeys([*old, *new]):
        pair = old.get(name, "not run"), new.get(name, "not run")
        yield _ordered("verdict", name, *pair, VERDICTS)
    held = {b.name: "met" if b.met else "not met" for b in before.budgets}
    holds = {b.name: "met" if b.met else "not met" for b in after.budgets}
    for name in dict.fromkeys([*held, *holds]):
        if name in held and name in holds:
            yield _ordered("budget", name, held[name], holds[name], BUDGETS)
        else:
            states = held.get(name, "not there"), holds.get(name, "not there")
            yield Change("budget", name, *states, "changed")


def _totals(report: Report) -> dict[Key, float]:
    found = {
        (words.UNITS.get(name, name), f"design, {figure.source.value}"): figure.value
        for name, figure in report.totals
    }
    if report.open_synthesis is not None and report.open_synthesis.status == "ok":
        where = "design, open synthesis"
        found[("CARRY", where)] = report.open_synthesis.totals.get("carry", 0)
    return found


def _accuracy(report: Report) -> dict[Key, float]:
    made = report.accuracy
    if made is None:
        return {}
    values = {
        "largest error": made.max_abs_error,
        "same class as Keras": made.argmax_agreement,
        "accuracy": made.accuracy_net,
        "accuracy (Keras)": made.accuracy_keras,
    }
    return {(name, "design"): value for name, value in values.items() if value is not None}


def _layers(report: Report) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for layer in report.layers:
        found[("nonzero weights", layer.name)] = layer.nonzero_weights
        for name, figure in layer.figures.items():
            found[(words.UNITS.get(name, name), _place(layer.name, figure))] = figure.value
    if report.open_synthesis is not None:
        for module in report.open_synthesis.modules:
            for name in ("lut", "ff", "dsp", "bram18"):
                if name in module.figures:
                    where = f"{module.name}, open synthesis"
                    found[(words.UNITS[name], where)] = module.figures[name]
    return found


def _place(layer: str, figure: Figure) -> str:
    return f"{layer}, {figure.source.value}"


def render_difference(found: Comparison, form: Literal["text", "markdown", "json"]) -> str:
    """Return the comparison as text, Markdown for a pull request, or JSON."""
    if form == "json":
        return json.dumps({"worse": found.worse, **asdict(found)}, indent=1) + "\n"
    if form == "markdown":
        return "\n\n".join(_markdown(found)) + "\n"
    return to_text(_text(found), color=False, width=100)


def _headline(found: Comparison) -> str:
    counts = {d: sum(c.direction == d for c in found.changes) for d in MARKS}
    text = ", ".join(f"{counts[d]} {d}" for d in ("worse", "better", "changed", "same"))
    return f"{found.before} -> {found.after}: {text}"


def _row(change: Change) -> list[str]:
    percent = "" if not change.percent else f"{change.percent:+.1f} %"
    cells = [change.what, change.where, change.before, change.after]
    return [*cells, percent, change.direction]


def _shown(changes: Sequence[Change]) -> list[Change]:
    """Return what differs, the worst first."""
    order = ("worse", "changed", "better")
    kept = [c for c in changes if c.direction != "same"]
    return sorted(kept, key=lambda change: order.index(change.direction))


def _text(found: Comparison) -> Iterable[RenderableType]:
    yield Text(_headline(found), style="bold")
    for title, changes in (("", found.changes), ("by layer", found.layers)):
        rows = _shown(changes)
        if not rows:
            continue
        if title:
            yield Text(f"\n{title}", style="bold")
        sides = ("left!", "left!", "right", "right", "right", "left")
        table = make_table(*zip(TITLES, sides, strict=True))
        for change in rows:
            add_row(table, _row(change))
        yield table


def _markdown(found: Comparison) -> Iterable[str]:
    yield f"### {'❌' if found.worse else '✅'} {escape(_headline(found))}"
    for title, changes in (("", found.changes), ("By layer", found.layers)):
        rows = [[*_row(c)[:5], f"{MARKS[c.direction]} {c.direction}"] for c in _shown(changes)]
        if rows:
            table = table_of(TITLES, rows, "llrrrl")
            fold = f"<details><summary>{title}</summary>\n\n{table}\n\n</details>"
            yield fold if title else table
