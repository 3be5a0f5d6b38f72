import numpy as np
import pytest

from qapflow.errors import UsageError
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding, cast
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Const, Dense, Quantize
from qapflow.verify import compare as module
from qapflow.verify.compare import compare, compare_csim, find_cause, first_difference

ACT = Fixed(True, 5, 2)


def net():
    build = NetBuilder()
    x = build.add_input("x", (4,), Fixed(True, 8, 4))
    weight = Const(np.random.default_rng(0).integers(-8, 8, (4, 3)), Fixed(True, 4, 3))
    fc = build.add("fc_dense", Dense(weight), x, origin="fc")
    act = build.add("act_quantize", Quantize(ACT), fc, origin="act")
    return build.finish((act,))


def edges(count=50):
    x = np.random.default_rng(1).integers(-128, 128, (count, 4))
    return interpret(net(), {"x": x}, keep="all")


def test_equal_outputs_are_counted():
    left = edges()
    got = compare("one", "two", net(), left, dict(left), seconds=1.5, note="n")
    assert (got.left, got.right, got.verdict) == ("one", "two", "equal")
    assert (got.samples, got.values, got.mismatches) == (50, 150, 0)
    assert (got.seconds, got.first, got.note) == (1.5, None, "n")


def test_one_wrong_code_is_found_and_named():
    left = edges()
    right = {k: v.copy() for k, v in left.items()}
    right["act_quantize"][17, 2] += 1
    got = compare("one", "two", net(), left, right)
    assert (got.verdict, got.mismatches) == ("different", 1)
    first = got.first
    assert (first.edge, first.layer, first.sample, first.index) == (
        "act_quantize",
        "act",
        17,
        (2,),
    )
    code = int(left["act_quantize"][17, 2])
    assert (first.expected_code, first.actual_code) == (code, code + 1)
    assert (first.expected, first.actual) == (code / 4, (code + 1) / 4)


def test_the_first_edge_in_topological_order_is_blamed():
    left = edges()
    right = {k: v.copy() for k, v in left.items()}
    right["fc_dense"][[3, 9]] *= -1
    right["act_quantize"][[3, 9]] += 1
    asked = []

    def trace(samples):
        asked.extend(samples.tolist())
        return tuple({k: v[samples] for k, v in side.items()} for side in (left, right))

    got = compare("one", "two", net(), left, right, trace=trace)
    assert asked == [3, 9]
    assert got.mismatches == 6
    assert (got.first.edge, got.first.layer, got.first.sample) == ("fc_dense", "fc", 3)
    assert got.first.cause == "sign: every value is negated"


def test_a_difference_that_does_not_come_back_is_not_hidden():
    left = edges()
    right = {k: v.copy() for k, v in left.items()}
    right["act_quantize"][5, 0] += 1

    def trace(samples):
        same = {k: v[samples] for k, v in left.items()}
        return same, same

    got = compare("one", "two", net(), left, right, trace=trace)
    assert got.verdict == "different"
    assert got.first.sample == 5
    assert got.first.cause.startswith("not deterministic")


def test_different_shapes_are_an_error():
    left = edges()
    with pytest.raises(UsageError, match=r"one gives 'act_quantize' as \(50, 3\), two as"):
        compare("one", "two", net(), left, {"act_quantize": left["act_quantize"][:, :2]})


@pytest.mark.parametrize("rounding", [r for r in Rounding if r is not Rounding.RND_CONV])
def test_another_rounding_mode_is_recognised(rounding):
    left = edges(2000)
    frac = net().edge("fc_dense").type.frac
    wrong = cast(left["fc_dense"], frac, ACT, rounding, Overflow.SAT)
    cause = find_cause(net(), net().by_name["act_quantize"], left, left["act_quantize"], wrong)
    assert cause == f"rounding: computed with {rounding}, SAT instead of RND_CONV, SAT"


@pytest.mark.parametrize("mode", ["WRAP", "SAT_SYM", "SAT_ZERO"])
def test_another_overflow_mode_is_recognised(mode):
    left = edges(2000)
    frac = net().edge("fc_dense").type.frac
    wrong = cast(left["fc_dense"], frac, ACT, Rounding.RND_CONV, Overflow(mode))
    cause = find_cause(net(), net().by_name["act_quantize"], left, left["act_quantize"], wrong)
    assert cause == f"overflow: computed with RND_CONV, {mode} instead of RND_CONV, SAT"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c, w: c + (c > 0) * (1 << w), "overflow: off by a multiple of 2**"),
        (lambda c, w: c * 0, "all zero"),
        (lambda c, w: c + (c % 3 == 0), "rounding: off by one in the last place"),
        (lambda c, w: -c, "sign: every value is negated"),
        (lambda c, w: c * 4, "binary point: shifted by 2 bits"),
        (lambda c, w: c[:, ::-1], "layout: the same values in another order"),
        (lambda c, w: np.where(c > 0, (1 << (w - 1)) - 1, c), "overflow: stuck at an end"),
        (lambda c, w: c * 3 + 7, "this node computes something else"),
    ],
)
def test_causes_in_words(change, words):
    left = edges()
    node = net().by_name["fc_dense"]
    wrong = change(left["fc_dense"], node.out.type.width)
    assert find_cause(net(), node, left, left["fc_dense"], wrong).startswith(words)


def test_edges_one_side_lacks_are_passed_over():
    left = edges()
    samples = np.arange(50)
    assert first_difference(net(), left, {}, samples) is None


def test_compare_csim_blames_the_edge_the_program_got_wrong(tmp_path, monkeypatch):
    def wrong(project, net, inputs, *, trace=False, jobs=None, timeout=0):
        made = dict(interpret(net, inputs, keep="all"))
        made["fc_dense"] = made["fc_dense"] + 1
        made["act_quantize"] = made["act_quantize"] + 1
        return made if trace else {"act_quantize": made["act_quantize"]}

    monkeypatch.setattr(module, "run_csim", wrong)
    x = {"x": np.zeros((3, 4), np.int64)}
    got = compare_csim(net(), tmp_path, x)
    assert (got.left, got.right, got.verdict) == ("interpreter", "C simulation", "different")
    assert (got.first.edge, got.first.cause) == (
        "fc_dense",
        "rounding: off by one in the last place",
    )
    assert got.mismatches == 9
