"""Search an input that drives one quantizer beyond its range: gradients, then one input at a time.

Nothing here proves anything: what is found is run through the interpreter again by the caller.
The search is deterministic and bounded by the arithmetic it may spend, not by a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import Codes, widen
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Net
from qapflow.ir.ops import Conv, Dense, Quantize, Scan
from qapflow.passes.drop_dead import drop_dead
from qapflow.verify.backward import pull
from qapflow.verify.coverage import chunks
from qapflow.verify.losses import INSIDE, every_edge, exceed
from qapflow.verify.vectors import Flat

STARTS = 8  # samples a search begins from
ROUNDS = 12  # steps along the gradient
SHARES = (1.0, 0.5, 0.2, 0.05, 0.01)  # of the inputs moved at once, the strongest first
MOST_COLUMNS = 4096  # inputs that are moved one by one
ELEMENTS = 4  # elements of the quantizer that are tried


@dataclass(frozen=True)
class Goal:
    """A quantizer to drive out of its range: `end` is 1 for above, -1 for below.

    `source` is the edge it reads and `elements` are flat places of it, the most promising first.
    """

    name: str
    op: Quantize
    source: str
    frac: int
    end: int
    elements: tuple[int, ...]


def work_of(net: Net) -> int:
    """Return the multiplications and values of one sample, bodies of loops once a step."""
    total = 0
    for node in net.nodes:
        total += prod(node.out.shape)
        if isinstance(node.op, Dense | Conv):
            weight = node.op.weight.codes
            total += prod(node.out.shape) * (weight.size // weight.shape[-1])
        elif isinstance(node.op, Scan):
            # without the fast lane of the other operations
            total += 20 * net.edge(node.inputs[0]).shape[0] * work_of(node.op.body)
    return max(total, 1)


def search(net: Net, goal: Goal, starts: Mapping[str, Codes], budget: int) -> Codes | None:
    """Return a row of input codes (see `Flat`) that reaches the goal, None if none was found.

    `starts` are samples [n, *shape] by input; `budget` is in units of `work_of`.
    """
    hunt = _Hunt(net, goal, budget)
    rows = hunt.first_rows(starts)
    if (found := hunt.follow(rows)) is not None:
        return found
    return hunt.polish()


class _Hunt:
    """The best row so far and what is left to spend."""

    def __init__(self, net: Net, goal: Goal, budget: int) -> None:
        self.goal = goal
        self.inside = goal.source not in net.by_name  # names of nested models have a "/" too
        loops = (node.name for node in net.nodes if isinstance(node.op, Scan))
        inside = (name for name in loops if goal.source.startswith(name + INSIDE))
        top = max(inside, key=len) if self.inside else goal.source
        self.net = drop_dead(Net(net.nodes, (top,)))
        self.flat = Flat(self.net)
        self.left = budget // work_of(self.net)  # samples
        self.best: Codes | None = None
        self.score: int | None = None

    def first_rows(self, starts: Mapping[str, Codes]) -> Codes:
        """Return samples to begin from: the given ones, and the middle and ends of the range."""
        given = [starts[node.name] for node in self.net.inputs]
        rows = np.concatenate([g.reshape(len(g), -1) for g in given], axis=1)
        middle = (widen(self.flat.low) + widen(self.flat.high)) // 2
        fixed = np.stack([middle, self.flat.low, self.flat.high]).astype(self.flat.dtype)
        return np.asarray(np.concatenate([fixed, rows.astype(self.flat.dtype)])[: STARTS + 3])

    def evaluate(self, rows: Codes) -> Codes | None:
        """Return codes [n, elements] before the quantizer, None when nothing is left to spend."""
        if len(rows) > self.left:
            return None
        self.left -= len(rows)
        return np.concatenate([self._reach(rows[part]) for part in chunks(self.net, len(rows))])

    def _reach(self, rows: Codes) -> Codes:
        inputs = self.flat.split(rows)
        name = self.goal.source
        edges = every_edge(self.net, inputs) if self.inside else interpret(self.net, inputs)
        codes = edges[name]
        if not self.inside:
            return codes.reshape(len(codes), -1)
        # any step of the loop will do: take the furthest
        steps = codes.reshape(len(codes), codes.shape[1], -1)
        return np.asarray(steps.max(axis=1) if self.goal.end > 0 else steps.min(axis=1))

    def done(self, rows: Codes, reached: Codes) -> Codes | None:
        """Return the first row that leaves the range at any element."""
        out = exceed(self.goal.op, reached, self.goal.frac) == self.goal.end
        hits = np.flatnonzero(out.any(axis=1))
        return rows[hits[0]] if len(hits) else None

    def keep(self, rows: Codes, scores: Codes) -> bool:
        """Remember the best row; tell whether it got better."""
        place = int(np.argmax(scores))
        if self.score is not None and scores[place] <= self.score:
            return False
        self.best, self.score = rows[place], int(scores[place])
        return True

    def follow(self, rows: Codes) -> Codes | None:
        """Step along the gradient of each element until nothing gets better."""
        for element in self.goal.elements:
            found = self._climb(rows, element)
            if found is not None:
                return found
        return None

    def _climb(self, rows: Codes, element: int) -> Codes | None:
        reached = self.evaluate(rows)
        if reached is None:
            return None
        if (found := self.done(rows, reached)) is not None:
            return found
        scores = self.goal.end * reached[:, element]
        for _ in range(ROUNDS):
            self.keep(rows, scores)
            if self.inside or (moved := self._move(rows, element)) is None:
                return None
            reached = self.evaluate(moved)
            if reached is None:
                return None
            if (found := self.done(moved, reached)) is not None:
                return found
            rows, scores, better = _improve(
                rows, scores, moved, self.goal.end * reached[:, element]
            )
            if not better:
                return None
        return None

    def _move(self, rows: Codes, element: int) -> Codes | None:
        """Return every row moved by its gradient: whole, and only the strongest inputs."""
        self.left -= 3 * len(rows)  # keeping every edge, and the way back
        if self.left < 0:
            return None
        inputs = self.flat.split(rows)
        edges = interpret(self.net, inputs, keep="all")
        start = np.zeros(edges[self.goal.source].shape)
        start.reshape(len(rows), -1)[:, element] = self.goal.end
        pulls = pull(self.net, edges, {self.goal.source: start})
        gradient = np.concatenate(
            [pulls[n.name].reshape(len(rows), -1) * float(n.out.type.lsb) for n in self.net.inputs],
            axis=1,
        )
        return np.concatenate([self._corner(rows, gradient, share) for share in SHARES])

    def _corner(self, rows: Codes, gradient: NDArray[np.float64], share: float) -> Codes:
        up, down = gradient > 0, gradient < 0
        if share < 1:
            gain = np.abs(gradient) * np.where(up, self.flat.high - rows, rows - self.flat.low)
            count = max(1, round(share * self.flat.size))
            least = -np.partition(-gain.astype(np.float64), count - 1, axis=1)[:, count - 1 : count]
            up, down = up & (gain >= least), down & (gain >= least)
        return np.where(up, self.flat.high, np.where(down, self.flat.low, rows))

    def polish(self) -> Codes | None:
        """Move one input at a time to either end, and keep together all that help."""
        while self.best is not None and self.flat.size <= MOST_COLUMNS:
            best, score = self.best, self.score
            rows = np.concatenate([best[None], self._each(best, 0), self._each(best, 1)])
            reached = self.evaluate(rows)
            if reached is None:
                return None
            if (found := self.done(rows, reached)) is not None:
                return found
            for element in self.goal.elements:
                scores = self.goal.end * reached[:, element]
                self.keep(rows, scores)
                joined = self._join(best, scores)
                again = self.evaluate(joined)
                if again is None:
                    return None
                if (found := self.done(joined, again)) is not None:
                    return found
                self.keep(joined, self.goal.end * again[:, element])
            if self.score == score:
                return None
        return None

    def _each(self, row: Codes, end: int) -> Codes:
        rows = np.repeat(row[None], self.flat.size, axis=0)
        np.fill_diagonal(rows, self.flat.high if end else self.flat.low)
        return rows

    def _join(self, row: Codes, scores: Codes) -> Codes:
        """Return the row with every input that helps at its better end, and with the best half."""
        low, high = scores[1:].reshape(2, -1)
        ends = np.where(high >= low, self.flat.high, self.flat.low)
        gain = np.maximum(low, high) - scores[0]
        order = np.argsort(-gain.astype(np.float64), kind="stable")
        helping = order[: int(np.count_nonzero(gain > 0))]
        rows = np.repeat(row[None], 2, axis=0)
        rows[0, helping] = ends[helping]
        half = helping[: (len(helping) + 1) // 2]
        rows[1, half] = ends[half]
        return rows


def _improve(rows: Codes, scores: Codes, moved: Codes, reached: Codes) -> tuple[Codes, Codes, bool]:
    """Replace every row by the best of its moves if that is better."""
    tries = reached.reshape(-1, len(rows))  # [moves, rows]
    pick = np.argmax(tries, axis=0)
    best = tries[pick, np.arange(len(rows))]
    better = best > scores
    chosen = moved[pick * len(rows) + np.arange(len(rows))]
    rows = np.where(better[:, None], chosen, rows)
    return rows, np.where(better, best, scores), bool(better.any())


def promising(excess: Codes, reached: Sequence[int]) -> tuple[int, ...]:
    """Return the elements to try: those that came nearest, then those that might go furthest."""
    flat = np.asarray(excess).reshape(-1)
    order = np.argsort(-flat.astype(np.float64), kind="stable")[:ELEMENTS]
    places = [*reached, *(int(i) for i in order)]
    return tuple(dict.fromkeys(places))[: ELEMENTS + 1]
