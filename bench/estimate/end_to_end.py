"""From a model file through front end, plan and estimate to the rows of its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.estimate.tables import WIDE, Sample, single_layers
from qapflow.boards import load_target
from qapflow.estimate import estimate
from qapflow.estimate.calibration import Calibration
from qapflow.estimate.kernel import Kernel
from qapflow.estimate.matrix import module_of
from qapflow.frontend.archive import read_model
from qapflow.frontend.load import load
from qapflow.frontend.model import LoadOptions
from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Edge, Net
from qapflow.ir.ops import Const, Dense
from qapflow.passes import PASSES
from qapflow.plan import Choice, Plan

BOARD = "alveo-u250"


@dataclass(frozen=True)
class Followed:
    """One report row and what the whole path estimates for it; `same` tells equal statistics."""

    sample: Sample
    estimated: dict[str, tuple[float, float, float]]
    same: bool


def read_net(path: Path) -> Net:
    """Return the network of a model file after all passes."""
    net = load(read_model(path, None), LoadOptions({}, {}, None, False)).net
    for rewrite in PASSES:
        net = rewrite(net)
    return net


def in_types_of_the_report(net: Net, bits: int) -> tuple[Net, str]:
    """Return the network with the types that hls4ml's default gave the reported project.

    qapflow's own sums are as wide as they must be; the reported ones are ap_fixed<16,6>. Weights
    keep all bits of their quantizer.
    """
    nodes, name = [], ""
    for node in net.nodes:
        if isinstance(node.op, Dense):
            kind = Fixed(True, bits, bits - 1)
            shift = kind.frac - node.op.weight.type.frac
            assert shift >= 0
            codes = node.op.weight.codes << shift
            name = node.name
            made = replace(node.op, weight=Const(codes, kind), bias=None)
            nodes.append(replace(node, op=made, out=Edge(node.out.shape, WIDE)))
        else:
            nodes.append(node)
    return Net(tuple(nodes), net.outputs), name


def follow(
    folder: Path, calibration: Calibration, samples: Sequence[Sample] | None = None
) -> Iterator[Followed]:
    """Give every synthesised single layer with the figures that its model file leads to."""
    target = load_target(BOARD)
    nets: dict[str, Net] = {}
    for sample in samples if samples is not None else single_layers(folder):
        file = Path(sample.model_file).name
        if file not in nets:
            nets = {file: read_net(folder / "models" / file)}
        module = sample.module
        net, name = in_types_of_the_report(nets[file], module.kernel.weight_width)
        strategy = "latency" if module.kind == "latency" else "resource"
        choice = Choice(strategy, module.reuse_factor)  # type: ignore[arg-type]
        plan = Plan("vivado", "io_parallel", module.clock_ns, 12.5, {name: choice})
        row = estimate(net, plan, target, calibration).layers[name]
        kernel = module_of(net, net.by_name[name], plan, target).kernel
        estimated = {
            figure: (row[figure].value, row[figure].low or 0.0, row[figure].high or 0.0)
            for figure in sample.truth
        }
        yield Followed(sample, estimated, _same(kernel, module.kernel))


def _same(one: Kernel, other: Kernel) -> bool:
    """Tell whether two statistics agree; signs of biases and unread outputs play no part."""
    return one == other
