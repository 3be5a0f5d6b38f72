"""Boards as text: one with all it has, or a line for each."""

from __future__ import annotations

from collections.abc import Iterable

from qapflow.target import Target


def describe_board(target: Target) -> str:
    """Return what a board has, and where that is from."""
    total = target.resources
    memory = f"{total.bram18:,} BRAM18 ({total.bram18 // 2:,} BRAM36), {total.uram:,} URAM"
    lines = (
        f"{target.name}: {target.description}",
        f"  part      {target.part} ({target.family}, {target.slrs} SLR)",
        f"  aliases   {', '.join(target.aliases) or 'none'}",
        f"  clock     {target.clock_ns:g} ns by default",
        f"  totals    {total.lut:,} LUT, {total.ff:,} FF, {total.dsp:,} DSP, {memory}",
        f"  source    {target.source}" + ("" if target.verified else " -- NOT VERIFIED"),
    )
    return "\n".join(lines)


def list_boards(targets: Iterable[Target]) -> str:
    """Return a table with a line for each board."""
    lines = [
        f"{'board':<14}{'part':<30}{'LUT':>11}{'DSP':>8}{'BRAM18':>8}{'URAM':>6}  clock  checked"
    ]
    for target in targets:
        total = target.resources
        lines.append(
            f"{target.name:<14}{target.part:<30}{total.lut:>11,}{total.dsp:>8,}"
            f"{total.bram18:>8,}{total.uram:>6,}  {target.clock_ns:g} ns"
            f"   {'yes' if target.verified else 'no'}"
        )
    return "\n".join(lines)
