"""The instrumented C simulation counts what the interpreter says, and notices what it must not."""

import json
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from qapflow.errors import ToolFailed, UsageError
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import (
    Clip,
    Const,
    Conv,
    Dense,
    Input,
    Leaky,
    Merge,
    Pool,
    Quantize,
    Reduce,
    Reshape,
    Scan,
)
from qapflow.lower.headers import ap_types
from qapflow.lower.project import lower
from qapflow.plan import Choice, Plan
from qapflow.target import Resources, Target
from qapflow.verify.losses import Losses
from qapflow.verify.sanitize import AFTER, Lost, Sanitized, compare_losses, run_sanitized, state
from qapflow.verify.vectors import make_vectors

TOTALS = Resources(lut=1182240, ff=2364480, dsp=6840, bram18=4320, uram=960)
TARGET = Target("t", "xcvu9p-flga2104-2l-e", (), "virtex-ultrascale+", "", 5.0, TOTALS, 3, "", True)
BYTE, WEIGHT = Fixed(True, 8, 4), Fixed(True, 4, 3)

BOTH = pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])


def build(net, folder, io_type="io_parallel", choices=()):
    plan = Plan("vitis", io_type, 5.0, 12.5, dict(choices))
    lower(net, plan, TARGET, "top").write(folder)
    return folder


def random_weight(rng, *shape):
    return Const(rng.integers(-8, 8, shape), WEIGHT)


def every_mode():
    """Each overflow with a rounding of its own, signed and unsigned, divided and not."""
    rng = np.random.default_rng(0)
    builder = NetBuilder()
    edge = builder.add("fc", Dense(random_weight(rng, 6, 5)), builder.add_input("x", (6,), BYTE))
    roundings = list(Rounding)
    outputs = []
    kinds = (Fixed(True, 5, 2), Fixed(False, 4, 3), Fixed(True, 1, -1))
    for n, (mode, kind, divisor) in enumerate(product(Overflow, kinds, (1, 3))):
        quantize = Quantize(kind, roundings[n % len(roundings)], mode, divisor)
        outputs.append(builder.add(f"q {n}", quantize, edge))
    return builder.finish(tuple(outputs))


@pytest.mark.needs_gxx
@pytest.mark.needs_hls4ml
def test_every_mode_counts_as_the_interpreter(tmp_path):
    net = every_mode()
    item, counted = compare_losses(net, build(net, tmp_path), make_vectors(net, 300).codes)
    assert item.verdict == "equal", item.note
    # the range of one symmetric bit is zero alone: no cast, nothing to count
    one_bit = {"q 22", "q 23"}
    assert set(counted.quantizers) == {f"q {n}" for n in range(24)} - one_bit
    busy = [name for name, lost in counted.quantizers.items() if lost.above and lost.below]
    assert len(busy) == len(counted.quantizers)
    assert any(lost.rounded for lost in counted.quantizers.values())
    assert set(counted.edges.values()) == {Lost()}
    assert item.note == state(counted)


def layers():
    """What hls4ml and the own kernels sum in: convolution, pooling, merging, a loop."""
    rng = np.random.default_rng(1)
    builder = NetBuilder()
    edge = builder.add_input("x", (4, 4, 2), BYTE)
    pads = ((1, 1), (1, 1))
    weight, bias = random_weight(rng, 3, 3, 2, 3), random_weight(rng, 3)
    edge = builder.add("conv", Conv(weight, bias, (1, 1), pads, (1, 1)), edge)
    edge = builder.add("leaky", Leaky(Const(np.array(1), Fixed(False, 1, 2))), edge)
    first = builder.add("q1", Quantize(Fixed(True, 8, 4)), edge)
    relu = builder.add("relu", Clip(Const.exact(np.array(0.0)), None), first)
    both = builder.add("both", Merge("mul"), first, relu)
    pool = builder.add("pool", Pool("sum", (2, 2), (2, 2), ((0, 0), (0, 0))), both)
    edge = builder.add("q2", Quantize(Fixed(True, 7, 3), overflow=Overflow.WRAP), pool)
    steps = builder.add("steps", Reshape((4, 3)), edge)
    body = NetBuilder()
    h = body.add_input("h", (2,), BYTE)
    x = body.add_input("x", (3,), Fixed(True, 7, 3))
    total = body.add("xw", Dense(random_weight(rng, 3, 2)), x)
    total = body.add(
        "total", Merge("add"), total, body.add("hu", Dense(random_weight(rng, 2, 2)), h)
    )
    after = body.add("after", Quantize(BYTE, Rounding.RND, Overflow.WRAP), total)
    loop = Scan(body.finish((after, after)), (Const(np.zeros(2), BYTE),), "last")
    edge = builder.add("loop", loop, steps)
    return builder.finish((builder.add("end", Reduce("sum", (0,), True), edge),))


@pytest.mark.needs_gxx
@pytest.mark.needs_hls4ml
@BOTH
def test_layers_and_loops_lose_nothing_outside_quantizers(tmp_path, io_type):
    net = layers()
    item, counted = compare_losses(net, build(net, tmp_path, io_type), make_vectors(net, 200).codes)
    assert item.verdict == "equal", item.note
    assert set(counted.quantizers) == {"q1", "q2", "loop/after"}
    inner = counted.quantizers["loop/after"]
    assert inner.above
    assert inner.below
    assert inner.rounded
    assert counted.quantizers["q2"].above
    assert AFTER in counted.edges


def sums(choice):
    rng = np.random.default_rng(2)
    builder = NetBuilder()
    edge = builder.add("fc", Dense(random_weight(rng, 8, 4)), builder.add_input("x", (8,), BYTE))
    edge = builder.add("q", Quantize(Fixed(True, 6, 2)), edge)
    return builder.finish((edge,)), {"fc": choice}


def narrow(project, bits, name):
    """Take high bits from a type of the firmware, as a wrong proof would."""
    path = project / "firmware/defines.h"
    text = path.read_text()
    found = re.search(rf"typedef ap_fixed<(\d+),(\d+)> (\w*{name});", text)
    width, integer = int(found[1]) - bits, int(found[2]) - bits
    path.write_text(text.replace(found[0], f"typedef ap_fixed<{width},{integer}> {found[3]};"))


@pytest.mark.needs_gxx
@pytest.mark.needs_hls4ml
@pytest.mark.parametrize("choice", [Choice("latency", 1), Choice("resource", 4)])
def test_an_accumulator_that_is_too_narrow_is_caught(tmp_path, choice):
    net, choices = sums(choice)
    project = build(net, tmp_path, choices=choices)
    codes = make_vectors(net, 200).codes
    assert compare_losses(net, project, codes)[0].verdict == "equal"
    narrow(project, 2, "accum_t")
    item, counted = compare_losses(net, project, codes)
    assert item.verdict == "different"
    lost = counted.edges["fc"]
    assert lost.above
    assert lost.below
    assert f"fc: {lost.above} values went above their type in the firmware" in item.note


@pytest.mark.needs_gxx
@pytest.mark.needs_hls4ml
def test_partial_sums_that_wrap_and_come_back_are_caught(tmp_path):
    """Wrapping sums end where they should, so comparing outputs cannot see it. This can."""
    builder = NetBuilder()
    x = builder.add_input("x", (4,), BYTE)
    weight = Const(np.array([[7], [7], [-7], [-7]]), WEIGHT)
    edge = builder.add("fc", Dense(weight), x)
    net = builder.finish((builder.add("q", Quantize(Fixed(True, 6, 2)), edge),))
    project = build(net, tmp_path)
    narrow(project, 2, "accum_t")  # 889, 1778, 889, 0 in a type to 1023
    item, counted = compare_losses(net, project, {"x": np.full((1, 4), 127)})
    assert item.verdict == "different"
    assert counted.edges["fc"].above == 1
    assert counted.edges["fc"].below == 1


@pytest.mark.needs_gxx
@pytest.mark.needs_hls4ml
def test_a_quantizer_of_another_mode_is_caught(tmp_path):
    net, choices = sums(Choice("latency", 1))
    other = replace(net.by_name["q"].op, rounding=Rounding.TRN, type=Fixed(True, 6, 3))
    nodes = [replace(n, op=other) if n.name == "q" else n for n in net.nodes]
    project = build(net, tmp_path, choices=choices)
    item, _ = compare_losses(Net(tuple(nodes), net.outputs), project, make_vectors(net, 50).codes)
    assert item.verdict == "different"
    assert re.search(r"q: \d+ values above in the interpreter, \d+ in the firmware", item.note)


@pytest.mark.needs_hls4ml
def test_headers_have_the_hook_once():
    text = ap_types().contents["csim/ap_types/ap_fixed_base.h"].decode()
    assert text.count("qapflow_watch(op, *this);") == 1
    assert text.count("#ifdef QAPFLOW_SANITIZE") == 1


# Without a compiler: a program that writes given counts.

NET = Net(
    (
        Node("x", Input(), (), Edge((2,), BYTE)),
        Node("q", Quantize(Fixed(True, 4, 1)), ("x",), Edge((2,), Fixed(True, 4, 1))),
    ),
    ("q",),
)


def program(folder, text):
    (folder / "csim").mkdir()
    (folder / "csim/trace.json").write_text(json.dumps([{"edge": "q", "size": 2}]))
    path = folder / "csim/csim_sanitized"
    path.write_text(f"#!/bin/sh\ncat > $4 << 'END'\n{text}\nEND\n")
    path.chmod(0o755)
    return folder


def counts(folder, text, jobs=1, samples=2):
    inputs = {"x": np.zeros((samples, 2), np.int64)}
    return run_sanitized(program(folder, text), NET, inputs, {"config_q": "q"}, jobs=jobs)


def test_counts_of_all_processes_are_added(tmp_path):
    text = '{"quantizers": {"config_q": [1, 2, 3]}, "edges": [[0, 0, 0], [4, 0, 0]]}'
    found = counts(tmp_path, text, jobs=2, samples=128)
    assert found == Sanitized({"q": Lost(2, 4, 6)}, {"q": Lost(), AFTER: Lost(8)})


def test_a_quantizer_that_never_ran_has_zeros(tmp_path):
    found = counts(tmp_path, '{"quantizers": {}, "edges": [[0, 0, 0], [0, 0, 0]]}')
    assert found.quantizers == {"q": Lost()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the counts of the C simulation cannot be read"),
        ('{"quantizers": {}, "edges": [[0, 0, 0]]}', "the counts of the C simulation cannot"),
        ('{"quantizers": {"config_y": [0, 0, 0]}, "edges": [[0, 0, 0], [0, 0, 0]]}',
         "counts an unknown quantizer 'config_y'"),
    ],
)  # fmt: skip
def test_damaged_counts_are_named(tmp_path, text, message):
    with pytest.raises(ToolFailed, match=message):
        counts(tmp_path, text)


def test_a_project_without_the_list_of_quantizers(tmp_path):
    with pytest.raises(UsageError, match="the list of counted quantizers cannot be read"):
        compare_losses(NET, tmp_path, {"x": np.zeros((1, 2), np.int64)})


def test_every_kind_of_difference_is_said():
    from qapflow.verify.sanitize import _differences

    expected = {"q": Losses(10, 1, 2, 3)}
    same = Sanitized({"q": Lost(1, 2, 3)}, {"fc": Lost()})
    assert list(_differences(expected, same)) == []
    wrong = Sanitized({"q": Lost(0, 2, 4)}, {"fc": Lost(5, 6, 7)})
    assert list(_differences(expected, wrong)) == [
        "fc: 5 values went above their type in the firmware, where none may",
        "fc: 6 values went below their type in the firmware, where none may",
        "fc: 7 values lost low bits in the firmware, where none may",
        "q: 1 values above in the interpreter, 0 in the firmware",
        "q: 3 values rounded in the interpreter, 4 in the firmware",
    ]
