"""The AXI4-Stream shell between sources and sinks that follow the protocol (cocotbext-axi)."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Const, Conv
from qapflow.plan import Plan
from qapflow.rtl.forms import Order, write_design
from qapflow.rtl.sim.tools import find_simulator
from qapflow.rtl.sim.transfers import pack
from tests.lower.conftest import corner_codes
from tests.rtl.designs import TARGET, corners, perceptron, write

pytestmark = [pytest.mark.needs_alkaid, pytest.mark.needs_cocotb, pytest.mark.needs_icarus]


def frames(ports, codes):
    """Return frames as hexadecimal bytes: one a sample, its transfers padded to whole bytes."""
    found = {}
    for port in ports:
        rows, size = pack(port, codes[port.edge]), -(-port.bits // 8)
        beats = [row.tobytes()[:size] for row in rows]
        ends = range(0, len(beats), port.beats)
        found[port.name] = [b"".join(beats[i : i + port.beats]).hex() for i in ends]
    return found


def run(design, folder, codes, expected, simulator):
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    sources = [folder / path for path in design.sources] + [folder / f"{design.top}_axis.v"]
    data = {"inputs": frames(design.inputs, codes), "outputs": frames(design.outputs, expected)}
    (folder / "frames.json").write_text(json.dumps(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = get_runner(simulator)
        top = f"{design.top}_axis"
        runner.build(sources=sources, hdl_toplevel=top, build_dir=folder / "cocotb", always=True)
        results = runner.test(
            hdl_toplevel=top,
            test_module="axis_bench",
            extra_env={"QAPFLOW_FRAMES": str(folder / "frames.json")},
        )
    return get_results(results)


def convolve(kernel):
    return Conv(kernel, None, (1, 1), ((1, 1), (1, 1)), (1, 1))


def streaming(folder):
    """Write a small convolution in its streaming form: several transfers a sample."""
    rng = np.random.default_rng(3)
    builder = NetBuilder()
    image = builder.add_input("image", (5, 4, 2), Fixed(True, 5, 2))
    kernel = Const(rng.integers(-7, 8, (3, 3, 2, 3)), Fixed(True, 4, 2))
    net = builder.finish((builder.add("conv", convolve(kernel), image),))
    codes = corner_codes(net, 12)
    expected = interpret(net, codes)
    plan = Plan("vitis", "io_stream", 5.0, 27.0, {})
    design, _ = write_design(net, plan, TARGET, Order("stream", form="streaming"))
    for path, content in design.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return design, codes, expected


@pytest.mark.parametrize("make", ["corners", "perceptron", "streaming"])
def test_frames_pass_bit_for_bit_under_stalls(tmp_path, monkeypatch, make):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    made = {"corners": corners, "perceptron": perceptron}
    design, codes, expected = (
        write(made[make](), tmp_path, clock_ns=2.0) if make in made else streaming(tmp_path)
    )
    assert run(design, tmp_path, codes, expected, find_simulator("icarus").name) == (2, 0)
