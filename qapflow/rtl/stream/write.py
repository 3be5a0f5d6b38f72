"""Write a graph of blocks as Verilog: a module a block with its channels, and the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qapflow.ir.net import Net
from qapflow.lower.names import unique_identifiers
from qapflow.plan import Plan
from qapflow.resources import templates_dir
from qapflow.rtl.design import Design, Module, Port
from qapflow.rtl.ports import make_ports, module_name
from qapflow.rtl.stream.blocks import Block, Fork, Graph, Kernel, Mac, Window
from qapflow.rtl.stream.bodies import write_body
from qapflow.rtl.stream.choose import sharing_of
from qapflow.rtl.stream.cut import cut
from qapflow.rtl.stream.depth import Channel, channels, size_channels
from qapflow.rtl.stream.multiply import Sharing, must_share
from qapflow.rtl.stream.parts import Body, Core, Setting, Wire
from qapflow.rtl.templates import render
from qapflow.rtl.text import write_core, write_pieces
from qapflow.rtl.write import pipeline_net, with_shell
from qapflow.target import Target

Ports = tuple[tuple[Port, ...], tuple[Port, ...]]


@dataclass(frozen=True)
class End:
    """A channel that leaves a block: its prefix inside, and its depth."""

    name: str
    depth: int


@dataclass(frozen=True)
class Result:
    """What a block makes and the channels that carry it on."""

    name: str
    bits: int
    channels: tuple[End, ...]


@dataclass(frozen=True)
class Clocked:
    """What every core of a design is built for."""

    plan: Plan
    target: Target
    sharing: Sharing


@dataclass(frozen=True)
class Written:
    """The modules of a graph, the core last, their files, and clocks through all blocks."""

    modules: tuple[Module, ...]
    files: dict[str, bytes]
    delay: int


def write_streaming(
    net: Net, plan: Plan, target: Target, *, top: str, sharing: Sharing | None = None
) -> Design:
    """Return the streaming form of a network as Verilog, with its AXI-stream shell and scripts.

    Raises:
        ToolMissing: alkaid is not installed.
        ModelUnsupported: layers without a streaming form, or values too wide; all are listed.
    """
    net = replace(net, outputs=tuple(dict.fromkeys(net.outputs)))
    at = Clocked(plan, target, sharing or sharing_of(net, plan))
    graph = with_forks(cut(net, at.sharing))
    top, ports = module_name(top), _streamed(make_ports(net), graph)
    made = write_graph(graph, top, ports, at)
    costs = [module.cost_lut for module in made.modules[:-1]]
    cost = None if None in costs else sum(c for c in costs if c is not None)
    design = Design(
        top=top,
        language="verilog",
        form="streaming",
        inputs=ports[0],
        outputs=ports[1],
        modules=made.modules,
        files=made.files,
        clock_ns=plan.clock_ns,
        cost_lut=cost,
    )
    return with_shell(design, target, plan.clock_uncertainty_percent)


def write_graph(graph: Graph, top: str, ports: Ports, at: Clocked) -> Written:
    """Return the modules of a graph with the given ports; each name begins with `top`."""
    found = unique_identifiers([f"{top}_{block.name}" for block in graph.blocks], [top])
    names = {block.name: found[f"{top}_{block.name}"] for block in graph.blocks}

    def build(net: Net, name: str) -> Core:
        return build_core(net, name, at)

    bodies = {}
    for block in graph.blocks:
        inputs = tuple(Wire(f"in{i}", graph.streams[n]) for i, n in enumerate(block.inputs))
        results = tuple(Wire(f"made{i}", graph.streams[n]) for i, n in enumerate(block.outputs))
        setting = Setting(names[block.name], inputs, results, build)
        bodies[block.name] = write_body(block.work, setting)
    delays = {name: body.delay for name, body in bodies.items()}
    depths = size_channels(graph, delays)
    modules, files = [], dict[str, bytes]()
    for block in graph.blocks:
        body, name = bodies[block.name], names[block.name]
        own = {**_library(("qapflow_fifo", *body.library)), **body.files}
        path = f"src/{name}.v"
        files |= {path: _block(block, name, body, graph, depths), **own}
        modules.append(Module(name, block.layers, (path, *sorted(own)), body.cost_lut))
    core = f"src/{top}.v"
    files[core] = _core(top, graph, names, ports)
    layers = tuple(dict.fromkeys(layer for block in graph.blocks for layer in block.layers))
    modules.append(Module(top, layers, (core, *sorted(set(files) - {core})), None))
    return Written(tuple(modules), files, sum(delays.values()))


def build_core(net: Net, name: str, at: Clocked) -> Core:
    """Return a core of a network whose beats are whole samples.

    It is unrolled, or, where a layer of it has too many weights for that, a graph of blocks.
    """
    ports = make_ports(net)
    shared = [n for n in net.nodes if must_share(n, net, at.sharing)]
    if shared:
        graph = with_forks(cut(net, at.sharing, whole=True))
        made = write_graph(graph, name, ports, at)
        return Core(name, *ports, made.files, made.delay, None)
    plan = at.plan
    pipeline = pipeline_net(net, at.target, plan.clock_ns, plan.clock_uncertainty_percent)
    modules, files = write_pieces(pipeline, name, "verilog")
    facts = {"title": f"{name}: logic", "top": name, "clock_ns": f"{plan.clock_ns:g}"}
    files[f"src/{name}.v"] = write_core(pipeline, modules, ports, facts, "verilog")
    return Core(name, *ports, files, pipeline.schedule.count, pipeline.traced.cost_lut)


def with_forks(graph: Graph) -> Graph:
    """Put a fork behind each input that several blocks or an output read."""
    readers: dict[str, int] = dict.fromkeys(graph.inputs, 0)
    for channel in channels(graph):
        if channel.stream in readers:
            readers[channel.stream] += 1 + (channel.reader is None)
    forked = {name: f"{name}__fork" for name, count in readers.items() if count > 1}
    streams = graph.streams | {new: graph.streams[old] for old, new in forked.items()}
    forks = [Block(new, Fork(), (old,), (new,), ()) for old, new in forked.items()]
    blocks = [
        replace(block, inputs=tuple(forked.get(name, name) for name in block.inputs))
        for block in graph.blocks
    ]
    outputs = tuple(forked.get(name, name) for name in graph.outputs)
    return Graph((*forks, *blocks), streams, graph.inputs, outputs)


def _library(names: tuple[str, ...]) -> dict[str, bytes]:
    folder = templates_dir() / "rtl" / "stream"
    return {f"src/{name}.v": (folder / f"{name}.v").read_bytes() for name in names}


def _is_wire(block: Block, graph: Graph, readers: list[Channel]) -> bool:
    """Tell whether a mover may hand its beats to a kernel without a channel of its own."""
    if not isinstance(block.work, Window | Mac) or len(readers) != 1 or not readers[0].reader:
        return False
    reader = next(b for b in graph.blocks if b.name == readers[0].reader)
    return isinstance(reader.work, Kernel | Mac) and len(reader.inputs) == 1


def channel_name(number: int, place: int) -> str:
    """Return the prefix of a channel inside the block that feeds it."""
    return f"out{number}_{place}"


def _block(
    block: Block, name: str, body: Body, graph: Graph, depths: Mapping[Channel, int]
) -> bytes:
    results, readers = [], list[Channel]()
    for number, stream in enumerate(block.outputs):
        found = [channel for channel in depths if channel.stream == stream]
        ends = (End(channel_name(number, i), depths[c]) for i, c in enumerate(found))
        results.append(Result(f"made{number}", graph.streams[stream].bits, tuple(ends)))
        readers += found
    inputs = [Wire(f"in{i}", graph.streams[n]) for i, n in enumerate(block.inputs)]
    layers = " ".join(", ".join(block.layers).split()) or "an input"
    return render(
        "stream/block.v.j2",
        about=f"{type(block.work).__name__} of {layers}",
        name=name,
        inputs=inputs,
        results=results,
        body=body.text,
        direct=channel_name(0, 0) if _is_wire(block, graph, readers) else "",
    )


def _streamed(ports: Ports, graph: Graph) -> Ports:
    """Return ports of which a transfer is one beat."""

    def one_beat(port: Port, stream: str) -> Port:
        found = graph.streams[stream]
        return replace(port, shape=port.shape[-1:] or (1,), beats=found.beats)

    inputs = tuple(one_beat(p, s) for p, s in zip(ports[0], graph.inputs, strict=True))
    outputs = tuple(one_beat(p, s) for p, s in zip(ports[1], graph.outputs, strict=True))
    return inputs, outputs


def _core(top: str, graph: Graph, names: Mapping[str, str], ports: Ports) -> bytes:
    inputs, outputs = ports
    sources = dict(zip(graph.inputs, (port.name for port in inputs), strict=True))
    wires, ends = [], dict[Channel, str]()
    for number, channel in enumerate(channels(graph)):
        if channel.reader is None:
            ends[channel] = outputs[channel.place].name
        elif channel.stream in sources:
            ends[channel] = sources[channel.stream]
        else:
            ends[channel] = f"wire{number}"
            wires.append(Wire(f"wire{number}", graph.streams[channel.stream]))
    blocks = []
    for block in graph.blocks:
        links = [(f"in{c.place}", end) for c, end in ends.items() if c.reader == block.name]
        for number, stream in enumerate(block.outputs):
            found = [end for channel, end in ends.items() if channel.stream == stream]
            links += [(channel_name(number, place), end) for place, end in enumerate(found)]
        blocks.append({"name": names[block.name], "links": links})
    read = {channel.stream for channel in ends}
    return render(
        "stream/top.v.j2",
        about=f"{top}: {len(blocks)} blocks and the channels between them",
        name=top,
        inputs=inputs,
        outputs=outputs,
        wires=wires,
        blocks=blocks,
        unread=[port for stream, port in sources.items() if stream not in read],
    )
