"""Whether a design fits its board, and with how much room."""

from __future__ import annotations

from collections.abc import Iterable

from qapflow.report.figures import Figure, Source
from qapflow.target import Target

RESOURCES = ("lut", "ff", "dsp", "bram18", "uram")
TITLES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18", "uram": "URAM"}

# Percent of a part that can be used before routing and timing get hard (FINN's
# DEFAULT_RES_LIMITS).
GUIDE_PERCENT = {"lut": 70.0, "ff": 50.0, "dsp": 80.0, "bram18": 80.0, "uram": 80.0}

Totals = Iterable[tuple[str, Figure]]


# Of the RTL that is written beside the HLS project: another design, whose figures judge nothing
# about the project.
OF_RTL = (
    Source.RTL_SIM,
    Source.OPEN_SYNTH,
    Source.RTL_POST_SYNTH,
    Source.RTL_POST_ROUTE,
)


def best_figures(totals: Totals) -> dict[str, Figure]:
    """Return one figure a name: that of the tool furthest down the flow of the HLS project."""
    order = list(Source)
    best: dict[str, Figure] = {}
    for name, figure in totals:
        if figure.source in OF_RTL:
            continue
        known = best.get(name)
        if known is None or order.index(figure.source) > order.index(known.source):
            best[name] = figure
    return best


def origin(figure: Figure) -> str:
    """Return where a figure comes from; an estimate is of what C synthesis would report."""
    return "csynth estimate" if figure.source is Source.ESTIMATE else figure.source.value


def capacity(target: Target, name: str) -> int:
    """Return how many of a resource the board has."""
    return int(getattr(target.resources, name))


def percent(value: float, capacity: float) -> float:
    """Return a share in percent; infinite when there is none of what is needed."""
    if capacity <= 0:
        return float("inf") if value > 0 else 0.0
    return 100.0 * value / capacity


def board_percent(target: Target, name: str, value: float) -> float:
    """Return `value` of a resource in percent of the whole board."""
    return percent(value, capacity(target, name))


def slr_percent(target: Target, name: str, value: float) -> float:
    """Return `value` of a resource in percent of one SLR (die), all taken as equal."""
    return percent(value, capacity(target, name) / max(target.slrs, 1))


def judge_fit(target: Target, totals: Totals) -> tuple[bool, str]:
    """Return whether the design fits, and the sentence that says how.

    "fits": even the upper ends of all intervals are within the board and the figures within the
    guide limits. "tight": the figures fit, an upper end or a guide limit is exceeded. "does not
    fit": a figure exceeds the board. "unknown": a resource has no figure.
    """
    best = best_figures(totals)
    used = [(name, best[name]) for name in RESOURCES if name in best]
    if not used:
        return False, "unknown: no figure for any resource"
    over: list[str] = []
    reasons: list[str] = []
    shares: list[str] = []
    for name, figure in used:
        share = board_percent(target, name, figure.value)
        high = board_percent(target, name, figure.value if figure.high is None else figure.high)
        if share > 100:
            over.append(f"{TITLES[name]} {_say(share)}")
        elif high > 100:
            reasons.append(f"{TITLES[name]} could reach {_say(high)}")
        elif share > GUIDE_PERCENT[name]:
            guide = f"{GUIDE_PERCENT[name]:.0f} %"
            reasons.append(f"{TITLES[name]} is above the guide limit of {guide}")
        if figure.value or name == "lut":
            shares.append(_share(target, name, figure.value, first=not shares))
    if "lut" not in best and not over:
        return False, f"unknown: no figure for LUT; {', '.join(shares)}".rstrip("; ")
    verdict = "does not fit" if over else "tight" if reasons else "fits"
    sentence = f"{verdict}: {', '.join(shares)}"
    if over or reasons:
        sentence += f". {'Too much' if over else 'Why tight'}: {'; '.join(over or reasons)}"
    return not over, sentence + _slr_remark(target, used, bool(over))


def _share(target: Target, name: str, value: float, first: bool) -> str:
    text = f"{TITLES[name]} {_say(board_percent(target, name, value))}"
    if first:
        text += " of the board"
    if target.slrs > 1:
        one = _say(slr_percent(target, name, value))
        text += f" ({one} of one SLR)" if first else f" ({one})"
    return text


def _slr_remark(target: Target, used: list[tuple[str, Figure]], over: bool) -> str:
    wide = [TITLES[name] for name, figure in used if slr_percent(target, name, figure.value) > 100]
    if over or target.slrs < 2 or not wide:
        return ""
    verb = "needs" if len(wide) == 1 else "need"
    return f". {' and '.join(wide)} {verb} more than one SLR: crossings cost cycles and timing"


def _say(share: float) -> str:
    if share == float("inf"):
        return "of none"
    return f"{share:.1f} %" if share >= 0.1 or share == 0 else "< 0.1 %"
