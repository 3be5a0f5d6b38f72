"""A recurrent layer: registers of states around the core of one turn."""

from __future__ import annotations

from dataclasses import dataclass

from qapflow.rtl.stream.blocks import Loop
from qapflow.rtl.stream.parts import Body, Core, Setting, macros, pack


@dataclass(frozen=True)
class State:
    """A register; `give` is the output of the core that holds its next value."""

    name: str
    bits: int
    initial: str
    give: int


@dataclass(frozen=True)
class Take:
    """An input of the core: a state, or the data of an input of the block, `port`."""

    bits: int
    source: str
    port: str


@dataclass(frozen=True)
class Give:
    """An output of the core; `result` where it is that of the turn."""

    bits: int
    result: bool


def write_turns(work: Loop, at: Setting) -> Body:
    """Return the inside of a loop."""
    core = at.build(work.body, f"{at.name}_turn")
    edges = [port.edge for port in core.outputs]
    *following, result = work.body.outputs
    states = [
        State(f"state{i}", port.bits, pack(codes, port.type.width), edges.index(edge))
        for i, (port, codes, edge) in enumerate(
            zip(core.inputs, work.initial, following, strict=False)
        )
    ]
    takes = _takes(core, states, at)
    gives = [Give(port.bits, port.edge == result) for port in core.outputs]
    wires = [(port.name, f"take{i}") for i, port in enumerate(core.inputs)]
    wires += [(port.name, f"give{i}") for i, port in enumerate(core.outputs)]
    text = macros().turns(
        core.module, at.inputs, states, takes, gives, at.results[0].name, work.steps, work.every,
        wires,
    )  # fmt: skip
    return Body(text, core.files, (), core.delay + 1, core.cost_lut)


def _takes(core: Core, states: list[State], at: Setting) -> list[Take]:
    slices = core.inputs[len(states) :]
    return [
        *(Take(state.bits, state.name, "") for state in states),
        *(
            Take(port.bits, f"{wire.name}_data", wire.name)
            for port, wire in zip(slices, at.inputs, strict=True)
        ),
    ]
