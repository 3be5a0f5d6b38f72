"""Accuracy against every cost, one line a precision and method."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.pruning.points import Point

COSTS: dict[str, Callable[[Point], float | None]] = {
    "BOPs (input at its own bits)": lambda p: p.bops_input_own,
    "EBOPs": lambda p: p.ebops,
    "CSD digits of all weights": lambda p: p.csd_digits,
    "estimated LUT (csynth)": lambda p: p.estimate_lut,
}


SHOWN = 0.1  # accuracy below the best: what falls deeper serves nobody, and would squeeze the rest


def draw(points: Sequence[Point], path: Path) -> None:
    """Write one picture with a panel for each cost."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(13, 9), sharey=True)
    bits = sorted({p.variant.bits for p in points})
    shades = pyplot.cm.viridis([i / max(1, len(bits) - 1) for i in range(len(bits))])
    colors = dict(zip(bits, shades, strict=True))
    best = max(p.accuracy for p in points)
    shown = [p for p in points if p.accuracy >= best - SHOWN]
    for axis, (name, cost) in zip(axes.flat, COSTS.items(), strict=True):
        for variant in dict.fromkeys(p.variant for p in points):
            line = [p for p in points if p.variant == variant and cost(p) is not None]
            axis.plot(
                [cost(p) for p in line], [p.accuracy for p in line], color=colors[variant.bits],
                linestyle="--" if variant.rewind else "-", marker="." if variant.l1 else None,
                alpha=1.0 if variant.normalized else 0.4, linewidth=1,
            )  # fmt: skip
        costs = [value for value in map(cost, shown) if value]
        axis.set(
            xscale="log", xlabel=name, ylabel="accuracy",
            xlim=(min(costs) / 1.2, max(costs) * 1.2), ylim=(best - SHOWN, best + SHOWN / 20),
        )  # fmt: skip
        axis.grid(alpha=0.3)
    handles = [pyplot.Line2D([], [], color=colors[b], label=f"{b} bits") for b in bits]
    note = "dashed: lottery ticket; dots: L1; faint: no batch normalization"
    figure.legend(handles=handles, loc="lower center", ncols=len(bits), title=note)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
