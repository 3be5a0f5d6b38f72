"""A bisection as text: the verdict, the first difference, every layer, every cause with its fix."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from qapflow.report import words
from qapflow.report.console import to_text
from qapflow.report.words import printable
from qapflow.verify.bisection import Bisection, Blame, LayerCheck, Place

TITLES = ("layer", "regime", "compared", "differ", "largest", "by itself", "found")
STYLES = {
    "equal": "bold green",
    "Keras inexact": "bold green",
    "rounded by rule": "bold yellow",
    "different": "bold red",
    "not run": "bold yellow",
}


def render_bisection(bisection: Bisection, *, color: bool = False) -> str:
    """Return a bisection as text, at most 100 columns wide."""
    return to_text(parts(bisection), color=color)


def parts(bisection: Bisection) -> Iterable[RenderableType]:
    """Yield the pieces from top to bottom."""
    yield Text(printable(headline(bisection)), style=STYLES[bisection.verdict])
    if bisection.first is not None:
        yield Text(printable(place_text(bisection.first)))
    if bisection.layers:
        yield Text()
        yield _table(bisection)
    for check in bisection.causes:
        yield Text()
        yield _cause(check)
    for note in bisection.notes if bisection.layers else ():
        yield Text(printable(f"note: {note}"), style="dim")


def headline(bisection: Bisection) -> str:
    """Return the verdict in one sentence."""
    count = words.plural(len(bisection.layers), "layer")
    samples = words.plural(bisection.samples, "sample")
    causes = len(bisection.causes)
    independent = "1 cause" if causes == 1 else f"{causes} independent causes"
    if bisection.firmware == "different" and bisection.verdict != "different":
        return f"different: the firmware is not the network, which is {bisection.verdict} to Keras"
    match bisection.verdict:
        case "equal":
            return f"equal: all {count} agree bit for bit with Keras on {samples}"
        case "Keras inexact":
            return (
                f"Keras inexact: the network computes the exact result; {_names(bisection)} "
                f"{'rounds' if causes == 1 else 'round'} in Keras's float32 (proved), {samples}"
            )
        case "rounded by rule":
            return f"rounded by rule: no mismatch; float layers differ as announced, {samples}"
        case "not run":
            return f"not run: {'; '.join(bisection.notes)}"
    first = bisection.first.layer if bisection.first else _names(bisection)
    return f"different: first at layer {first}, {independent}, {samples}"


def _names(bisection: Bisection) -> str:
    return ", ".join(check.layer for check in bisection.causes)


def place_text(place: Place) -> str:
    """Return a differing value in one sentence."""
    where = f"layer {place.layer}, sample {place.sample}, element {list(place.index)}"
    text = f"first at {where}: Keras {place.keras!r}, network {place.ours!r}"
    if place.keras_float64 is None:
        return text
    return f"{text}, Keras in float64 {place.keras_float64!r}"


def rows(bisection: Bisection) -> Iterable[tuple[str, ...]]:
    """Yield the cells of one row a layer, in the order of `TITLES`."""
    for check in bisection.layers:
        yield (
            check.layer,
            check.regime,
            words.count(check.values),
            words.count(check.differing),
            f"{check.max_difference:.3g}" if check.differing else "",
            "not run" if check.own is None else words.count(check.own),
            check.state,
        )


def cause_lines(check: LayerCheck) -> tuple[tuple[str, str], ...]:
    """Return the lines of a cause as (word, text)."""
    assert check.finding is not None
    lines = [("what", check.finding.what)]
    if check.own_first is not None:
        lines.append(("where", place_text(check.own_first).removeprefix("first at ")))
    if check.finding.proof:
        lines.append(("proof", check.finding.proof))
    return (*lines, ("verdict", check.finding.blame.value), ("try", check.finding.fix))


def _table(bisection: Bisection) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    for title in TITLES:
        right = title in ("compared", "differ", "largest", "by itself")
        wraps = title == "found"
        table.add_column(
            title,
            justify="right" if right else "left",
            no_wrap=not wraps,
            overflow="fold" if wraps else "ellipsis",
        )
    for row in rows(bisection):
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _cause(check: LayerCheck) -> RenderableType:
    assert check.finding is not None
    cause = check.finding.cause
    style = "bold red" if check.finding.blame is Blame.NETWORK else "bold"
    table = Table.grid(padding=(0, 1))
    for word, text in cause_lines(check):
        table.add_row(Text(f"{word}:", style="dim"), Text(printable(text)))
    title = Text(printable(f"{check.layer} ({check.class_name}): {cause.value}"), style=style)
    return Group(title, Padding(table, (0, 0, 0, 2)))
