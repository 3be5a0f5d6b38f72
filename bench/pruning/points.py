"""Points of a comparison: means and spreads over folds, and the cheapest that lose nothing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from bench.pruning.grid import FLOAT, Variant
from qapflow.cost.bops import bops, dense_shapes

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """One precision and sparsity of a variant, over all folds.

    Spreads are standard deviations over folds, of one fold the binomial standard error. BOPs are
    means; those of floats count 32 bits for weights and activations. `kept` is the share of the
    weights of the whole network that are not zero and not removed.
    """

    variant: Variant
    stage: int
    kept: float
    accuracy: float
    spread: float
    val_accuracy: float
    val_spread: float
    bops_input_32: float
    bops_input_own: float
    ebops: float
    csd_digits: float
    estimate_lut: float | None
    exact: bool
    models: tuple[str, ...]


def make_points(rows: Mapping[Variant, Sequence[Row]], sizes: Sequence[int]) -> list[Point]:
    """Return the points of all variants; `sizes` are the widths, inputs and outputs included."""
    points = []
    for variant, found in rows.items():
        stages: defaultdict[int, list[Row]] = defaultdict(list)
        for row in found:
            stages[row["stage"]].append(row)
        points += [_point(variant, stage, group, sizes) for stage, group in sorted(stages.items())]
    return points


def _point(variant: Variant, stage: int, rows: Sequence[Row], sizes: Sequence[int]) -> Point:
    floats = variant.bits == FLOAT
    own = "cost_bops_input_own"
    found = [float_bops(sizes, row["cost_nonzeros"]) if floats else row[own] for row in rows]
    wide = [b if floats else row["cost_bops_input_32"] for b, row in zip(found, rows, strict=True)]
    luts = [row["estimate_lut"] for row in rows if row.get("estimate_lut") is not None]
    accuracy, spread = _spread([(row["accuracy"], row["test_samples"]) for row in rows])
    held, held_spread = _spread([(row["val_accuracy"], row["val_samples"]) for row in rows])
    return Point(
        variant, stage, fmean(row["cost_nonzeros"] / weight_count(sizes) for row in rows),
        accuracy, spread, held, held_spread, fmean(wide), fmean(found),
        fmean(row["cost_ebops"] for row in rows), fmean(row["cost_csd_digits"] for row in rows),
        fmean(luts) if luts else None, all(row["exact"] for row in rows),
        tuple(f"fold_{row['fold']}/{row['model']}" for row in rows),
    )  # fmt: skip


def _spread(found: Sequence[tuple[float, int]]) -> tuple[float, float]:
    values = [value for value, _ in found]
    mean = fmean(values)
    if len(values) > 1:
        return mean, stdev(values)
    return mean, sqrt(mean * (1 - mean) / found[0][1])


def float_bops(sizes: Sequence[int], nonzeros: int) -> float:
    """Return the BOPs of a float network of which so many weights are left.

    Every product has 32 x 32 bits, so it does not matter in which layers they are.
    """
    return bops(dense_shapes(sizes, kept=nonzeros / weight_count(sizes)))


def weight_count(sizes: Sequence[int]) -> int:
    """Return the weights of dense layers of these widths, biases not counted."""
    return sum(n * m for n, m in pairwise(sizes))


def baseline(points: Iterable[Point]) -> Point:
    """Return the network before pruning that validates best: of the widest bits there are."""
    dense = [p for p in points if p.stage == 0]
    widest = max(p.variant.bits for p in dense)
    return max((p for p in dense if p.variant.bits == widest), key=lambda p: p.val_accuracy)


def cheapest(points: Iterable[Point], base: Point) -> Point | None:
    """Return the point of fewest BOPs that validates within the spread of the baseline, if any."""
    level = base.val_accuracy - base.val_spread
    kept = [p for p in points if p.val_accuracy >= level]
    return min(kept, key=lambda p: p.bops_input_own, default=None)
