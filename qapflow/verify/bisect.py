"""Find the first layer where a network leaves Keras, every other one, and why.

Keras runs once from start to end. Then every layer is judged by itself: both sides get the same
input, which is Keras's own where that lies on the grid of the edge, else the network's. So a
difference that an earlier layer made is not held against a later one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.model import LayerRecord
from qapflow.ir.fixed import Codes
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Net
from qapflow.verify.bisection import Bisection, LayerCheck, Place
from qapflow.verify.conclude import conclude
from qapflow.verify.evidence import Evidence, fitting, unequal
from qapflow.verify.explain import explain
from qapflow.verify.input_grid import check_inputs
from qapflow.verify.keras_run import KerasResult, run_keras
from qapflow.verify.parts import Part, split

LARGEST = 1 << 25  # values of all layers and samples together: 128 MiB on the side of Keras
LEAST = 16

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """What is bisected: a network with its records, and the model file (and weights) it is of.

    `stripped` says that the network lacks final softmax layers.
    """

    net: Net
    records: Sequence[LayerRecord]
    model: Path
    weights: Path | None = None
    stripped: bool = False
    timeout: float = 1800.0

    def keras(self, values: Mapping[str, Array], **how: Any) -> KerasResult:
        """Run all layers, or those asked for, on real values by input name."""
        names = [record.name.split("/")[-1] for record in self.records] if self.stripped else []
        how = {"layers": names, **how}
        return run_keras(self.model, values, weights=self.weights, timeout=self.timeout, **how)


def bisect(
    subject: Subject, codes: Mapping[str, Codes], real: Mapping[str, Array] | None = None
) -> Bisection:
    """Compare on input codes [n, *shape], layer by layer.

    `real` are the values that the codes were made from, where the grid changed some: Keras gets
    them as they are, and the difference is the input's.

    Raises:
        ToolMissing: Keras, or a package that the model needs, is not installed.
        ToolFailed: the Keras process crashed, was killed or took too long.
    """
    net = subject.net
    decoded = {node.name: node.out.type.decode(codes[node.name]) for node in net.inputs}
    given = {name: np.asarray((real or decoded)[name], np.float64) for name in decoded}
    chosen, notes = _choose(subject, codes, given)
    codes = {name: array[chosen] for name, array in codes.items()}
    given = {name: array[chosen] for name, array in given.items()}
    first = subject.keras(given, constants=True)
    if first.refused:
        return Bisection("not run", subject.model.name, net.digest, 0, (), notes=(first.refused,))
    run = _Run(subject, codes, given, first)
    checks = (*check_inputs(net, codes, given), *run.checks())
    return conclude(net, checks, run.first_places(checks), chosen, subject.model.name, notes)


def _choose(
    subject: Subject, codes: Mapping[str, Codes], given: Mapping[str, Array]
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return the samples to look at: all, or as many as fit, those with other outputs first."""
    net = subject.net
    count = len(next(iter(codes.values())))
    size = sum(int(np.prod(net.edge(record.edge).shape)) for record in subject.records)
    most = max(LARGEST // max(size, 1), LEAST)
    if count <= most:
        return np.arange(count), ()
    note = f"looked at {most} of {count} samples, those with other outputs first"
    result = subject.keras(given, layers=None)
    wrong = np.zeros(count, bool)
    if not result.refused and len(result.outputs) == len(net.outputs) and not subject.stripped:
        outputs = interpret(net, codes)
        for name, theirs in zip(net.outputs, result.outputs, strict=True):
            rows = unequal(outputs[name], net.edge(name).type, theirs).reshape(count, -1)
            wrong |= rows.any(axis=1)
    order = np.concatenate([np.flatnonzero(wrong), np.flatnonzero(~wrong)])
    return np.sort(order[:most]), (note,)


class _Run:
    """Both sides on the same samples."""

    def __init__(
        self,
        subject: Subject,
        codes: Mapping[str, Codes],
        given: Mapping[str, Array],
        first: KerasResult,
    ) -> None:
        self.subject, self.codes, self.first = subject, codes, first
        net = subject.net
        sizes = {name: int(np.prod(array.shape[1:])) for name, array in first.layers.items()}
        self.parts = split(net, subject.records, sizes)
        cuts = tuple(dict.fromkeys((*(part.edge for part in self.parts), *net.outputs)))
        self.ours = {**interpret(Net(net.nodes, cuts), codes), **codes}
        self.started = self._start()
        self.same_input = self._same_input(given)

    def _theirs(self, part: Part, layers: Mapping[str, Array]) -> Array:
        return layers[part.keras_name].reshape(self.ours[part.edge].shape)

    def _start(self) -> dict[str, tuple[Codes, NDArray[np.bool_], bool]]:
        """Codes to start from by edge, which samples can, and whether all are Keras's own."""
        starts: dict[str, tuple[Codes, NDArray[np.bool_], bool]] = {}
        for node in self.subject.net.inputs:
            codes = self.codes[node.name]
            starts[node.name] = (codes, _single(node.out.type.decode(codes)), True)
        for part in self.parts:
            if part.edge in starts:
                continue
            kind, ours = self.subject.net.edge(part.edge).type, self.ours[part.edge]
            theirs, fits = fitting(self._theirs(part, self.first.layers), kind)
            rows = fits.reshape(-1, *(1,) * (ours.ndim - 1))
            codes = np.where(rows, theirs, ours)
            starts[part.edge] = (codes, _single(kind.decode(codes)), bool(fits.all()))
        return starts

    def _same_input(self, given: Mapping[str, Array]) -> KerasResult:
        """Keras with every layer started from `started`; the first run if that is the same."""
        exact = all(np.array_equal(given[name], values) for name, values in self._values().items())
        if exact and all(own for _, _, own in self.started.values()):
            return self.first
        return self.subject.keras(self._values(), feed=self._feed())

    def _values(self) -> dict[str, Array]:
        net = self.subject.net
        return {node.name: node.out.type.decode(self.codes[node.name]) for node in net.inputs}

    def _feed(self) -> dict[str, Array]:
        net = self.subject.net
        return {
            part.keras_name: net.edge(part.edge).type.decode(self.started[part.edge][0])
            for part in self.parts
        }

    def _evidence(self, part: Part, double: KerasResult | None) -> Evidence | None:
        """Both sides from the same input; None if no sample can be started from."""
        inputs = {node.name: self.started[node.name] for node in part.net.inputs}
        usable = np.all([rows for _, rows, _ in inputs.values()], axis=0)
        if not usable.any() or part.keras_name not in self.same_input.layers:
            return None
        codes = {name: start[0][usable] for name, start in inputs.items()}
        precise = None
        if double is not None and part.keras_name in double.layers:
            precise = self._theirs(part, double.layers)[usable]
        return Evidence(
            part,
            codes,
            interpret(part.net, codes)[part.edge],
            self._theirs(part, self.same_input.layers)[usable],
            precise,
            self.first.constants.get(part.keras_name.split("#")[0], ()),
        )

    def checks(self) -> tuple[LayerCheck, ...]:
        """Judge every layer from start to end, and by itself."""
        found = []
        for part in self.parts:
            evidence = self._evidence(part, None)
            own = None if evidence is None else int(np.count_nonzero(evidence.wrong))
            found.append(self._check(part, own))
        if any(check.own for check in found):
            double = self.subject.keras(self._values(), float64=True, feed=self._feed())
            result = None if double.refused else double
            for k, part in enumerate(self.parts):
                if found[k].own:
                    found[k] = self._explain(part, found[k], result)
        return tuple(found)

    def _check(self, part: Part, own: int | None) -> LayerCheck:
        kind, ours = self.subject.net.edge(part.edge).type, self.ours[part.edge]
        theirs = self._theirs(part, self.first.layers)
        wrong = unequal(ours, kind, theirs)
        apart = np.abs(kind.decode(ours) - theirs)
        return LayerCheck(
            part.record.name,
            part.record.class_name,
            part.edge,
            part.record.regime,
            int(wrong.size),
            int(np.count_nonzero(wrong)),
            float(apart.max(initial=0.0)),
            own,
        )

    def _explain(self, part: Part, check: LayerCheck, double: KerasResult | None) -> LayerCheck:
        evidence = self._evidence(part, double)
        assert evidence is not None
        single = unequal(evidence.ours, evidence.kind, evidence.single)
        mask = evidence.wrong if evidence.wrong.any() else single
        rows = np.flatnonzero(self._usable(part))
        place = tuple(int(i) for i in np.argwhere(mask)[0])
        values = evidence.kind.decode(evidence.ours)
        where = Place(
            part.record.name,
            int(rows[place[0]]),
            place[1:],
            float(evidence.single[place]),
            float(values[place]),
            None if evidence.double is None else float(evidence.double[place]),
        )
        return replace(check, own_first=where, finding=explain(evidence))

    def _usable(self, part: Part) -> NDArray[np.bool_]:
        inputs = [self.started[node.name][1] for node in part.net.inputs]
        return np.asarray(np.all(inputs, axis=0))

    def first_places(self, checks: Sequence[LayerCheck]) -> dict[str, Place]:
        """First differing value, start to end, of each layer that differs."""
        places = {}
        for part in self.parts:
            kind, ours = self.subject.net.edge(part.edge).type, self.ours[part.edge]
            theirs = self._theirs(part, self.first.layers)
            wrong = np.argwhere(unequal(ours, kind, theirs))
            if len(wrong):
                place = tuple(int(i) for i in wrong[0])
                value = float(kind.decode(ours)[place])
                places[part.record.name] = Place(
                    part.record.name, place[0], place[1:], float(theirs[place]), value
                )
        return places


def _single(values: Array) -> NDArray[np.bool_]:
    """Tell which samples are float32 values throughout, so that Keras gets them as they are."""
    same = values.astype(np.float32).astype(np.float64) == values
    return np.asarray(same.reshape(len(values), -1).all(axis=1))
