"""Metrics against values by hand and by other formulas."""

import math

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.metrics import roc_auc_score

from qapflow.errors import UsageError
from qapflow.train.saving.metrics import (
    area_under_curve,
    artificial_intelligence_quotient,
    background_efficiency,
    class_scores,
    join_states,
    measure,
    neural_efficiency,
    observe_states,
    predicted_classes,
)

RANDOM = np.random.default_rng(3)
LOGITS = RANDOM.normal(0, 2, (300, 4)).round(1)
LABELS = RANDOM.integers(0, 4, 300)
ABCD = ("a", "b", "c", "d")


def test_area_is_the_share_of_pairs_in_order():
    scores = RANDOM.integers(0, 8, 60).astype(float)
    signal = RANDOM.random(60) < 0.4
    pairs = scores[signal][:, None] - scores[~signal][None, :]
    by_hand = np.mean((pairs > 0) + 0.5 * (pairs == 0))
    # Two orders of float64 sums over 1000 pairs.
    assert area_under_curve(scores, signal) == pytest.approx(by_hand, rel=1e-12)


def test_classes_against_the_rest_are_those_of_scikit_learn():
    odds = np.exp(LOGITS)
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    expected = roc_auc_score(LABELS, probabilities, multi_class="ovr", average="macro")
    for outputs, output in ((LOGITS, "logits"), (probabilities, "softmax")):
        scores = measure(outputs, LABELS, ABCD, output)
        assert scores.auc == pytest.approx(expected, rel=1e-12)
        assert scores.accuracy == np.mean(np.argmax(LOGITS, axis=1) == LABELS)
        assert scores.samples == 300
    assert list(scores.auc_by_class) == list(ABCD)


def test_logits_beyond_the_resolution_of_a_softmax_keep_their_order():
    logits = np.array([[100.0, 0, 0], [50.0, 0, 0], [60.0, 0, 0], [-5, 0, 0]])
    odds = class_scores(logits, 3)[:, 0]
    np.testing.assert_array_equal(np.argsort(odds), [3, 1, 2, 0])
    assert odds[1] == 50 - math.log(2)


def test_two_classes_have_one_output():
    logits = np.array([-2.0, -1.0, 0.0, 0.5, 3.0])
    labels = np.array([0, 1, 0, 0, 1])
    chances = 1 / (1 + np.exp(-logits))
    one = measure(logits, labels, ("no", "yes"))
    same = [
        measure(logits[:, None], labels, ("no", "yes")),
        measure(chances, labels, ("no", "yes"), "sigmoid"),
    ]
    assert same == [one, one]
    assert one.accuracy == 3 / 5  # 0.5 and -1 on the wrong side; 0 is no "yes"
    assert one.auc == pytest.approx(4 / 6, rel=1e-15)
    assert one.auc_by_class["no"] == pytest.approx(one.auc_by_class["yes"], rel=1e-15)
    assert one.background_efficiency_by_class == {"no": 0.5, "yes": 0.0}
    np.testing.assert_array_equal(predicted_classes(logits, 2), [0, 0, 0, 1, 1])
    two = np.stack([np.zeros(5), logits], axis=1)
    np.testing.assert_array_equal(predicted_classes(two, 2), [0, 0, 0, 1, 1])
    assert measure(two, labels, ("no", "yes")) == one


def test_background_efficiency_by_hand():
    signal = np.array([1, 1, 0, 1, 0, 1, 0, 0], bool)
    scores = np.array([8.0, 7, 6, 5, 4, 3, 2, 1])
    # Half of the signal passes above 6: none of the background. The point one step lower has the
    # same signal and more background, and is not the one that counts.
    assert background_efficiency(scores, signal) == 0.0
    # A quarter step further: 3 of 4 at threshold 5, background 1/4.
    assert background_efficiency(scores, signal, 0.75) == 0.25
    # Between 0.5 (background 1/4, after the sample at 6) and 0.75 (1/4): flat.
    assert background_efficiency(scores, signal, 0.6) == 0.25
    # One point for equal scores: from (0, 0) to (2/3, 1/2), at 0.5 three quarters of the way.
    tied = np.array([5.0, 5, 5, 1, 1])
    which = np.array([1, 1, 0, 1, 0], bool)
    assert background_efficiency(tied, which) == pytest.approx(0.75 * 0.5, rel=1e-15)
    assert background_efficiency(-scores, signal, 1.0) == 1.0


def test_background_efficiency_is_that_of_numpy_where_nothing_is_tied():
    signal = LABELS[:201] == 2
    signal[:3] = True, True, False
    if signal.sum() % 2 == 0:  # an odd number: no point at exactly one half
        signal[3] = not signal[3]
    scores = RANDOM.normal(0, 1, 201) + signal
    order = np.argsort(-scores)
    kept = np.concatenate([[0], np.cumsum(signal[order]) / signal.sum()])
    passed = np.concatenate([[0], np.cumsum(~signal[order]) / (~signal).sum()])
    after = np.argmax(kept > 0.5)
    before = after - 1
    share = (0.5 - kept[before]) / (kept[after] - kept[before])
    expected = passed[before] + share * (passed[after] - passed[before])
    # The same interpolation with its terms in another order.
    assert background_efficiency(scores, signal) == pytest.approx(expected, rel=1e-12)


def test_classes_that_do_not_occur_have_no_figure():
    labels = np.where(LABELS == 3, 1, LABELS)
    scores = measure(LOGITS, labels, ABCD)
    assert scores.auc_by_class["d"] is None
    assert scores.background_efficiency_by_class["d"] is None
    assert scores.auc == pytest.approx(sum(scores.auc_by_class[k] for k in "abc") / 3, rel=1e-15)
    alone = measure(LOGITS, labels * 0, ABCD)
    assert alone.auc is None
    assert alone.background_efficiency is None


def test_outputs_and_labels_must_fit():
    with pytest.raises(UsageError, match=r"outputs have shape \(300, 4\), there are 5 classes"):
        measure(LOGITS, LABELS, (*ABCD, "e"))
    with pytest.raises(UsageError, match=r"labels have shape \(9,\), there are 300 outputs"):
        measure(LOGITS, LABELS[:9], ABCD)
    with pytest.raises(UsageError, match="labels are 1 to 4, there are 4 classes"):
        measure(LOGITS, np.maximum(LABELS, 0) % 4 + 1, ABCD)
    broken = LOGITS.copy()
    broken[17, 2] = np.nan
    with pytest.raises(UsageError, match=r"the output of sample 17 .* is NaN(.|\n)*learning_rate"):
        measure(broken, LABELS, ABCD)


def test_neural_efficiency_by_hand():
    # Two neurons, four equally frequent states: 2 bits of 2. Three neurons: half 000, a quarter
    # each of 111 and 100: 1.5 bits of 3.
    first = observe_states(np.array([[-1, -1], [-1, 2], [3, -1], [1, 1]]))
    second = observe_states(np.array([[0, 0, 0], [-1, 0, -2], [1, 2, 3], [1, 0, 0]]))
    found = neural_efficiency({"one": first, "two": second}, samples=4)
    assert found.entropy_bits == {"one": 2.0, "two": 1.5}
    assert found.by_layer == {"one": 1.0, "two": 0.5}
    assert found.network == math.sqrt(0.5)
    assert found.samples == 4


def test_positions_of_feature_maps_are_observations():
    values = RANDOM.normal(0, 1, (10, 3, 2, 9))
    states = observe_states(values)
    assert states.units == 9
    found = neural_efficiency({"conv": states}, samples=10)
    assert found.observations == {"conv": 60}
    rows = [tuple(row) for row in (values > 0).reshape(-1, 9)]
    shares = np.array([rows.count(row) for row in set(rows)]) / 60
    expected = -np.sum(shares * np.log2(shares))
    assert found.entropy_bits["conv"] == pytest.approx(expected, rel=1e-12)  # order of the sum
    parts = join_states([observe_states(values[:4]), observe_states(values[4:])])
    assert neural_efficiency({"conv": parts}, samples=10) == found


def test_entropy_saturates_with_the_number_of_samples():
    states = observe_states(RANDOM.normal(0, 1, (64, 100)))
    found = neural_efficiency({"wide": states}, samples=64)
    assert found.entropy_bits["wide"] == 6.0  # all states differ: log2(64), not 100
    dead = neural_efficiency({"dead": observe_states(-np.ones((64, 5)))}, samples=64)
    assert dead.network == 0.0


def test_quotient():
    assert artificial_intelligence_quotient(0.5, 0.5) == pytest.approx(0.5, rel=1e-15)
    assert artificial_intelligence_quotient(0.1, 0.9, beta=1) == pytest.approx(0.3, rel=1e-15)
    assert artificial_intelligence_quotient(0.0, 0.9) == 0.0


def test_layers_must_be_observed():
    with pytest.raises(UsageError, match="no layer was observed"):
        neural_efficiency({}, samples=1)
    with pytest.raises(UsageError, match=r"values of a layer have shape \(3,\)"):
        observe_states(np.zeros(3))
