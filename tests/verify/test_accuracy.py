import numpy as np
import pytest

from qapflow.errors import UsageError
from qapflow.verify.accuracy import measure_accuracy


def test_accuracy_counts_labels_of_both_kinds():
    net = [np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [1.0, 0.0]])]
    keras = [np.array([[0.0, 1.5], [1.0, 0.0], [3.0, 2.0], [1.0, 0.0]])]
    for labels in (np.array([1, 0, 0, 1]), np.eye(2)[[1, 0, 0, 1]]):
        got = measure_accuracy(net, keras, labels)
        assert (got.max_abs_error, got.argmax_agreement) == (3.0, 0.75)
        assert (got.accuracy_net, got.accuracy_keras) == (0.5, 0.75)
    got = measure_accuracy(
        [np.array([[0.5], [-1.0]])], [np.array([[-0.5], [-1.0]])], np.array([1, 0])
    )
    assert (got.accuracy_net, got.accuracy_keras, got.argmax_agreement) == (1.0, 0.5, 0.5)
    for labels in (np.array([1, 0, -1, -1]), np.array([[0, 1], [1, 0], [-1, -1], [-1, -1]])):
        assert measure_accuracy(net, keras, labels).accuracy_net == 1.0
    assert measure_accuracy(net, keras).accuracy_net is None
    with pytest.raises(
        UsageError, match=r"labels of shape \(2,\) do not fit classes of shape \(4,"
    ):
        measure_accuracy(net, keras, np.array([1, 0]))


def test_a_single_probability_is_cut_at_one_half():
    keras = np.array([[0.2], [0.7], [0.0], [1.0]])
    made = measure_accuracy([keras + 0.001], [keras], np.array([0, 1, 0, 1]))
    assert made.argmax_agreement == 1.0
    assert made.accuracy_keras == 1.0
