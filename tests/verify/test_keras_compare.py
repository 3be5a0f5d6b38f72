from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qapflow.frontend.model import LayerRecord
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Const, Dense, Quantize
from qapflow.verify import keras_compare as module
from qapflow.verify.keras_compare import compare_keras
from qapflow.verify.keras_layers import clear_names, exact_frontier, matched
from qapflow.verify.keras_run import KerasResult

PATH = Path("model.h5")


RECORDS = (
    LayerRecord("x", "InputLayer", "x", "exact"),
    LayerRecord("inner/fc", "QDense", "fc", "exact"),
    LayerRecord("act", "QActivation", "act", "exact"),
)


def net():
    build = NetBuilder()
    x = build.add_input("x", (4,), Fixed(True, 8, 4))
    weight = Const(np.random.default_rng(0).integers(-8, 8, (4, 3)), Fixed(True, 4, 3))
    fc = build.add("fc", Dense(weight), x)
    return build.finish((build.add("act", Quantize(Fixed(True, 8, 2)), fc),))


def codes(count=60):
    return {"x": np.random.default_rng(1).integers(-128, 128, (count, 4))}


class Keras:
    """Stands in for `run_keras`: computes as the network does, then changes what it is told to."""

    def __init__(self, net, single=None, double=None, refused=("", "")):
        self.net = net
        self.changes = {False: single or (lambda layers: None), True: double}
        self.refused = refused
        self.asked = []

    def __call__(self, path, inputs, *, weights=None, float64=False, layers=None, timeout=0):
        self.asked.append((len(inputs["x"]), float64, layers))
        if self.refused[float64]:
            return KerasResult(refused=self.refused[float64])
        made = {k: kind.encode(inputs[k])[0] for k, kind in [("x", Fixed(True, 8, 4))]}
        edges = interpret(self.net, made, keep="all")
        values = {n: self.net.edge(n).type.decode(v) for n, v in edges.items()}
        change = self.changes[float64] or self.changes[False]
        change(values)
        return KerasResult((values["act"],), values, {"keras": "2.21.0"})


@pytest.fixture
def keras(monkeypatch):
    def use(**options):
        fake = Keras(net(), **options)
        monkeypatch.setattr(module, "run_keras", fake)
        return fake

    return use


def test_equal(keras):
    fake = keras()
    got = compare_keras(net(), RECORDS, codes(), PATH)
    one = got.comparison
    assert (one.left, one.right, one.verdict) == ("Keras", "interpreter", "equal")
    assert (one.samples, one.values, one.mismatches, one.note) == (60, 180, 0, "")
    assert got.accuracy is None
    assert got.versions == {"keras": "2.21.0"}
    assert fake.asked == [(60, False, None)]


def wrong_fc(values):
    values["fc"] = values["fc"] + 2.0**-7
    values["act"] = values["act"].copy()
    seventh = (values["x"] == codes()["x"][7] / 16).all(axis=1)
    values["act"][seventh, 1] += 0.25


def test_a_difference_is_traced_to_the_first_layer(keras):
    fake = keras(single=wrong_fc)
    one = compare_keras(net(), RECORDS, codes(), PATH).comparison
    assert (one.verdict, one.mismatches) == ("different", 1)
    assert (one.first.layer, one.first.edge, one.first.sample) == ("inner/fc", "fc", 7)
    assert one.first.cause == (
        "Keras, seen from the network: rounding: off by one in the last place"
    )
    assert one.first.expected == one.first.actual + 2.0**-7
    assert [row[1:] for row in fake.asked] == [(False, None), (True, None), (True, [])]
    assert [row[0] for row in fake.asked] == [60, 1, 1]


def test_rounding_of_keras_needs_the_proof_in_double_precision(keras):
    def rounded(values):
        values["act"] = values["act"].copy()
        values["act"][:2] += 0.25

    keras(single=rounded, double=lambda values: None)
    one = compare_keras(net(), RECORDS, codes(), PATH).comparison
    assert (one.verdict, one.mismatches, one.first) == ("equal", 0, None)
    assert one.note == "Keras float32 rounding on 6 of 180 values (equal in float64)"


def test_without_the_proof_it_is_a_difference(keras):
    keras(single=wrong_fc, double=wrong_fc)
    assert compare_keras(net(), RECORDS, codes(), PATH).comparison.verdict == "different"
    keras(single=wrong_fc, refused=("", "a copy differs"))
    one = compare_keras(net(), RECORDS, codes(), PATH).comparison
    assert one.verdict == "different"
    assert one.first.layer == "inner/fc"


def test_values_off_the_grid_and_nan_are_differences(keras):
    def off(values):
        values["fc"] = values["fc"] * 1.01 + 1e-3
        values["act"] = np.full_like(values["act"], np.nan)

    keras(single=off)
    one = compare_keras(net(), RECORDS, codes(), PATH).comparison
    assert (one.verdict, one.mismatches) == ("different", 180)
    assert one.first.cause.startswith("the Keras value is not on the grid of s")


def test_a_model_keras_cannot_load_is_not_run(keras):
    keras(refused=("Keras 2.21.0 cannot load the file: x", ""))
    got = compare_keras(net(), RECORDS, codes(), PATH)
    assert got.comparison.verdict == "not run"
    assert got.comparison.note == "Keras 2.21.0 cannot load the file: x"
    assert got.accuracy is None


def test_float_layers_give_a_distance_and_their_exact_part_a_verdict(keras):
    keras(single=lambda v: v.update(act=v["act"] + 0.125))
    records = (*RECORDS[:2], replace(RECORDS[2], regime="chosen"))
    got = compare_keras(net(), records, codes(), PATH)
    assert got.comparison.verdict == "equal"
    assert got.comparison.note == (
        "compared at fc, the last exact layers; at the outputs 1 layer computes in floats; "
        "180 of 180 values differ: see the distance from Keras"
    )
    assert (got.comparison.values, got.comparison.mismatches) == (180, 0)
    assert got.accuracy.max_abs_error == 0.125
    assert got.accuracy.argmax_agreement == 1.0
    assert got.accuracy.samples == 60


def test_the_exact_part_before_float_layers_is_still_judged(keras):
    keras(single=wrong_fc)
    records = (*RECORDS[:2], replace(RECORDS[2], regime="chosen"))
    one = compare_keras(net(), records, codes(), PATH).comparison
    assert (one.verdict, one.mismatches) == ("different", 180)
    assert (one.first.layer, one.first.edge) == ("inner/fc", "fc")


def test_layers_of_a_model_that_is_called_twice_have_no_clear_name():
    again = LayerRecord("inner_2/fc", "QDense", "other", "exact")
    assert clear_names(RECORDS) == {"x": "x", "fc": "fc", "act": "act"}
    assert clear_names((*RECORDS, again)) == {"x": "x", "act": "act"}
    records = [*RECORDS[:2], replace(RECORDS[2], regime="chosen", reason="floats")]
    assert exact_frontier(net(), records) == {"fc": "fc"}
    assert exact_frontier(net(), [*records, again]) == {}
    layers = {"fc": 1, "act": 2}
    assert [r.name for r, _ in matched(net(), records, layers)] == ["inner/fc", "act"]
    assert [r.name for r, _ in matched(net(), [*records, again], layers)] == ["act"]


def test_without_an_exact_part_there_is_no_verdict(keras):
    keras(single=wrong_fc)
    records = tuple(replace(record, regime="chosen") for record in RECORDS)
    got = compare_keras(net(), records, codes(), PATH)
    assert got.comparison.verdict == "not run"
    assert got.comparison.note == (
        "3 layers compute in floats; 1 of 180 values differ: see the distance from Keras"
    )
    assert (got.comparison.values, got.comparison.mismatches) == (180, 1)


def test_float_layers_may_turn_out_equal(keras):
    keras()
    records = (*RECORDS[:2], replace(RECORDS[2], regime="chosen"))
    got = compare_keras(net(), records, codes(), PATH)
    assert got.comparison.verdict == "equal"
    assert got.comparison.note == "1 layer computes in floats; equal on these samples"
    assert got.accuracy.max_abs_error == 0.0


def test_without_its_softmax_the_layer_before_is_compared(monkeypatch):
    fake = Keras(net())
    monkeypatch.setattr(module, "run_keras", fake)
    records = (*RECORDS, LayerRecord("softmax", "Softmax", "probabilities", "chosen"))
    one = compare_keras(net(), records, codes(), PATH, stripped=True).comparison
    assert (one.verdict, one.mismatches) == ("equal", 0)
    assert one.note == "compared at act: the softmax was left out"
    assert fake.asked == [(60, False, ("act",))]


def test_a_live_model_is_run_here():
    class Model:
        inputs = ()

        def predict(self, x, batch_size, verbose):
            made = interpret(net(), {"x": (x * 16).astype(np.int64)})["act"]
            return Fixed(True, 8, 2).decode(made).astype(np.float32)

    got = compare_keras(net(), RECORDS, codes(), Model())
    assert got.comparison.verdict == "equal"
