import numpy as np
import pytest

from qapflow.boards import load_target
from qapflow.frontend.model import LayerRecord
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Const, Dense, Quantize, Reshape
from qapflow.plan import Choice, Plan
from qapflow.report import FORMATS, read_report, render
from qapflow.report.assemble import Findings, assemble, observe
from qapflow.report.figures import FIGURES, Comparison, Figure, Source
from qapflow.report.plots import latency_plot, resource_plot
from qapflow.steps.settings import Budgets
from qapflow.verify.overflow import prove_overflow

BYTE = Fixed(True, 8, 4)


@pytest.fixture
def net():
    builder = NetBuilder()
    edge = builder.add_input("x", (2, 2), BYTE)
    edge = builder.add("flat", Reshape((4,)), edge)
    weight = Const(np.array([[1, 0], [0, 2], [0, 0], [3, -4]]), Fixed(True, 4, 2))
    edge = builder.add("fc", Dense(weight), edge, origin="fc")
    edge = builder.add("relu", Quantize(Fixed(False, 4, 2)), edge, origin="relu")
    return builder.finish((edge,))


def records():
    return [
        LayerRecord("fc", "QDense", "fc", "exact", "", 8, 4, 4),
        LayerRecord("relu", "Activation", "relu", "chosen", "float ReLU"),
    ]


def build(net, findings=None, board="xcvu9p", choice=None, **limits):
    plan = Plan("vitis", "io_parallel", 4.0, 12.5, {"fc": choice or Choice("latency", 1)}, ("why",))
    return assemble(
        net, plan, load_target(board), records(), model="m.h5", model_digest="0" * 64,
        findings=findings, budgets=Budgets(**limits),
    )  # fmt: skip


def test_layers_are_the_hardware_nodes(net):
    report = build(net)
    assert [layer.name for layer in report.layers] == ["fc", "relu"]
    fc, relu = report.layers
    assert (fc.inputs, fc.input_shapes, fc.output_shape) == (("x",), ((4,),), (2,))
    assert (fc.weight_type, fc.weights, fc.nonzero_weights) == ("s4.2", 8, 4)
    assert fc.weight_range == (-1.0, 0.75)
    assert (fc.class_name, fc.regime, fc.strategy, fc.reuse_factor) == (
        "QDense",
        "exact",
        "latency",
        1,
    )
    assert (relu.regime, relu.reason, relu.can_overflow) == (
        "chosen",
        "float ReLU",
        "may saturate",
    )
    assert relu.value_range == (0.0, 3.75)
    assert relu.weight_range is None
    assert report.regime == "chosen"
    assert report.notes == ("why",)


def test_the_proof_of_the_build_decides_what_overflows(net):
    proof, _ = prove_overflow(net, {"x": np.full((1, 2, 2), 127)})
    assert build(net, Findings(overflow=proof)).layers[1].can_overflow == "saturates"
    assert build(net).overflow.quantizers == 1


def test_totals_have_every_figure_in_order(net):
    assert tuple(name for name, _ in build(net).totals) == FIGURES


def test_figures_of_tools_stand_beside_estimates(net):
    csynth = Figure(77.0, "lut", Source.CSYNTH)
    found = Findings(totals=(("lut", csynth),), layer_figures={"fc": {"lut": csynth}})
    report = build(net, found)
    assert [f.source.value for n, f in report.totals if n == "lut"] == ["estimate", "csynth"]
    assert report.layers[0].figures["lut"] == csynth
    assert report.layers[0].figures["ff"].source is Source.ESTIMATE


def test_an_unverified_board_is_noted(net):
    board = next(
        t.name for t in map(load_target, ("vck190", "vek280", "xcku115")) if not t.verified
    )
    assert "not verified by a tool's report" in build(net, board=board).notes[0]


def test_budgets_and_verdict(net):
    assert build(net, max_dsp=0).passed
    assert not build(net, max_latency_ns=0.5).passed
    different = Comparison("interpreter", "C simulation", "different", 1, 1, 1)
    assert not build(net, Findings(comparisons=(different,))).passed


def test_observed_ranges_are_values(net):
    codes = {"fc": np.array([[-32, 16]]), "relu": np.zeros((0, 2), np.int64)}
    ranges = observe(net, codes)
    assert ranges == {"fc": (-0.5, 0.25)}
    assert build(net, Findings(observed=ranges)).layers[0].observed_range == (-0.5, 0.25)


def test_every_format_renders_and_json_returns(net):
    report = build(net)
    for form in FORMATS:
        assert "m.h5" in render(report, form)
    assert read_report(render(report, "json")) == report


def test_ledger_follows_the_plan(net):
    assert build(net).ledger[0].multiplications_removed == 4
    assert build(net, choice=Choice("resource", 4)).ledger[0].multiplications_removed == 0


def test_layers_follow_each_other_in_the_latency_plot(net):
    report = build(net, choice=Choice("resource", 4), board="pynq-z2")
    first, second = latency_plot(report).rows
    assert second.bars[0].x == pytest.approx(first.bars[0].x + first.bars[0].width, abs=0.02)


def test_stacked_bars_add_up_to_the_total(net):
    report = build(net, board="pynq-z2")
    row = resource_plot(report).rows[0]
    ends = [bar.x + bar.width for bar in row.bars]
    assert [bar.x for bar in row.bars[1:]] == pytest.approx(ends[:-1], abs=0.02)
