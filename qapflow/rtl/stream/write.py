"""Write a graph of blocks as Verilog: a module a block with its channels, and the core."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qapflow.ir.net import Net
from qapflow.lower.names import unique_identifiers
from qapflow.resources import templates_dir
from qapflow.rtl.design import Design, Module, Port
from qapflow.rtl.stream.blocks import Block, Fork, Graph, Mac
from qapflow.rtl.stream.bodies import Body, Setting, Wire, environment, write_body
from qapflow.rtl.stream.cut import cut, interval_cycles
from qapflow.rtl.stream.depth import Channel, channels, size_channels
from qapflow.rtl.stream.multiply import Sharing

RESERVED = ("clk", "rst")


@dataclass(frozen=True)
class End:
    """A channel that leaves a block: its prefix inside, its depth, its place in the fork."""

    name: str
    depth: int
    place: int


@dataclass(frozen=True)
class Result:
    """What a block makes and the channels that carry it on."""

    name: str
    bits: int
    channels: tuple[End, ...]


def design_streaming(net: Net, top: str, clock_ns: float, sharing: Sharing | None = None) -> Design:
    """Return the streaming form of a network as Verilog.

    Raises:
        ToolMissing: alkaid is not installed.
        ModelUnsupported: layers without a streaming form, or values too wide; all are listed.
    """
    graph = with_forks(cut(net, sharing or Sharing(interval_cycles(net))))
    modules = unique_identifiers(
        [f"{top}_{block.name}" for block in graph.blocks], [top, f"{top}_axis"]
    )
    names = {block.name: modules[f"{top}_{block.name}"] for block in graph.blocks}
    bodies = {
        block.name: _body(block, names[block.name], graph, clock_ns) for block in graph.blocks
    }
    depths = size_channels(graph, {name: body.delay for name, body in bodies.items()})
    files, parts = _block_files(graph, names, bodies, depths)
    inputs, outputs = _ports(net, graph)
    files[f"{top}.v"] = _core(top, graph, names, inputs, outputs).encode()
    costs = [part.cost_lut for part in parts]
    cost = None if None in costs else sum(c for c in costs if c is not None)
    return Design(top, "verilog", "streaming", inputs, outputs, parts, files, clock_ns, cost)


def with_forks(graph: Graph) -> Graph:
    """Put a fork behind each input that several blocks or an output read."""
    readers: dict[str, int] = dict.fromkeys(graph.inputs, 0)
    for channel in channels(graph):
        if channel.stream in readers:
            readers[channel.stream] += 1 + (channel.reader is None)
    forked = {name: f"{name}__fork" for name, count in readers.items() if count > 1}
    if not forked:
        return graph
    streams = graph.streams | {new: graph.streams[old] for old, new in forked.items()}
    forks = [Block(new, Fork(), (old,), (new,), ()) for old, new in forked.items()]
    blocks = [
        replace(block, inputs=tuple(forked.get(name, name) for name in block.inputs))
        for block in graph.blocks
    ]
    outputs = tuple(forked.get(name, name) for name in graph.outputs)
    return Graph((*forks, *blocks), streams, graph.inputs, outputs)


def _body(block: Block, name: str, graph: Graph, clock_ns: float) -> Body:
    inputs = tuple(Wire(f"in{i}", graph.streams[n]) for i, n in enumerate(block.inputs))
    results = tuple(Wire(f"made_{i}", graph.streams[n]) for i, n in enumerate(block.outputs))
    return write_body(block.work, Setting(name, inputs, results, clock_ns))


def _block_files(
    graph: Graph, names: dict[str, str], bodies: dict[str, Body], depths: dict[Channel, int]
) -> tuple[dict[str, bytes], tuple[Module, ...]]:
    files: dict[str, bytes] = {}
    parts = []
    for block in graph.blocks:
        body, name = bodies[block.name], names[block.name]
        needed = [f"{name}.v", *(f"{item}.v" for item in ("qapflow_fifo", *body.library))]
        text = _block(block, name, body, graph, depths)
        files[f"{name}.v"] = f"{text}\n{body.modules}".encode()
        if body.modules:
            needed += _tracer_files(files)
        for table, source in body.tables.items():
            needed.append(f"{table}.v")
            files[f"{table}.v"] = f"{source}\n".encode()
        for item in ("qapflow_fifo", *body.library):
            path = templates_dir() / "rtl" / "stream" / f"{item}.v"
            files[f"{item}.v"] = path.read_bytes()
        parts.append(Module(name, block.layers, tuple(needed), body.cost_lut))
    return files, tuple(parts)


def _tracer_files(files: dict[str, bytes]) -> list[str]:
    """Add the modules that alkaid's logic is made of."""
    from importlib.resources import files as resources

    folder = resources("alkaid") / "codegen" / "rtl" / "verilog" / "source"
    found = sorted(item.name for item in folder.iterdir() if item.name.endswith(".v"))
    for name in found:
        files[name] = (folder / name).read_bytes()
    return found


def _ends(
    block: Block, graph: Graph, depths: dict[Channel, int]
) -> list[tuple[str, list[Channel]]]:
    return [
        (stream, [channel for channel in depths if channel.stream == stream])
        for stream in block.outputs
    ]


def _is_wire(block: Block, graph: Graph, ends: list[tuple[str, list[Channel]]]) -> bool:
    """Tell whether a mover may hand its beats to a kernel without a channel of its own."""
    from qapflow.rtl.stream.blocks import Kernel, Window

    readers = [channel for _, found in ends for channel in found]
    if not isinstance(block.work, Window | Mac) or len(readers) != 1 or not readers[0].reader:
        return False
    reader = next(b for b in graph.blocks if b.name == readers[0].reader)
    return isinstance(reader.work, Kernel | Mac) and len(reader.inputs) == 1


def channel_name(number: int, place: int) -> str:
    """Return the prefix of a channel inside the block that feeds it."""
    return f"out{number}_{place}"


def _block(block: Block, name: str, body: Body, graph: Graph, depths: dict[Channel, int]) -> str:
    ends = _ends(block, graph, depths)
    results, count = [], 0
    for number, (stream, found) in enumerate(ends):
        made = []
        for place, channel in enumerate(found):
            made.append(End(channel_name(number, place), depths[channel], count))
            count += 1
        results.append(Result(f"made_{number}", graph.streams[stream].bits, tuple(made)))
    inputs = [Wire(f"in{i}", graph.streams[n]) for i, n in enumerate(block.inputs)]
    direct = results[0].channels[0].name if _is_wire(block, graph, ends) else ""
    about = f"{type(block.work).__name__}: {', '.join(block.layers) or 'input'}"
    return environment().get_template("block.v.j2").render(
        about=about, name=name, inputs=inputs, results=results, count=count,
        body=body.text, direct=direct,
    )  # fmt: skip


def _ports(net: Net, graph: Graph) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    edges = [node.name for node in net.inputs]
    keys = [*(f"in {e}" for e in edges), *(f"out {i} {e}" for i, e in enumerate(net.outputs))]
    names = unique_identifiers(keys, RESERVED)
    inputs = [
        _port(names[f"in {edge}"], edge, net, graph.streams[stream].beats)
        for edge, stream in zip(edges, graph.inputs, strict=True)
    ]
    outputs = [
        _port(names[f"out {number} {edge}"], edge, net, graph.streams[stream].beats)
        for number, (edge, stream) in enumerate(zip(net.outputs, graph.outputs, strict=True))
    ]
    return tuple(inputs), tuple(outputs)


def _port(name: str, edge: str, net: Net, beats: int) -> Port:
    kind = net.edge(edge)
    return Port(name, edge, kind.type, kind.shape[-1:] or (1,), beats)


def _core(
    top: str,
    graph: Graph,
    names: dict[str, str],
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
) -> str:
    sources = dict(zip(graph.inputs, (port.name for port in inputs), strict=True))
    wires, ends = [], dict[Channel, str]()
    counts: dict[str, int] = {}
    for number, channel in enumerate(channels(graph)):
        counts[channel.stream] = counts.get(channel.stream, 0) + 1
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
    unread = [port for stream, port in sources.items() if stream not in counts]
    return environment().get_template("top.v.j2").render(
        about=f"{top}: {len(blocks)} blocks and their channels", name=top, inputs=inputs,
        outputs=outputs, wires=wires, blocks=blocks, unread=unread,
    )  # fmt: skip
