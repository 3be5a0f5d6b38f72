"""The comparison as text: accuracy by bits and sparsity for each method, and what is saved."""

from collections.abc import Sequence

from bench.pruning.grid import FLOAT
from bench.pruning.points import Point, baseline, cheapest


def render(points: Sequence[Point]) -> str:
    """Return all tables."""
    base = baseline(points)
    methods = dict.fromkeys(p.variant.method for p in points)
    parts = [
        _method(method, [p for p in points if p.variant.method == method]) for method in methods
    ]
    return "\n\n".join([_head(base), *parts, _savings(points, base)]) + "\n"


def _head(base: Point) -> str:
    return (
        f"baseline: {base.variant.name}, dense, {base.bops_input_own:,.0f} BOPs, accuracy "
        f"{base.accuracy:.4f} +- {base.spread:.4f} (validation {base.val_accuracy:.4f} +- "
        f"{base.val_spread:.4f})\n"
        "accuracy on the test samples, mean +- spread over folds; BOPs below it: input at its own "
        "bits / at 32 bits"
    )


def _method(method: str, points: Sequence[Point]) -> str:
    stages = sorted({p.stage for p in points})
    lines = [method]
    for bits in sorted({p.variant.bits for p in points}, reverse=True):
        row = {p.stage: p for p in points if p.variant.bits == bits}
        cells = [row.get(stage) for stage in stages]
        lines.append(_line(f"{bits} bits kept", [f"{p.kept:.1%}" if p else "" for p in cells]))
        lines.append(_line("accuracy", [f"{p.accuracy:.4f}" if p else "" for p in cells]))
        lines.append(_line("+-", [f"{p.spread:.4f}" if p else "" for p in cells]))
        lines.append(_line("BOPs", [f"{p.bops_input_own:,.0f}" if p else "" for p in cells]))
        lines.append(_line("", [f"{p.bops_input_32:,.0f}" if p else "" for p in cells]))
    return "\n".join(lines)


def _line(name: str, cells: Sequence[str]) -> str:
    return f"  {name:<14}" + "".join(f"{cell:>11}" for cell in cells)


def _savings(points: Sequence[Point], base: Point) -> str:
    both = [p for p in points if p.variant.bits != FLOAT]
    plain = [p for p in both if not p.variant.input_bits and not p.variant.neurons]
    slimmer = {
        "both, narrower input": [p for p in both if not p.variant.neurons],
        "both, fewer units": [p for p in both if not p.variant.input_bits],
        "both, and both of these": both,
    }
    groups = {
        "pruning alone (32 bits)": [p for p in points if p.variant.bits == FLOAT],
        "quantization alone (dense)": [p for p in plain if p.stage == 0],
        "both": plain,
        "both, fine-tuning": [p for p in plain if not p.variant.rewind],
        "both, lottery ticket": [p for p in plain if p.variant.rewind],
        **{name: group for name, group in slimmer.items() if len(group) > len(plain)},
    }
    lines = [
        "fewest BOPs that validate within the spread of the baseline",
        f"  {'':<28}{'factor own':>11}{'factor 32':>11}{'accuracy':>10}{'kept':>8}{'BOPs':>12}"
        f"{'EBOPs':>10}{'CSD':>8}{'LUT est.':>10}  point",
    ]
    for name, group in groups.items():
        point = cheapest(group, base)
        lines.append(f"  {name:<28}" + (_saved(point, base) if point else "none without loss"))
    return "\n".join(lines)


def _saved(point: Point, base: Point) -> str:
    lut = "-" if point.estimate_lut is None else f"{point.estimate_lut:,.0f}"
    return (
        f"{base.bops_input_own / point.bops_input_own:>10.1f}x"
        f"{base.bops_input_32 / point.bops_input_32:>10.1f}x{point.accuracy:>10.4f}"
        f"{point.kept:>8.1%}{point.bops_input_own:>12,.0f}{point.ebops:>10,.0f}"
        f"{point.csd_digits:>8,.0f}{lut:>10}  {point.variant.name}, step {point.stage}"
    )
