"""The cost of a model as text, at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from qapflow.cost.figures import BoardEstimate, Cost, LayerCost, NetCost
from qapflow.cost.model import ModelCost
from qapflow.report import words
from qapflow.report.console import to_text
from qapflow.report.figures import Figure
from qapflow.report.headroom import board_percent
from qapflow.report.parts import SHORT_NAME, add_row, make_table, say, section
from qapflow.report.words import count, printable

EXACT = "every layer as the model computes it"
CHOSEN = "with chosen types for float layers"


def render_cost(found: ModelCost, *, color: bool = False, width: int = 100) -> str:
    """Return the cost as text; the same cost gives the same text."""
    return to_text(_sections(found), color=color, width=width)


def _sections(found: ModelCost) -> Iterable[RenderableType]:
    how = EXACT if found.exact else CHOSEN
    yield Text(f"Cost of {printable(found.model)} for one sample, {how}", style="bold")
    yield from section("Layers", _layers(found.cost, found.board))
    yield from section("Total", _totals(found.cost.total))
    if found.board:
        target = found.board.target
        title = f"Estimate on {target.name} ({target.part}), {found.board.clock_ns:g} ns clock"
        yield from section(title, *_board(found.board))
    board_notes = _board_notes(found.board) if found.board else ()
    notes = (*found.cost.notes, *found.notes, *board_notes)
    yield from section("Notes", *(say(f"- {note}") for note in dict.fromkeys(notes)))


def _layers(cost: NetCost, board: BoardEstimate | None) -> RenderableType | None:
    """Return a table of what multiplies; sums alone are in the total only."""
    rows = [layer for layer in cost.layers if layer.cost.multiplications]
    if not rows:
        return None
    table = make_table(
        ("layer", "left"), ("bits", "left"), ("weights", "right"), ("zero", "right"),
        ("products", "right"), ("BOPs", "right"), ("EBOPs", "right"), ("CSD", "right"),
        ("≤ 2 digits", "right"), *([("LUT", "right")] if board else []),
    )  # fmt: skip
    for layer in rows:
        lut = [_lut(board.layers.get(layer.name, {}))] if board else []
        name = words.clip(layer.name, SHORT_NAME)
        add_row(table, [name, _bits(layer), *_cells(layer.cost), *lut])
    table.add_section()
    lut = [_lut(board.totals)] if board else []
    add_row(table, ["total", "", *_cells(cost.total), *lut], style="bold")
    about = "counted, bits: weight × activation, BOPs with the input's own bits" + (
        "; LUT: estimate, the total that of all nodes" if board else ""
    )
    return Group(table, Text(about, style="dim"))


def _lut(figures: Mapping[str, Figure]) -> str:
    return _brief(round(figures["lut"].value)) if "lut" in figures else "-"


def _bits(layer: LayerCost) -> str:
    own = str(layer.activation_bits)
    return f"{layer.weight_bits} × {own}" if layer.weight_bits else own


def _cells(cost: Cost) -> Sequence[str]:
    products, weights = cost.nonzero_multiplications, cost.weights
    return (
        _brief(weights) if weights else "",
        words.ratio(weights - cost.nonzeros, weights) if weights else "",
        _brief(products),
        _brief(round(cost.bops_input_own)) if weights else "",
        _brief(cost.ebops),
        _brief(cost.csd_digits),
        words.ratio(cost.without_multiplier, products) if weights else "",
    )


def _brief(number: int) -> str:
    return count(number) if number < 100_000 else words.short(number)


def _totals(cost: Cost) -> RenderableType:
    table = make_table(("", "left"), ("counted", "right"), ("", "left!"))
    for row in _total_rows(cost):
        add_row(table, row)
    return table


def _total_rows(cost: Cost) -> Iterable[tuple[str, str, str]]:
    dense, kept = cost.multiplications, cost.nonzero_multiplications
    zeros = f"{words.ratio(dense - kept, dense)} of {count(dense)} have a zero weight"
    yield "multiplications", count(kept), zeros
    few = f"{words.ratio(cost.without_multiplier, kept)}: one or two signed digits"
    yield "without a multiplier", count(cost.without_multiplier), few
    yield "BOPs, input 32 bit", count(round(cost.bops_input_32)), "as if the input were float"
    yield (
        "BOPs, input b bit",
        count(round(cost.bops_input_own)),
        "the bits that the first layers read",
    )
    yield "EBOPs", count(cost.ebops), "multiplications only (HGQ)"
    both = round(cost.ebops + cost.ebops_accumulation)
    yield "EBOPs, accumulation too", count(both), "with biases and sums (HGQ2)"
    yield "CSD digits", count(cost.csd_digits), "of all constants that multiply"
    zero = words.ratio(cost.weights - cost.nonzeros, cost.weights)
    nonzeros = f"of {count(cost.weights)}: {zero} are zero after quantization"
    yield "weights not zero", count(cost.nonzeros), nonzeros
    yield "memory, weights", _memory(cost.weight_memory_bits), "zeros included"
    yield "memory, nonzeros", _memory(cost.nonzero_memory_bits), "without saying where they stand"
    if cost.bias_memory_bits:
        yield "memory, biases", _memory(cost.bias_memory_bits), "with scales and offsets"
    yield "memory, activations", _memory(cost.activation_memory_bits), "between layers, and outputs"


def _memory(bits: int) -> str:
    return f"{count(bits)} bit"


def _board(board: BoardEstimate) -> Iterable[RenderableType | None]:
    table = make_table(("", "left"), ("estimate", "right"), ("low to high", "right"),
                       ("of board", "right"))  # fmt: skip
    for name, figure in board.totals.items():
        if figure.value or figure.high or name == "lut":
            add_row(table, _figure_cells(board, name, figure))
    yield table
    yield say(board.headroom)


def _figure_cells(board: BoardEstimate, name: str, figure: Figure) -> Sequence[str]:
    if name in words.RESOURCES:
        share = words.share(board_percent(board.target, name, figure.value))
        return (words.UNITS[name], count(round(figure.value)), words.span(figure), share)
    return (f"{words.UNITS[name]}, cycles", count(figure.value), words.span(figure), "")


def _board_notes(board: BoardEstimate) -> tuple[str, ...]:
    figures = [figure for row in board.layers.values() for figure in row.values()]
    return (*words.note_estimates(figures), *board.notes)
