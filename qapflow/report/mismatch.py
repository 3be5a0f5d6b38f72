"""A difference in words: how much, where first, and why."""

from __future__ import annotations

from qapflow.report.figures import Comparison


def describe_mismatch(comparison: Comparison) -> str:
    """Return how much differs and, if known, where first and from what cause."""
    lines = [
        f"{comparison.left} and {comparison.right} differ in {comparison.mismatches} "
        f"of {comparison.values} values"
    ]
    if first := comparison.first:
        place = f"layer {first.layer}, edge {first.edge}, sample {first.sample}, element"
        lines.append(f"  at: {place} {list(first.index)}")
        lines.append(
            f"  code {first.expected_code} ({first.expected:g}) became "
            f"{first.actual_code} ({first.actual:g}): {first.cause}"
        )
    elif comparison.note:
        lines.append(f"  {comparison.note}")
    return "\n".join(lines)
