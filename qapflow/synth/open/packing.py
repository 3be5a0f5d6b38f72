"""How many LUT6_2 sites the LUTs of a netlist fill when two small ones share a site.

A site has two outputs: two functions of together at most five inputs fit into one (UG474, "the
6-input function generators ... two 5-input LUTs as long as they share inputs"). Yosys does not
pair LUTs, Vivado does. Three counts bound what it does:

- upper end: no pair at all, the number of LUTs that Yosys reports;
- lower end: every pair that the inputs allow, also of LUTs that have nothing in common;
- the figure between: pairs that share an input. Those are what Vivado combines by default, the
  others only where a part is nearly full.

A LUT that drives the S input of a carry chain has the O6 output of its site, so two of those
never pair. Pairs are found greedily, the largest LUTs first, so the lower end is itself an upper
bound of the best pairing. No report of Vivado was available to calibrate the middle figure.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from qapflow.synth.open.cells import Lut, Netlist

MOST_INPUTS = 5
_TRIED = 64  # candidates looked at for one LUT: nets such as clock enables feed thousands


def count_packed(luts: Netlist) -> tuple[int, int]:
    """Return sites filled when LUTs pair that share an input, and when any two may pair."""
    small = [lut for lut in luts if len(lut.inputs) <= MOST_INPUTS]
    taken = _pair_sharing(small)
    sharing = len(taken) // 2
    left = [lut for index, lut in enumerate(small) if index not in taken]
    return len(luts) - sharing, len(luts) - sharing - _pair_any(left)


def _pair_sharing(luts: list[Lut]) -> set[int]:
    """Return the places of LUTs that found a partner with a net in common."""
    readers: dict[str, list[int]] = defaultdict(list)
    for index, lut in enumerate(luts):
        for net in lut.inputs:
            readers[net].append(index)
    taken: set[int] = set()
    for index in sorted(range(len(luts)), key=lambda i: (-len(luts[i].inputs), i)):
        if index not in taken and (partner := _partner(index, luts, readers, taken)) is not None:
            taken |= {index, partner}
    return taken


def _partner(
    index: int, luts: list[Lut], readers: dict[str, list[int]], taken: set[int]
) -> int | None:
    """Return the free LUT with most nets in common that fits into the same site."""
    lut = luts[index]
    shared: Counter[int] = Counter()
    for net in sorted(lut.inputs):
        readers[net] = [i for i in readers[net] if i not in taken]
        shared.update(i for i in readers[net][:_TRIED] if i != index)
    for other, _ in sorted(shared.items(), key=lambda item: (-item[1], item[0])):
        if _fit(lut, luts[other]):
            return other
    return None


def _fit(a: Lut, b: Lut) -> bool:
    return not (a.carries and b.carries) and len(a.inputs | b.inputs) <= MOST_INPUTS


def _pair_any(luts: list[Lut]) -> int:
    """Return how many pairs LUTs with nothing in common make: sizes add up to at most five."""
    counts = Counter((len(lut.inputs), lut.carries) for lut in luts)
    pairs = 0
    for size in range(MOST_INPUTS, -1, -1):
        for carries in (True, False):
            for other in range(MOST_INPUTS - size, -1, -1):
                for second in (True, False):
                    if carries and second:
                        continue
                    pairs += _take(counts, (size, carries), (other, second))
    return pairs


def _take(counts: Counter[tuple[int, bool]], a: tuple[int, bool], b: tuple[int, bool]) -> int:
    """Pair as many of two kinds as there are, and return how many."""
    made = counts[a] // 2 if a == b else min(counts[a], counts[b])
    counts[a] -= made
    counts[b] -= made
    return made
