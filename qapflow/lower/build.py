"""A network and a plan to the steps of the top function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Conv, Dense, Input, Reshape, Scan
from qapflow.lower import kernels, layers
from qapflow.lower.names import unique_identifiers
from qapflow.lower.program import Kernel, Loop, Program, Rom, Step, Wire
from qapflow.plan import Choice, Plan, inside

LATENCY = Choice("latency", 1)


def build_program(net: Net, plan: Plan, top: str) -> Program:
    """Return the steps of `net`. What cannot be built must have been refused before."""
    names = unique_identifiers((node.name for node in net.nodes), [top])
    return _build(_Builder(net, plan, names, {top, *names.values()}))


def _build(builder: _Builder) -> Program:
    net = builder.net
    for node in live_nodes(net):
        builder.add(node)
    outputs = builder.add_ports()
    steps = builder.steps
    inputs = tuple(builder.wires[node.name] for node in net.inputs)
    if builder.stream:
        steps = _clone_readers(inputs, steps, builder.reserve)
    traced = {
        node.name: builder.wires[node.name]
        for node in live_nodes(net)
        if not isinstance(node.op, Input)
    }
    return Program(tuple(steps), inputs, outputs, traced, builder.stream)


def live_nodes(net: Net) -> tuple[Node, ...]:
    """Return the inputs and every node that an output depends on, in order."""
    needed = set(net.outputs)
    for node in reversed(net.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return tuple(n for n in net.nodes if n.name in needed or isinstance(n.op, Input))


class _Builder:
    """Collects steps; `wires` maps every edge to its wire."""

    def __init__(self, net: Net, plan: Plan, names: Mapping[str, str], taken: set[str]) -> None:
        self.net = net
        self.plan = plan
        self.stream = plan.io_type == "io_stream"
        self.names = names
        self.taken = taken
        self.wires: dict[str, Wire] = {}
        self.steps: list[Step] = []

    def reserve(self, name: str) -> str:
        """Return an identifier like `name` that nothing else uses."""
        found = unique_identifiers([name], self.taken)[name]
        self.taken.add(found)
        return found

    def add(self, node: Node) -> None:
        """Add the steps of one node."""
        out = Wire(self.names[node.name], node.out.shape, node.out.type)
        sources = tuple(self.wires[name] for name in node.inputs)
        if isinstance(node.op, Input):
            self.wires[node.name] = out
        elif isinstance(node.op, Reshape) and (alias := self._alias(node, sources[0])):
            self.wires[node.name] = alias
        elif isinstance(node.op, Dense | Conv):
            self._add_layer(node, sources[0], out)
        elif isinstance(node.op, Scan):
            self._add_loop(node, node.op, sources, out)
        else:
            self._add_step(node, kernels.kernel(node.op, sources, out, self.stream), sources, out)

    def add_ports(self) -> tuple[Wire, ...]:
        """Give every output a wire that nothing else reads, and return them in order."""
        ports: list[Wire] = []
        for name in self.net.outputs:
            wire = self.wires[name]
            fresh = wire.name == self.names[name] and wire not in ports
            node = self.net.by_name[name]
            read = any(wire.name == i.name for step in self.steps for i in step.inputs)
            if isinstance(node.op, Input) or read or not fresh:
                port = Wire(self.reserve(f"{name}_out"), node.out.shape, node.out.type)
                self.steps.append(Step(name, kernels.copy(wire), (wire,), (port,)))
                wire = port
            ports.append(wire)
        return tuple(ports)

    def _alias(self, node: Node, source: Wire) -> Wire | None:
        """Return the source under another shape where no data has to move."""
        shape = node.out.shape
        if source.type.frac != node.out.type.frac:
            return None
        if not self.stream:
            return replace(source, shape=shape)
        if shape and source.lanes == shape[-1]:
            return replace(source, shape=shape, packet=source.lanes)
        readers = self.net.consumers[node.name]
        flat = all(isinstance(r.op, Dense) and len(r.out.shape) == 1 for r in readers)
        if readers and flat and node.name not in self.net.outputs:
            return replace(source, shape=shape, packet=source.lanes)
        return None

    def _add_layer(self, node: Node, x: Wire, out: Wire) -> None:
        choice = self.plan.choices.get(node.name, LATENCY)
        if isinstance(node.op, Dense) and choice.written_out:
            row = replace(x, shape=node.op.weight.codes.shape[:1], packet=x.lanes)
            self._add_step(node, kernels.products(node.op), (row,), out)
            return
        if isinstance(node.op, Dense):
            made = layers.dense(node.op, x, out, choice)
        else:
            assert isinstance(node.op, Conv)
            made = layers.conv(node.op, x, out, choice, self.stream)
        for work, shape in made.before:
            ready = Wire(self.reserve(f"{out.name}_in"), shape, x.type)
            self.steps.append(Step(node.name, work, (x,), (ready,)))
            x = ready
        x = replace(x, shape=made.input_shape, packet=x.lanes)
        flat = replace(out, shape=made.output_shape)
        self.steps.append(Step(node.name, made.layer, (x,), (flat,)))
        self.wires[node.name] = out

    def _add_loop(self, node: Node, op: Scan, sources: tuple[Wire, ...], out: Wire) -> None:
        names = {part.name: self.reserve(f"{out.name}_{part.name}") for part in op.body.nodes}
        body = _build(_Builder(op.body, inside(self.plan, node.name), names, self.taken))
        initial = tuple(
            Rom(f"s{i}", np.broadcast_to(const.codes, wire.shape).reshape(-1), wire.type)
            for i, (const, wire) in enumerate(zip(op.initial, body.inputs, strict=False))
        )
        loop = Loop(body, initial, sources[0].shape[0], op.emit)
        self.steps.append(Step(node.name, loop, sources, (out,)))
        self.wires[node.name] = out

    def _add_step(self, node: Node, work: Kernel, sources: tuple[Wire, ...], out: Wire) -> None:
        self.steps.append(Step(node.name, work, sources, (out,)))
        self.wires[node.name] = out


def _clone_readers(
    inputs: tuple[Wire, ...], steps: list[Step], reserve: Callable[[str], str]
) -> list[Step]:
    """Let every stream have one reader: insert a clone after the producer of a shared one."""
    reads = Counter(wire.name for step in steps for wire in step.inputs)
    spare: dict[str, list[Wire]] = {}
    done: list[Step] = []

    def share(wire: Wire, node: str) -> None:
        count = reads[wire.name]
        if count > 1 or (count == 0 and wire in inputs):  # an input nobody reads is drained
            copies = [replace(wire, name=reserve(f"{wire.name}_copy")) for _ in range(count)]
            spare[wire.name] = list(copies)
            done.append(Step(node, kernels.clone(wire, count), (wire,), tuple(copies)))

    for wire in inputs:
        share(wire, wire.name)
    for step in steps:
        sources = tuple(
            replace(wire, name=spare[wire.name].pop(0).name) if wire.name in spare else wire
            for wire in step.inputs
        )
        done.append(replace(step, inputs=sources))
        for wire in step.outputs:
            share(wire, step.node)
    return done
