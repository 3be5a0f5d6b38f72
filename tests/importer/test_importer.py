from fractions import Fraction

import numpy as np
import pytest

from qapflow.errors import ModelUnsupported, UsageError
from qapflow.importer import import_project, read_project
from qapflow.importer.sources import parse_type
from qapflow.importer.weights import cast_values
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Dense
from tests.importer.projects import write_project

WEIGHTS = [[0.5, -0.25], [0.0, 0.75], [-0.96875, 0.03125]]
BIAS = [0.125, -0.5]


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path, WEIGHTS, BIAS)


def test_a_project_computes_what_its_firmware_computes(project):
    found = import_project(project)
    codes = np.arange(-120, 120, 7).repeat(3).reshape(-1, 3)[:, ::1].copy()
    codes[:, 1] = codes[::-1, 0]
    made = interpret(found.net, {found.net.inputs[0].name: codes})[found.net.outputs[0]]
    exact = codes / 16 @ np.array(WEIGHTS) + BIAS
    summed = (np.floor(exact * 2**11).astype(np.int64) + 2**19) % 2**20 - 2**19
    cut = ((summed >> 1) + 2**15) % 2**16 - 2**15  # ap_fixed<16,6> of ap_fixed<20,9>
    relu = np.maximum(cut, 0) / 2**10 * 16
    assert np.array_equal(made, np.clip(np.rint(relu), 0, 63).astype(np.int64))


@pytest.mark.parametrize(("strategy", "reuse"), [("latency", 1), ("resource", 3)])
def test_plan_and_weights_are_those_of_the_project(tmp_path, strategy, reuse):
    found = import_project(write_project(tmp_path, WEIGHTS, BIAS, strategy=strategy, reuse=reuse))
    ((name, choice),) = found.plan.choices.items()
    assert (choice.strategy, choice.reuse_factor) == (strategy, reuse)
    assert (found.plan.backend, found.plan.io_type, found.plan.clock_ns) == (
        "vivado",
        "io_parallel",
        5.0,
    )
    op = found.net.by_name[name].op
    assert isinstance(op, Dense)
    assert np.array_equal(op.weight.codes, np.array(WEIGHTS) * 32)
    assert found.target.name == "alveo-u250"
    assert found.layer_of == {"config2": name}


def test_products_that_the_accumulator_cuts_are_cut_one_by_one(tmp_path):
    folder = write_project(tmp_path, WEIGHTS, BIAS, accum="ap_fixed<12,6>")
    found = import_project(folder)
    codes = np.random.default_rng(1).integers(-128, 128, (50, 3))
    made = interpret(found.net, {found.net.inputs[0].name: codes})[found.net.outputs[0]]
    products = np.floor(codes[:, :, None] / 16 * np.array(WEIGHTS) * 64)
    summed = (products.sum(axis=1) + np.array(BIAS) * 64).astype(np.int64)
    relu = np.maximum((summed + 2**11) % 2**12 - 2**11, 0) / 64 * 16
    assert np.array_equal(made, np.clip(np.rint(relu), 0, 63).astype(np.int64))


def test_estimates_see_the_layer_whose_products_are_cut(tmp_path):
    folder = write_project(tmp_path, WEIGHTS, BIAS, accum="ap_fixed<12,6>")
    found = read_project(folder)
    assert found.net.by_name["fc1"].out.type == Fixed(True, 12, 6)
    assert found.inexact[0].reason == "its accumulator drops 3 bits of every product"


def test_a_saturating_accumulator_is_exact_only_where_nothing_saturates(tmp_path):
    wide = write_project(tmp_path / "a", WEIGHTS, BIAS, accum="ap_fixed<20,9,AP_TRN,AP_SAT,0>")
    assert import_project(wide).inexact == ()
    folder = write_project(tmp_path / "b", WEIGHTS, BIAS, accum="ap_fixed<12,3,AP_TRN,AP_SAT,0>")
    with pytest.raises(ModelUnsupported, match="saturates after every addition"):
        import_project(folder)


def test_unknown_layers_are_refused_by_name(tmp_path):
    folder = write_project(tmp_path, WEIGHTS, BIAS, activation="silu")
    with pytest.raises(ModelUnsupported, match=r"relu1 \(silu\): the importer does not know"):
        import_project(folder)
    assert read_project(folder).unknown[0].layer == "relu1"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: (p / "firmware/defines.h").unlink(), "this is no hls4ml project"),
        (lambda p: (p / "firmware/defines.h").write_text("\x00" * 50), "defines.h names no types"),
        (lambda p: (p / "hls4ml_config.yml").write_text("a: [b"), "the configuration is not YAML"),
        (lambda p: (p / "hls4ml_config.yml").write_text("a: b"), "this is no hls4ml configuration"),
        (lambda p: (p / "firmware/weights/w2.h").write_text("int x;"), "holds no array of weights"),
        (
            lambda p: (p / "firmware/weights/w2.h").write_text("t w2[1] = {0.5};"),
            "1 weights in w2 for a layer of 6",
        ),
        (lambda p: (p / "firmware/parameters.h").write_text(""), "parameters.h has no"),
    ],
)
def test_damaged_projects_are_named(project, damage, said):
    damage(project)
    with pytest.raises(UsageError, match=said):
        import_project(project)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ap_fixed<16,6>", (Fixed(True, 16, 10), Rounding.TRN, Overflow.WRAP, 1)),
        (
            "ap_ufixed<8,2,AP_RND_CONV,AP_SAT,0>",
            (Fixed(False, 8, 6), Rounding.RND_CONV, Overflow.SAT, 1),
        ),
        ("nnet::array<ap_int<4>, 8*1>", (Fixed(True, 4, 0), Rounding.TRN, Overflow.WRAP, 8)),
    ],
)
def test_types(text, kind):
    found = parse_type(text)
    assert (found.fixed, found.rounding, found.overflow, found.lanes) == kind


def test_other_types_are_no_numbers():
    assert parse_type("std::tuple<int>") is None
    assert parse_type("ap_fixed<W,I>") is None


def test_literals_are_cast_as_the_compiler_casts_them():
    kind = parse_type("ap_fixed<6,1>")
    values = [Fraction("0.99"), Fraction("-0.99"), Fraction("0.03124"), Fraction("1.0")]
    assert cast_values(values, kind).tolist() == [31, -32, 0, -32]
