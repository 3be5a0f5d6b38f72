"""ReLU, rounding and saturation: element by element, as hls4ml's `relu` builds them.

That kernel compares all bits with zero, chooses, and casts to the type of the output. A network
has the choice (`Clip`) and the cast (`Quantize`) as nodes of their own; both are priced by the
terms of the one kernel, so that together they are what its reports say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from qapflow.estimate.calibration import Calibration
from qapflow.estimate.interval import exact, measured
from qapflow.estimate.latency import usable_ns
from qapflow.estimate.matrix import Row, find
from qapflow.estimate.module import SEVEN, ULTRASCALE, family_group
from qapflow.estimate.resources import bram18_of
from qapflow.estimate.unread import live_share
from qapflow.ir.fixed import Overflow, Rounding
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Clip, Pad, Quantize, Table
from qapflow.plan import Plan
from qapflow.report.figures import Figure
from qapflow.target import Target

EXPRESSIONS = "expressions"  # LUT as csynth counts them, whose coefficient is 1
PADDING, TABLE = "padding, io_stream", "table"
RELU, CAST = "relu", "relu with rounding"
STREAM = ", io_stream"

# LUT of csynth's own table of expressions: a comparison of w bits takes w + 7 with Vitis HLS on
# UltraScale+, else about 8 + w / 3 (11 at 8 bits, 13 at 16, 18 at 32).
ADDER = 7
STREAM_CHANNEL, STREAM_MODULE, STREAM_LOOP = 19, 24, 80
PADDING_TESTS = 6
STREAM_FILL = 3  # cycles of a loop over positions beyond one a position
SLOWEST_CAST_NS = 3.0  # of rounding and saturation on 7-series; one cycle more below


@dataclass(frozen=True)
class Elements:
    """Elements of one layer side by side, of which `copies` are neither constant nor unread.

    `kind` is RELU (compare and choose) or CAST (also round or saturate); in io_stream it is one
    for both, and `positions` vectors of `copies` channels pass one after the other.
    """

    kind: str
    tool: str
    family: str
    clock_ns: float
    usable_ns: float
    copies: float
    in_width: int
    out_width: int
    signed: bool  # of the output, whose sign is then always 0
    chooses: bool
    rounds: bool
    saturates: bool
    positions: int = 1
    memory: int = 0  # BRAM18 of one table

    @property
    def streams(self) -> bool:
        """Tell io_stream."""
        return self.kind.endswith(STREAM)


def facts_of_elements(module: Elements) -> dict[str, float]:
    """Return what a calibration's region is told by."""
    widths = {} if module.kind in (PADDING, TABLE) else {"in_width": module.in_width}
    return {"clock_ns": module.clock_ns, **widths}


def compare_lut(width: int, tool: str, family: str) -> float:
    """Return LUT of a comparison with a constant, as csynth counts them."""
    if (tool, family) == ("vitis", ULTRASCALE):
        return width + ADDER
    return 8 + width / 3


def element_terms(module: Elements, figure: str) -> Mapping[str, float]:
    """Return the terms of "lut" or "ff", as `terms.terms` does for a matrix."""
    copies, streams = module.copies, module.streams
    if module.kind == PADDING:
        return _padding_terms(module, figure)
    if figure == "ff":
        depth = 0.0 if streams else element_cycles(module)[0]
        return {
            "bits of inputs": copies * module.in_width * depth,
            "bits of streams": copies * module.out_width * streams,
        }
    each = 0.0
    if module.chooses:
        each = compare_lut(module.in_width, module.tool, module.family)
        each += module.out_width - module.signed
    loop = STREAM_LOOP * (module.positions > 1)
    around = streams * (copies * STREAM_CHANNEL + STREAM_MODULE + loop)
    return {EXPRESSIONS: copies * each + around, f"casts, {module.tool}": copies * cast_lut(module)}


def _padding_terms(module: Elements, figure: str) -> Mapping[str, float]:
    """Give a choice a channel and six channels' worth of tests; counters of the positions."""
    if figure == "ff":
        return {"bits of counters": math.log2(module.positions + 1)}
    return {"channels padded": module.copies + PADDING_TESTS}


def table_memories(module: Elements) -> int:
    """Return the BRAM18 of tables: each memory has two ports, for two elements."""
    return math.ceil(module.copies * module.memory / 2)


def cast_lut(module: Elements) -> float:
    """Return LUT of one cast: an adder and a test of the bits dropped; two tests, two choices."""
    rounding = module.out_width + ADDER + 9
    saturation = 2 * module.out_width + 22
    return float(rounding * module.rounds + saturation * module.saturates)


def element_cycles(module: Elements) -> tuple[float, float]:
    """Return latency and interval."""
    if module.kind == TABLE:
        return 1.0 + (module.family == SEVEN), 1.0
    casts = module.rounds or module.saturates
    slow = module.family == SEVEN and module.usable_ns < SLOWEST_CAST_NS
    depth = float(casts and slow and not module.streams)
    if module.streams and module.positions > 1:
        return module.positions + STREAM_FILL, module.positions + STREAM_FILL
    return depth, 1.0


def elements_of(net: Net, node: Node, plan: Plan, target: Target) -> Elements | None:
    """Return a ReLU or a cast as the formulas see it; None for another node, and for wires."""
    source, out = net.edge(node.inputs[0]), node.out
    if isinstance(node.op, Pad):
        return _padding(node, source, plan, target)
    chooses, (rounds, saturates) = _is_relu(node), _casts(node, source)
    if not (chooses or rounds or saturates):
        return None
    streams = plan.io_type == "io_stream"
    positions = math.prod(out.shape[:-1])
    channels = out.shape[-1] if out.shape else 1
    return Elements(
        kind_of(rounds or saturates, streams),
        plan.backend,
        family_group(target.family),
        plan.clock_ns,
        usable_ns(plan),
        channels if streams else channels * positions * live_share(net, node),
        source.type.width + (not source.type.signed),  # the sign that a ReLU has tested
        node.op.type.width if isinstance(node.op, Quantize) else out.type.width,
        out.type.signed,
        chooses,
        rounds,
        saturates,
        positions if streams else 1,
    )


def _padding(node: Node, source: Edge, plan: Plan, target: Target) -> Elements | None:
    amounts = node.op.amounts if isinstance(node.op, Pad) else ()
    if plan.io_type != "io_stream" or len(amounts) < 2 or amounts[-1] != (0, 0):
        return None
    width, usable = source.type.width, usable_ns(plan)
    family, channels = family_group(target.family), node.out.shape[-1]
    return Elements(
        *(PADDING, plan.backend, family, plan.clock_ns, usable, channels, width, width),
        signed=source.type.signed,
        chooses=False,
        rounds=False,
        saturates=False,
        positions=math.prod(node.out.shape[:-1]),
    )


def tables_of(node: Node, source: Edge, plan: Plan, target: Target) -> Elements | None:
    """Return tables in block memories as the formulas see them; None for another node."""
    op = node.op
    if not isinstance(op, Table) or op.values.codes.ndim > 1 or plan.io_type == "io_stream":
        return None
    memory = bram18_of(op.values.type.width, len(op.values.codes))
    if not memory:
        return None
    widths = (source.type.width, op.values.type.width)
    place = (TABLE, plan.backend, family_group(target.family), plan.clock_ns, usable_ns(plan))
    copies = math.prod(node.out.shape)
    flags = (op.values.type.signed, False, False, False)
    return Elements(*place, copies, *widths, *flags, memory=memory)


def estimate_tables(module: Elements, calibration: Calibration) -> Row:
    """Return memories and cycles of tables, {} without reports.

    Their LUT and FF are not hls4ml's, which scales and clamps the index.
    """
    row: Row = {}
    latency, interval = element_cycles(module)
    values = {"bram18": table_memories(module), "latency_cycles": latency, "ii_cycles": interval}
    for name, value in values.items():
        model = find(calibration, module, name)
        if model is None:
            return {}
        unit = "cycles" if name in _CYCLES else name
        note = _note(module, model.family)
        row[name] = measured(value, unit, model, facts_of_elements(module), note)
    return row | {"dsp": exact(0, "dsp")}


def _is_relu(node: Node) -> bool:
    lower = node.op.lower if isinstance(node.op, Clip) and node.op.upper is None else None
    return lower is not None and not lower.codes.any()


def _casts(node: Node, source: Edge) -> tuple[bool, bool]:
    """Tell whether a node rounds, and whether it saturates."""
    op = node.op
    if not isinstance(op, Quantize) or op.divisor > 1:
        return False, False
    rounds = source.type.frac > op.type.frac and op.rounding is not Rounding.TRN
    return rounds, op.overflow is not Overflow.WRAP and not op.type.contains(source.type)


def kind_of(casts: bool, streams: bool) -> str:
    """Return the formula by which a calibration is found."""
    if streams:
        return RELU + STREAM
    return CAST if casts else RELU


def estimate_elements(module: Elements, calibration: Calibration) -> Row | None:
    """Return the figures of a ReLU or a cast; None where no report covers the kind."""
    row: Row = {name: exact(0, name) for name in ("dsp", "bram18", "uram")}
    facts = facts_of_elements(module)
    for name in ("lut", "ff", *_CYCLES):
        model = find(calibration, module, name)
        if model is None:
            return None
        note = _note(module, model.family)
        if name in _CYCLES:
            value = element_cycles(module)[_CYCLES.index(name)]
            row[name] = measured(value, "cycles", model, facts, note)
        else:
            value = model.evaluate(element_terms(module, name))
            row[name] = measured(value, name, model, facts, note)
    row["lut"] = _sign_alone(row["lut"], module) if module.chooses else row["lut"]
    row["ff"] = row["ff"] if module.kind == PADDING else _every_bit(row["ff"], module)
    return row


def _every_bit(figure: Figure, module: Elements) -> Figure:
    """Move the upper end to at most two registers for each bit that comes in or goes out."""
    most = math.ceil(2 * module.copies * (module.in_width + module.out_width))
    return replace(figure, high=max(figure.value, min(figure.high or 0.0, float(most))))


def _sign_alone(figure: Figure, module: Elements) -> Figure:
    """Move the lower end to what the choice alone takes: qapflow's own kernel tests x < 0."""
    chosen = module.out_width - module.signed
    compared = compare_lut(module.in_width, module.tool, module.family)
    low = (figure.low or 0.0) * chosen / (chosen + compared)
    return replace(figure, low=float(int(low)))


def _note(module: Elements, family: str) -> str:
    said = []
    if family != module.family:
        said.append(f"no report of {module.family} with this kernel: those of {family}, widened")
    if module.chooses:
        said.append("ReLU as hls4ml builds it, comparing all bits where the sign may do")
    elif module.kind == CAST and not (module.rounds and module.saturates):
        said.append("no report of rounding without saturation or the other way round")
    return "; ".join(said)


_CYCLES = ("latency_cycles", "ii_cycles")
