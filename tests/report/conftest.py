from dataclasses import replace

import pytest

from qapflow.report.figures import (
    Accuracy,
    Budget,
    Comparison,
    Difference,
    Figure,
    LayerReport,
    LedgerRow,
    Loss,
    Margin,
    OverflowProof,
    Report,
    Source,
    ToolRun,
)
from qapflow.synth.open.result import ModuleArea, OpenSynthesis, Strategy, Timing
from qapflow.target import Resources, Target

BOARD = Target(
    name="twodie",
    part="xctwo-1",
    aliases=(),
    family="virtex-ultrascale+",
    description="a part for tests",
    clock_ns=5.0,
    resources=Resources(lut=100_000, ff=200_000, dsp=500, bram18=100, uram=0),
    slrs=2,
    source="written by a test",
    verified=False,
)


def estimated(value, unit, low=None, high=None, note=""):
    return Figure(value, unit, Source.ESTIMATE, low, high, note)


def layer(name, op="Dense", **changes):
    plain = LayerReport(
        name=name,
        op=op,
        origin=name,
        class_name="QDense",
        regime="exact",
        reason="",
        input_shapes=((16,),),
        output_shape=(8,),
        input_types=("s16.10",),
        output_type="s20.15",
        weight_type="s6.5",
        strategy="latency",
        reuse_factor=1,
        value_range=(-8.0, 7.5),
        observed_range=(-2.0, 3.0),
        weight_range=(-0.5, 0.75),
        weights=128,
        nonzero_weights=32,
        can_overflow="",
        figures={
            "latency_cycles": estimated(2.0, "cycles", 1.0, 4.0),
            "ii_cycles": estimated(1.0, "cycles"),
            "lut": estimated(9000.0, "lut", 7000.0, 12000.0),
            "ff": estimated(500.0, "ff", 400.0, 800.0),
            "dsp": estimated(20.0, "dsp"),
            "bram18": estimated(0.0, "bram18"),
            "uram": estimated(0.0, "uram"),
        },
        inputs=("x",),
    )
    return replace(plain, **changes)


@pytest.fixture
def board():
    return BOARD


def module_area(name, count=1, status="ok", **figures):
    zero = dict.fromkeys(("lut1", "lut2", "lut3", "lut4", "lut5", "lut6", "carry", "bram18"), 0)
    zero |= dict.fromkeys(("lut", "lut_packed", "lut_memory", "ff", "muxf", "dsp", "uram"), 0)
    detail = "" if status == "ok" else "ERROR: syntax <error> in line 7"
    return ModuleArea(
        name, ("fc|1",), count, status, detail, {**zero, **figures} if status == "ok" else {},
        figures.get("lut_packed", 0) - 2, 640.5, 12.25, 140.0,
    )  # fmt: skip


def synthesis(**changes):
    """Two modules, one of which stands in the design twice."""
    stage = module_area("stage0", 2, lut=300, lut_packed=250, lut2=200, lut6=100, carry=40)
    top = module_area("top", lut=10, lut_packed=9, lut4=10, ff=77)
    plain = OpenSynthesis(
        status="ok",
        tool="yosys 9.9, not Vivado",
        family="xcup",
        effort="normal",
        top="top",
        sources_digest="ef" * 32,
        modules=(stage, top),
        totals={
            **top.figures, "lut": 610, "lut_packed": 509, "lut2": 400, "lut4": 10, "lut6": 200,
            "carry": 80, "ff": 77,
        },
        least_lut=490,
        cost_lut=1281.0,
        predicted_s=20.0,
        seconds=24.5,
        timing=(Timing("longest path", 7.08, "ns", "cells of Artix-7 without routing"),),
        strategies=(
            Strategy("plain multipliers", "every product by itself", stage.figures, 245, 9.5),
        ),
        notes=("sum of modules",),
    )  # fmt: skip
    return replace(plain, **changes)


@pytest.fixture
def report():
    """A small report with something in every section."""
    relu = layer(
        "relu <1>",
        "Quantize",
        class_name="QActivation",
        weight_type="",
        strategy="",
        reuse_factor=None,
        input_types=("s20.15",),
        output_type="u6.4",
        weight_range=None,
        weights=0,
        nonzero_weights=0,
        value_range=(0.0, 3.9375),
        observed_range=None,
        can_overflow="saturates",
        regime="chosen",
        reason="float layer",
        figures={"lut": estimated(40.0, "lut", 12.0, 120.0, "uncalibrated for vitis: quantize")},
        inputs=("fc|1",),
    )
    totals = (
        ("latency_cycles", estimated(12.0, "cycles", 9.0, 15.0)),
        ("ii_cycles", estimated(1.0, "cycles")),
        ("lut", estimated(9040.0, "lut", 7012.0, 12120.0)),
        ("ff", estimated(500.0, "ff", 400.0, 800.0)),
        ("dsp", estimated(20.0, "dsp")),
        ("dsp", Figure(18.0, "dsp", Source.CSYNTH)),
        ("bram18", estimated(0.0, "bram18")),
        ("uram", estimated(0.0, "uram")),
    )
    first = Difference("fc|1", "fc|1", 3, (0, 2), -5, -4, -0.3125, -0.25, "truncated, not rounded")
    return Report(
        stages=(("post-synthesis", (("lut", estimated(5000.0, "lut", 2000.0, 8000.0)),)),),
        model="digits & co.h5",
        model_digest="ab" * 32,
        net_digest="cd" * 32,
        qapflow_version="1.2.3",
        target=BOARD,
        clock_ns=5.0,
        backend="vitis",
        io_type="io_parallel",
        regime="chosen",
        layers=(layer("fc|1"), relu),
        totals=totals,
        fits=True,
        headroom="fits: LUT 9.0 % of the board (18.1 % of one SLR)",
        ledger=(LedgerRow("fc|1", 128, 90, 96, 128, 0, "0 % of this sparsity is used"),),
        comparisons=(
            Comparison("Keras", "interpreter", "equal", 1000, 8000, 0, 1.25),
            Comparison("interpreter", "C simulation", "different", 1000, 8000, 7, 2.5, first),
            Comparison("C simulation", "cosim", "not run", note="vitis_hls was not found"),
        ),
        accuracy=Accuracy(1000, 0.0125, 0.998, 0.91, 0.915),
        budgets=(
            Budget("DSP", 500.0, 18.0, met=True, source="csynth"),
            Budget("latency, ns", 50.0, 60.0, met=False, culprit="fc|1", source="estimate"),
        ),
        tools=(ToolRun("g++", "12.2.0", "ok", "2.5 s"), ToolRun("vitis_hls", "", "not run", "no")),
        overflow_statement="no accumulator can overflow: the network sums nothing",
        open_synthesis=synthesis(),
        notes=("stripped PruneLowMagnitude from 1 layer",),
        overflow=OverflowProof(
            premises=("each input takes any code of its type", "sums are formed in any order"),
            margins=(
                Margin("fc|1", "fc|1", "s20.15", -480_000, 510_000, 0.04, 2.7),
                Margin("mean", "mean", "s9.4", -100, 90, 1.36, 60.9),
            ),
            quantizers=3,
            losses=(
                Loss(
                    "relu <1>",
                    "relu",
                    "u6.4",
                    "clips",
                    "above",
                    "does",
                    15.5,
                    3.94,
                    12.5,
                    0,
                    (0, 2),
                    7.25,
                    3.94,
                ),
                Loss(
                    "relu <1>",
                    "relu",
                    "u6.4",
                    "rectifies",
                    "below",
                    "does",
                    -14.5,
                    0.0,
                    50.0,
                    0,
                    (0, 1),
                    -7.25,
                    0.0,
                ),
                Loss(
                    "out",
                    "out",
                    "s6.2",
                    "wraps",
                    "above",
                    "does",
                    9.5,
                    7.75,
                    0.0,
                    1,
                    (4,),
                    8.0,
                    -8.0,
                ),
                Loss("out", "out", "s6.2", "wraps", "below", "not excluded", -9.0, -8.0, 0.0),
            ),
            witness="verification/overflow_witness.npz",
            counts="the instrumented C simulation counted the same",
        ),
    )
