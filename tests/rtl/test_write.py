"""What is written for a network, and the stages its logic is cut into."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qapflow.boards import load_target
from qapflow.errors import CheckFailed
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.rtl import symbols
from qapflow.rtl.design import Port
from qapflow.rtl.evaluate import check_trace
from qapflow.rtl.pipeline import divide
from qapflow.rtl.ports import make_ports, module_name, part_names
from qapflow.rtl.schedule import own_delays, schedule, stage_budget
from qapflow.rtl.sim.transfers import pack, unpack
from qapflow.rtl.symbols import Fabric
from qapflow.rtl.trace import trace
from tests.lower.conftest import corner_codes
from tests.rtl.designs import corners, perceptron, write

alkaid = pytest.mark.needs_alkaid


@alkaid
@pytest.mark.parametrize(
    "path",
    [
        "src/core.v", "src/core_s0_fc0.v", "core_axis.v", "core.xdc", "vivado.tcl",
        "src/core.vhd", "src/core_s0_fc0.vhd",
    ],
)  # fmt: skip
def test_text_of_a_small_network(tmp_path, golden, path):
    language = "vhdl" if path.endswith(".vhd") else "verilog"
    design, _, _ = write(perceptron((2, 2, 1)), tmp_path, language, clock_ns=2.0)
    assert design.files[path].decode() == golden


@alkaid
def test_the_notice_names_what_was_copied(tmp_path):
    design, _, _ = write(perceptron(), tmp_path)
    copied = {path for path in design.files if path.startswith("src/alkaid/")}
    notice = design.files["NOTICE"].decode()
    assert copied
    assert all(path in notice for path in copied)
    assert "LGPL" in notice
    assert b"GNU LESSER GENERAL PUBLIC LICENSE" in design.files["LICENSE.LGPL-3.0.txt"]


@alkaid
def test_modules_cover_all_files_and_the_whole_cost(tmp_path):
    design, _, _ = write(corners(), tmp_path, clock_ns=1.2)
    *pieces, whole = design.modules
    sources = {path for path in design.files if path.startswith("src/")}
    assert set(whole.files) == sources
    assert whole.name == design.top
    assert {path for piece in pieces for path in piece.files} == sources - {whole.files[0]}
    assert sum(piece.cost_lut for piece in pieces) == pytest.approx(design.cost_lut)


@alkaid
@pytest.mark.parametrize("units", [0.5, 2.0, 3.3, 100.0])
def test_no_stage_is_deeper_than_the_clock_allows(units):
    logic = trace(perceptron((8, 8, 4), zeros=0.2), Fabric()).logic
    delays, found = own_delays(logic.ops), schedule(logic.ops, units)
    assert max(found.depths) <= max(units, *delays) + 1e-9
    for place, op in enumerate(logic.ops):
        assert all(found.stages[i] <= found.stages[place] for i in op.input_ids)
    fewer = schedule(logic.ops, 1e9)
    assert (fewer.count, found.count > 1) == (1, units < 100)


@alkaid
def test_layers_of_the_logic_follow_each_other():
    net = perceptron((8, 8, 4), zeros=0.2)
    traced = trace(net, Fabric())
    found = divide(traced, schedule(traced.logic.ops, 3.0))
    owners, ops = found.traced.owners, found.traced.logic.ops
    assert traced.layers == ("fc0", "relu0", "fc1")
    assert set(owners) == {0, 1, 2}
    assert all(owners[i] <= owners[n] for n, op in enumerate(ops) for i in op.input_ids)
    assert [op for n, op in enumerate(ops) if owners[n] == 1]


@alkaid
def test_logic_that_computes_something_else_is_not_written():
    net = perceptron()
    codes = corner_codes(net, 20)
    expected = {name: values.copy() for name, values in interpret(net, codes).items()}
    traced = trace(net, Fabric())
    assert check_trace(net, traced, codes, expected) == 60
    expected["fc1"][7, 2] += 1
    with pytest.raises(CheckFailed, match=r"value 2 of output 'fc1' in sample 7"):
        check_trace(net, traced, codes, expected)


def test_names_are_identifiers_that_no_language_reserves():
    inputs, outputs = make_ports(corners())
    names = [port.name for port in (*inputs, *outputs)]
    assert len({name.lower() for name in names}) == len(names) == 11
    assert not {"module", "always", "signal"} & set(names)
    assert module_name("table") == "table_2"
    assert module_name("Process") != "Process"
    assert part_names(["a", "b", "a", "A"]) == ("a", "b", "a_2", "A_x")


def test_faster_families_hold_more_logic_in_a_cycle():
    boards = ["pynq-z2", "genesys2", "xcku115", "xcvu9p"]
    units = [stage_budget(load_target(name), 5.0, 12.5).units for name in boards]
    assert units == sorted(units)
    assert stage_budget(load_target("xcvu9p"), 0.2, 27.0).units == 0


widths = st.builds(Fixed, st.booleans(), st.integers(1, 75), st.just(0))


@given(kind=widths, values=st.integers(1, 5), beats=st.integers(1, 3), data=st.data())
def test_transfers_hold_every_code(kind, values, beats, data):
    port = Port("x", "x", kind, (values,), beats)
    codes = st.lists(
        st.integers(kind.lo, kind.hi), min_size=2 * beats * values, max_size=2 * beats * values
    )
    made = np.array(data.draw(codes), object).reshape(2, beats, values)
    made = made if kind.width > 62 else made.astype(np.int64)
    words = pack(port, made)
    assert words.shape == (2 * beats, -(-port.bits // 32))
    whole = int.from_bytes(words[0].tobytes(), "little")
    assert whole % (1 << kind.width) == int(made[0, 0, 0]) % (1 << kind.width)
    assert np.array_equal(unpack(port, words, (beats, values)), made)


@alkaid
def test_sharing_does_not_deepen_sums_without_end(monkeypatch):
    net = perceptron((16, 24, 4), zeros=0)
    shallow = trace(net, Fabric())
    monkeypatch.setattr(symbols, "EXTRA_DEPTH", -1)
    assert trace(net, Fabric()).delay > 1.2 * shallow.delay
