"""How deep each channel must be: found by running the graph beat by beat.

The graph is determinate, so whether it can stop for good does not depend on who is late when. It
is run twice: with the delays of its pipelines, so that deep enough channels cost no time, then
with blocks that hold nothing, which is less room than the hardware has. Wherever a join waits for
one input while another, from the same source, is full, that one is made deeper; and, where inputs
of the network lock each other, one from another source too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch

from qapflow.rtl.stream import blocks as kinds
from qapflow.rtl.stream.blocks import Block, Graph

SHALLOW = 2
SAMPLES = 2
CLOCKS = 8
"""Clocks of a beat that are played of shared multipliers, which may take thousands."""

Step = tuple[tuple[int, ...], bool]  # inputs that a beat is taken of, and whether one is given


@singledispatch
def steps_of(work: kinds.Work, inputs: int) -> list[Step]:
    """Return what a block takes and gives, clock by clock, over one sample or a period of it."""
    return [(tuple(range(inputs)), True)]


@steps_of.register
def _(work: kinds.Window, inputs: int) -> list[Step]:
    (top, _), (left, _) = work.padding
    rows, cols = work.grown
    (low_row, high_row), (low_col, high_col) = work.emitting

    def step(row: int, col: int) -> Step:
        image_row, image_col = row - max(top, 0), col - max(left, 0)
        taken = 0 <= image_row < work.size[0] and 0 <= image_col < work.size[1]
        down, across = row - low_row, col - low_col
        given = 0 <= down <= high_row - low_row and 0 <= across <= high_col - low_col
        given = given and not down % work.strides[0] and not across % work.strides[1]
        return ((0,) if taken else ()), given

    return [step(row, col) for row in range(rows) for col in range(cols)]


@steps_of.register(kinds.Gather)
@steps_of.register(kinds.Fold)
def _(work: kinds.Gather | kinds.Fold, inputs: int) -> list[Step]:
    return [((0,), turn == work.count - 1) for turn in range(work.count)]


@steps_of.register
def _(work: kinds.Scatter, inputs: int) -> list[Step]:
    return [((0,) if turn == 0 else (), True) for turn in range(work.count)]


@steps_of.register
def _(work: kinds.Repeat, inputs: int) -> list[Step]:
    down, across = work.factors
    return [
        ((0,) if turn == 0 and copy == 0 else (), True)
        for turn in range(down)
        for _ in range(work.width)
        for copy in range(across)
    ]


@steps_of.register
def _(work: kinds.Braid, inputs: int) -> list[Step]:
    first: Step = ((0,), True)
    second: Step = ((1,), True)
    return [first] * work.first + [second] * work.second


@steps_of.register
def _(work: kinds.Mac, inputs: int) -> list[Step]:
    clocks = min(work.clocks, CLOCKS)
    total = work.beats * clocks
    return [((0,) if n % clocks == 0 else (), n == total - 1) for n in range(total)]


@steps_of.register
def _(work: kinds.Loop, inputs: int) -> list[Step]:
    every = tuple(range(inputs))
    return [(every, work.every or turn == work.steps - 1) for turn in range(work.steps)]


@dataclass
class _Actor:
    block: Block
    steps: list[Step]
    reads: list[int]
    writes: list[int]
    delay: int
    waits: int  # clocks from one step to the next
    at: int = 0
    free: int = 0
    flying: deque[int] = field(default_factory=deque)


@dataclass(frozen=True)
class Channel:
    """One reader of a stream: block `reader` or, where None, an output port."""

    stream: str
    reader: str | None
    place: int


def channels(graph: Graph) -> tuple[Channel, ...]:
    """Return all channels of a graph, in the order of their readers."""
    found = [
        Channel(name, block.name, place)
        for block in graph.blocks
        for place, name in enumerate(block.inputs)
    ]
    return (*found, *(Channel(name, None, i) for i, name in enumerate(graph.outputs)))


def size_channels(graph: Graph, delays: Mapping[str, int]) -> dict[Channel, int]:
    """Return the depth of each channel; `delays` are clocks through each block, by its name."""
    if all(len(block.inputs) < 2 for block in graph.blocks):
        return dict.fromkeys(channels(graph), SHALLOW)  # nothing ever waits for two
    run = _Run(graph, delays)
    run.play()
    empty = _Run(graph, {})
    empty.depth = run.depth
    empty.play()
    return dict(zip(run.channels, empty.depth, strict=True))


class _Run:
    def __init__(self, graph: Graph, delays: Mapping[str, int]) -> None:
        self.channels = channels(graph)
        self.depth = [SHALLOW] * len(self.channels)
        self.held = [0] * len(self.channels)
        self.left = {name: graph.streams[name].beats * SAMPLES for name in graph.inputs}
        self.sources = {
            name: [i for i, c in enumerate(self.channels) if c.stream == name]
            for name in graph.inputs
        }
        self.ports = [i for i, c in enumerate(self.channels) if c.reader is None]
        self.missing = sum(graph.streams[name].beats * SAMPLES for name in graph.outputs)
        self.actors = [self._actor(block, delays) for block in graph.blocks]
        self.forked = _origins(graph)
        self.moved = False

    def _actor(self, block: Block, delays: Mapping[str, int]) -> _Actor:
        index = range(len(self.channels))
        reads = [i for i in index if self.channels[i].reader == block.name]
        writes = [i for i in index if self.channels[i].stream in block.outputs]
        steps = steps_of(block.work, len(block.inputs))
        delay = delays.get(block.name, 0)
        waits = delay + 1 if isinstance(block.work, kinds.Loop) else 1
        return _Actor(block, steps, reads, writes, delay, waits)

    def play(self) -> None:
        """Run until all outputs have come."""
        now = 0
        while self.missing:
            self.moved = False
            for port in self.ports:
                self.missing -= self.held[port]
                self.moved |= bool(self.held[port])
                self.held[port] = 0
            for actor in reversed(self.actors):
                self._land(actor, now)
                self._step(actor, now)
            for name, out in self.sources.items():
                if self.left[name] and self._room(out):
                    self.left[name] -= 1
                    self._push(out)
            now += 1
            if not self.moved:
                self._unlock(now)

    def _room(self, out: list[int]) -> bool:
        return all(self.held[i] < self.depth[i] for i in out)

    def _push(self, out: list[int]) -> None:
        self.moved = True
        for i in out:
            self.held[i] += 1

    def _land(self, actor: _Actor, now: int) -> None:
        if actor.flying:
            self.moved |= actor.flying[0] > now
            if actor.flying[0] <= now and self._room(actor.writes):
                actor.flying.popleft()
                self._push(actor.writes)

    def _step(self, actor: _Actor, now: int) -> None:
        if actor.free > now:
            self.moved = True
            return
        takes, gives = actor.steps[actor.at]
        if not actor.at and not takes and not self.held[actor.reads[0]]:
            return  # no sample begins before its first beat is there
        lacking = [i for i in takes if not self.held[actor.reads[i]]]
        if lacking:
            self._deepen(actor, lacking)
            return
        if gives and not self._leave(actor, now):
            return
        self.moved = True
        for i in takes:
            self.held[actor.reads[i]] -= 1
        actor.at = (actor.at + 1) % len(actor.steps)
        actor.free = now + actor.waits

    def _leave(self, actor: _Actor, now: int) -> bool:
        if actor.delay:
            if len(actor.flying) >= actor.delay:
                return False
            actor.flying.append(now + actor.delay)
            return True
        if not self._room(actor.writes):
            return False
        self._push(actor.writes)
        return True

    def _deepen(self, actor: _Actor, lacking: list[int], always: bool = False) -> None:
        for place, channel in enumerate(actor.reads):
            if place in lacking or self.held[channel] < self.depth[channel]:
                continue
            origins = self.forked[actor.block.inputs[place]]
            if always or any(origins & self.forked[actor.block.inputs[other]] for other in lacking):
                self.depth[channel] += 1
                self.moved = True

    def _unlock(self, now: int) -> None:
        """Nothing can move: of the joins that wait, deepen what is full, wherever it comes from."""
        for actor in self.actors:
            takes, _ = actor.steps[actor.at]
            lacking = [i for i in takes if not self.held[actor.reads[i]]]
            if lacking:
                self._deepen(actor, lacking, always=True)
        if not self.moved:
            raise AssertionError(f"the streaming graph cannot go on after {now} steps")


def _origins(graph: Graph) -> dict[str, frozenset[str]]:
    """Return the streams from which each stream comes, itself included."""
    found = {name: frozenset([name]) for name in graph.inputs}
    for block in graph.blocks:
        before = frozenset[str]().union(*(found[name] for name in block.inputs))
        for name in block.outputs:
            found[name] = before | set(block.outputs)
    return found
