"""What the constant matrices of a network cost in LUTs, built in two ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qapflow.ir.digits import count_digits
from qapflow.ir.net import Net
from qapflow.rtl.design import Module
from qapflow.rtl.kernels import Kernel, kernels_of, plain_kernel, shared_kernel
from qapflow.synth.open.cells import Cells
from qapflow.synth.open.result import Strategy
from qapflow.synth.open.run import How, Listener, run_modules
from qapflow.synth.open.sources import Sources
from qapflow.synth.open.unit import Unit

SHARED = "distributed arithmetic"
PLAIN = "plain multipliers, adder trees"
WORDS = {
    SHARED: "shifts and additions shared between the outputs of a layer, as in this build's RTL",
    PLAIN: "one constant product a weight and a tree of additions an output, nothing shared: what "
    "a Latency strategy in HLS unrolls to before its own optimisation",
}
COMMON = "constant matrices of {count} alone: no biases, no registers, no DSP"


def compare_strategies(net: Net, how: How, folder: Path, listen: Listener) -> tuple[Strategy, ...]:
    """Synthesise every constant matrix of `net` as shared shifts and adds, and as plain products.

    Both compute the same sums, without registers and without DSP. A matrix that a sample needs in
    several places (a convolution) counts as often.

    Raises:
        ToolMissing: alkaid is not installed.
        ToolFailed: the engine cannot be started.
    """
    kernels = kernels_of(net)
    if not kernels:
        return ()
    how = replace(how, mapping=replace(how.mapping, dsp=False, effort="normal"))
    _, units, _ = run_modules(kernel_sources(kernels), how, folder, listen)
    return tuple(
        _strategy(name, [(k.places, units[f"{prefix}_{k.name}"]) for k in kernels])
        for name, prefix in ((SHARED, "shared"), (PLAIN, "plain"))
    )


def kernel_sources(kernels: Sequence[Kernel]) -> Sources:
    """Return both forms of every matrix as modules of one set of files."""
    files: dict[str, bytes] = {}
    modules = []
    for kernel in kernels:
        cost, texts = shared_kernel(kernel, f"shared_{kernel.name}")
        files |= texts
        modules.append(Module(f"shared_{kernel.name}", (kernel.layer,), tuple(texts), cost))
        path = f"plain_{kernel.name}.v"
        files[path] = plain_kernel(kernel, f"plain_{kernel.name}")
        modules.append(Module(f"plain_{kernel.name}", (kernel.layer,), (path,), _plain_lut(kernel)))
    return Sources("", tuple(modules), files)


def _plain_lut(kernel: Kernel) -> float:
    """Guess LUTs of plain products, for the time they take: an addition a signed digit."""
    digits = int(count_digits(kernel.codes).sum())
    return float(max(0, digits - kernel.codes.shape[1]) * (kernel.source.width + 2))


def _strategy(name: str, parts: Sequence[tuple[int, Unit]]) -> Strategy:
    figures = Counter(Cells({}).figures())
    least = 0
    missing = sum(unit.cells is None for _, unit in parts)
    for places, unit in parts:
        if unit.cells is not None:
            figures.update({key: places * n for key, n in unit.cells.figures().items()})
            least += places * (unit.cells.least + unit.cells.lut_memory)
    count = f"{len(parts)} layer{'s' * (len(parts) != 1)}"
    detail = f"{WORDS[name]}; {COMMON.format(count=count)}"
    if missing:
        detail = f"PARTIAL, {missing} of {len(parts)} without a result; {detail}"
    seconds = sum(unit.seconds for _, unit in parts)
    return Strategy(name, detail, dict(figures), least, seconds)
