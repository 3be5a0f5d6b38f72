"""The proposal: walls, board, overrides, and every complaint."""

import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qapflow.boards import load_target
from qapflow.errors import UsageError
from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Clip, Const, Conv, Dense, Input
from qapflow.lower.limits import unsupported
from qapflow.plan import Choice
from qapflow.plan.overrides import parse_overrides
from qapflow.plan.propose import propose
from qapflow.plan.reuse import multiplier_shape, parallel_multiplications, valid_reuse_factors
from qapflow.plan.to_json import plan_from_json, plan_to_json

S8 = Fixed(True, 8, 4)
VU9P = load_target("xcvu9p")
PYNQ = load_target("pynq-z2")


def dense_net(*sizes, bits=6, width=8, sparsity=0.0, names=()):
    """Dense layers of these sizes, each followed by a ReLU."""
    rng = np.random.default_rng(0)
    kind = Fixed(True, width, 4)
    nodes = [Node("x", Input(), (), Edge((sizes[0],), kind), "x")]
    pairs = itertools.pairwise(sizes)
    for k, (n_in, n_out) in enumerate(pairs):
        name = names[k] if names else f"dense_{k}"
        codes = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (n_in, n_out))
        codes = np.where(rng.random(codes.shape) < sparsity, 0, codes)
        weight = Const(codes, Fixed(True, bits, bits - 1))
        out = Edge((n_out,), Fixed(True, width + bits + 8, 8))
        nodes.append(Node(name, Dense(weight), (nodes[-1].name,), out, name))
        relu = Clip(Const(np.array(0), Fixed(False, 1, 0)), None)
        nodes.append(Node(f"relu_{k}", relu, (name,), Edge((n_out,), kind), f"relu_{k}"))
    return Net(tuple(nodes), (nodes[-1].name,))


def conv_node(kernel, channels, filters, groups=1, shape=(8, 8)):
    weight = Const(np.ones((*kernel, channels // groups, filters), int), S8)
    rank = len(kernel)
    op = Conv(weight, None, (1,) * rank, ((0, 0),) * rank, (1,) * rank, groups)
    return Node("conv", op, ("x",), Edge((*shape, filters), Fixed(True, 20, 8)), "conv")


def conv_net(**kwargs):
    node = conv_node(**kwargs)
    channels = kwargs["channels"]
    shape = tuple(s + k - 1 for s, k in zip(node.out.shape[:-1], kwargs["kernel"], strict=True))
    return Net((Node("x", Input(), (), Edge((*shape, channels), S8), "x"), node), ("conv",))


def test_a_small_network_is_unrolled_in_registers():
    plan = propose(dense_net(16, 64, 32, 32, 5), VU9P)
    assert plan.io_type == "io_parallel"
    assert {c.strategy for c in plan.choices.values()} == {"latency"}
    assert {c.reuse_factor for c in plan.choices.values()} == {1}
    assert all(c.reason for c in plan.choices.values())
    assert set(plan.choices) == {"dense_0", "dense_1", "dense_2", "dense_3"}
    assert (plan.clock_ns, plan.clock_uncertainty_percent) == (5.0, 27.0)
    assert plan.notes == ()


@pytest.mark.parametrize(("backend", "factor"), [("vitis", 49), ("vivado", 98)])
def test_no_layer_crosses_the_unroll_limit_and_none_is_slower_than_needed(backend, factor):
    net = dense_net(784, 256, 128, 10)
    plan = propose(net, VU9P, backend=backend)
    limit = {"vitis": 4096, "vivado": 2048}[backend]
    for name, choice in plan.choices.items():
        node = net.by_name[name]
        assert parallel_multiplications(node, choice) <= limit
        faster = [f for f in valid_reuse_factors(node) if f < choice.reuse_factor]
        assert all(node.op.weight.codes.size / f > limit for f in faster)
    assert plan.choices["dense_0"].strategy == "resource"
    assert plan.choices["dense_0"].reuse_factor == factor
    assert plan.choices["dense_2"].strategy == "latency"
    assert f"more than the {limit}" in plan.choices["dense_0"].reason


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["vitis", "vivado"]))
def test_any_size_gets_a_choice_that_the_kernels_accept(n_in, n_out, backend):
    net = dense_net(n_in, n_out)
    choice = propose(net, PYNQ, backend=backend).choices["dense_0"]
    if choice.strategy == "resource":
        assert choice.reuse_factor in valid_reuse_factors(net.by_name["dense_0"])
    assert parallel_multiplications(net.by_name["dense_0"], choice) <= 4096


def test_a_design_too_big_for_the_board_shares_multipliers_and_says_so():
    net = dense_net(16, 64, 64, 64, 5, width=12)
    big, small = propose(net, VU9P), propose(net, PYNQ)
    assert {c.reuse_factor for c in big.choices.values()} == {1}
    assert max(c.reuse_factor for c in small.choices.values()) > 1
    assert any("fits pynq-z2" in note for note in small.notes)
    slowed = [c for c in small.choices.values() if c.reuse_factor > 1]
    assert all("fit the board" in c.reason for c in slowed)


def test_pruned_weights_make_room():
    dense = propose(dense_net(16, 64, 32, 32, 5), PYNQ)
    pruned = propose(dense_net(16, 64, 32, 32, 5, sparsity=0.9), PYNQ)
    assert {c.reuse_factor for c in pruned.choices.values()} == {1}
    assert max(c.reuse_factor for c in dense.choices.values()) > 1


def test_what_cannot_fit_is_said_not_hidden():
    tiny = load_target("minized")
    net = dense_net(64, 64, 64, 10, width=16, bits=16)
    fixed = parse_overrides({"strategy": "latency"}, "p.yml")
    plan = propose(net, tiny, overrides=fixed)
    assert any("no reuse factor is left to raise" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("net", "io_type", "words"),
    [
        (conv_net(kernel=(3, 3), channels=1, filters=4, shape=(8, 8)), "io_parallel", ""),
        (conv_net(kernel=(3, 3), channels=1, filters=8, shape=(14, 14)), "io_stream", "pixel"),
        (dense_net(5000, 4), "io_stream", "register for each"),
        (dense_net(784, 4), "io_parallel", ""),
    ],
)
def test_large_arrays_are_streamed_with_the_reason(net, io_type, words):
    plan = propose(net, VU9P)
    assert plan.io_type == io_type
    assert (words in " ".join(plan.notes)) if words else plan.notes == ()
    assert propose(net, VU9P, io_type="io_parallel").io_type == "io_parallel"


def test_goal_resources_takes_one_multiplier_an_output():
    net = dense_net(16, 64, 5)
    plan = propose(net, VU9P, goal="resources")
    assert plan.choices["dense_0"].reuse_factor == 16
    assert parallel_multiplications(net.by_name["dense_0"], plan.choices["dense_0"]) == 64


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({"kernel": (3, 3), "channels": 4, "filters": 8}, (36, 8)),
        ({"kernel": (3,), "channels": 4, "filters": 8, "shape": (8,)}, (12, 8)),
        ({"kernel": (3, 3), "channels": 4, "filters": 4, "groups": 4}, (36, 4)),
        ({"kernel": (3, 3), "channels": 8, "filters": 4, "groups": 2}, (72, 4)),
    ],
)
def test_multiplier_shape_of_convolutions(kwargs, shape):
    assert multiplier_shape(conv_node(**kwargs)) == shape


def test_depthwise_reuse_factors_divide_the_window():
    node = conv_node((3, 3), 4, 4, groups=4)
    assert valid_reuse_factors(node) == (1, 2, 3, 4, 6, 9, 12, 18, 36)


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("board", ["xcvu9p", "minized"])
def test_no_proposal_is_refused_by_the_lowering(io_type, board):
    nets = [
        dense_net(64, 200, 30),
        conv_net(kernel=(3, 3), channels=8, filters=64, shape=(4, 4)),
        conv_net(kernel=(5,), channels=6, filters=6, groups=6, shape=(8,)),
    ]
    for net in nets:
        plan = propose(net, load_target(board), io_type=io_type)
        assert unsupported(net, plan) == []


@pytest.mark.needs_hls4ml
def test_valid_reuse_factors_are_those_of_hls4ml():
    from hls4ml.backends import get_backend

    backend = get_backend("Vitis")
    for n_in, n_out in [(16, 64), (64, 32), (32, 5), (17, 13), (1, 7), (7, 1), (36, 8), (100, 10)]:
        ours = valid_reuse_factors(dense_net(n_in, n_out).by_name["dense_0"])
        assert list(ours) == backend.get_valid_reuse_factors(n_in, n_out)


def test_arguments_beat_the_proposal():
    net = dense_net(16, 64, 32)
    plan = propose(net, VU9P, strategy="resource", reuse_factor=8, clock_ns=2.5)
    assert set(plan.choices.values()) == {Choice("resource", 8)}
    assert plan.clock_ns == 2.5
    assert propose(net, VU9P, reuse_factor=4).choices["dense_0"] == Choice("resource", 4)
    only = propose(net, VU9P, strategy="resource").choices["dense_0"]
    assert only == Choice("resource", 1)
    da = propose(net, VU9P, strategy="distributed_arithmetic").choices["dense_0"]
    assert da == Choice("distributed_arithmetic", 1)


def test_a_layer_setting_beats_class_and_argument():
    net = dense_net(16, 64, 32, names=("fc1", "fc2"))
    data = {"LayerType": {"QDense": {"ReuseFactor": 16}}, "fc2": {"reuse_factor": 2}}
    plan = propose(net, VU9P, reuse_factor=4, overrides=parse_overrides(data, "p.yml"))
    assert plan.choices == {"fc1": Choice("resource", 16), "fc2": Choice("resource", 2)}


def test_a_user_choice_over_the_wall_is_kept_with_a_warning():
    plan = propose(dense_net(128, 64), VU9P, strategy="latency")
    assert plan.choices["dense_0"] == Choice("latency", 1, written_out=True)
    lanes = np.count_nonzero(dense_net(128, 64).by_name["dense_0"].op.weight.codes)
    assert f"{lanes} multiplications at once" in plan.notes[0]


def test_a_large_layer_of_few_weights_is_written_out():
    net = dense_net(128, 64, 5, sparsity=0.9)
    choice = propose(net, VU9P).choices["dense_0"]
    left = np.count_nonzero(net.by_name["dense_0"].op.weight.codes)
    assert (choice.strategy, choice.reuse_factor, choice.written_out) == ("latency", 1, True)
    assert choice.reason.startswith(f"{left} of 8192 products have a weight that is not zero")
    assert parallel_multiplications(net.by_name["dense_0"], choice) == left
    assert not propose(net, VU9P).choices["dense_1"].written_out  # small: the loop will do
    assert propose(dense_net(128, 64), VU9P).choices["dense_0"].strategy == "resource"
    assert propose(net, VU9P, strategy="resource").choices["dense_0"].strategy == "resource"


def test_convolutions_and_rows_of_rows_are_not_written_out():
    net = conv_net(kernel=(3, 3), channels=32, filters=32)
    assert propose(net, VU9P, strategy="latency").choices["conv"] == Choice("latency", 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"fc3": {"reuse_factor": 2}}, r"no layer 'fc3'[\s\S]*did you mean 'fc1'|'fc2'"),
        ({"qqq": {"reuse_factor": 2}}, r"no layer 'qqq'[\s\S]*with weights are fc1, fc2"),
        ({"relu_0": {"reuse_factor": 2}}, "'relu_0' has no weights"),
        ({"fc1": {"reuse_factor": 3}}, r"reuse factor 3 is not valid here.*2 or 4[\s\S]*layer fc1"),
        (
            {"fc1": {"strategy": "da", "reuse_factor": 2}},
            "distributed arithmetic has reuse factor 1 only",
        ),
        ({"fc1": {"strategy": "latency", "reuse_factor": 9999}}, "there are 1024 products"),
        (
            {"LayerType": {"QDens": {"ReuseFactor": 2}}},
            r"class 'QDens'[\s\S]*did you mean 'qdense'",
        ),
        ({"LayerType": {"LSTM": {"ReuseFactor": 2}}}, r"class 'LSTM'[\s\S]*the model has dense"),
        ({"ReuseFactor": 5}, r"not valid in every layer \(fc1 16x64: nearest 4 or 8[\s\S]*4 or 8"),
        ({"Backend": "Vivado"}, r"plan file asks for the vivado[\s\S]*--backend vivado"),
    ],
)
def test_impossible_choices_are_refused_with_the_nearest(data, message):
    net = dense_net(16, 64, 32, names=("fc1", "fc2"))
    with pytest.raises(UsageError, match=message):
        propose(net, VU9P, overrides=parse_overrides(data, "p.yml"))


def test_a_plan_survives_json():
    plan = propose(dense_net(784, 256, 10), VU9P, io_type="io_stream")
    text = plan_to_json(plan)
    assert plan_from_json(text) == plan
    assert plan_to_json(plan_from_json(text)) == text


@pytest.mark.parametrize(
    "change",
    [
        {"backend": "quartus"},
        {"io_type": 3},
        {"clock_ns": "5"},
        {"choices": {"a": {"strategy": "latency", "reuse_factor": 0}}},
        {"choices": {"a": {"strategy": "fast", "reuse_factor": 1}}},
        {"choices": {"a": {"strategy": "resource", "reuse_factor": 1, "written_out": True}}},
        {"choices": {"a": {"strategy": "latency", "reuse_factor": 1, "written_out": "yes"}}},
        {"choices": {"a": {"speed": 1}}},
        {"choices": []},
        {"extra": 1},
    ],
)
def test_a_broken_plan_is_refused(change):
    data = json.loads(plan_to_json(propose(dense_net(4, 4), VU9P)))
    with pytest.raises(UsageError, match="the plan cannot be read"):
        plan_from_json(json.dumps({**data, **change}))
    with pytest.raises(UsageError, match="the plan cannot be read"):
        plan_from_json("{")
    with pytest.raises(UsageError, match="the plan cannot be read"):
        plan_from_json("[]")


def wide_net():
    """4096 x 4096, without the cost of random weights."""
    kind = Fixed(True, 8, 4)
    weight = Const(np.ones((4096, 4096), np.int8), Fixed(True, 2, 0))
    x = Node("x", Input(), (), Edge((4096,), kind), "x")
    return Net(
        (x, Node("big", Dense(weight), ("x",), Edge((4096,), Fixed(True, 20, 4)), "big")), ("big",)
    )


def test_an_absurd_design_is_stopped_with_the_plan_that_works():
    net = wide_net()
    with pytest.raises(UsageError, match="16777216 multiplications side by side") as caught:
        propose(net, VU9P, strategy="latency")
    assert "big" in caught.value.at
    choice = propose(net, VU9P).choices["big"]
    assert choice.strategy == "resource"
    given_factor = int(re.search(r"reuse factor (\d+)", caught.value.hint)[1])
    plan = propose(net, VU9P, strategy="resource", reuse_factor=given_factor)
    assert parallel_multiplications(net.by_name["big"], plan.choices["big"]) <= 4096
    assert unsupported(net, plan) == []


def test_absurdly_many_registers_are_stopped_and_streams_proposed():
    x = Node("x", Input(), (), Edge((224, 224, 3), S8), "x")
    relu = Node("r", Clip(Const.exact(np.array(0.0)), None), ("x",), Edge((224, 224, 3), S8), "r")
    net = Net((x, relu), ("r",))
    with pytest.raises(UsageError, match="a register for each of 150528 values") as caught:
        propose(net, VU9P, io_type="io_parallel")
    assert "io_stream" in caught.value.hint
    assert propose(net, VU9P).io_type == "io_stream"
