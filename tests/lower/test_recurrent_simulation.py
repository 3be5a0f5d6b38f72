"""Recurrent layers from Keras to hardware: compiled HLS = interpreter = QKeras, bit for bit."""

import os
import sys

import numpy as np
import pytest

from qapflow.frontend.load import load
from qapflow.frontend.model import LoadOptions
from qapflow.ir.check import check
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret

pytestmark = [
    pytest.mark.needs_gxx,
    pytest.mark.needs_hls4ml,
    pytest.mark.needs_keras,
    pytest.mark.filterwarnings("ignore"),  # TensorFlow and QKeras warn about themselves
]

GRID = Fixed(True, 7, 4)
STEPS, FEATURES = 4, 3


@pytest.fixture(scope="module")
def keras():
    """tf-keras, with a QKeras beside it whose recurrent cells run."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import tf_keras

    sys.modules.setdefault("keras", tf_keras)
    from qapflow.verify.keras_process import restore_qkeras

    restore_qkeras()
    return tf_keras


def quantized(k, q):
    """A model of every quantized recurrent layer and wrapper."""
    L = k.layers
    kernel, bias = "quantized_bits(4,0,alpha=1)", "quantized_bits(5,1,alpha=1)"
    weights = {"kernel_quantizer": kernel, "bias_quantizer": bias}
    cell = {**weights, "recurrent_quantizer": kernel, "activation": "quantized_tanh(5)"}
    cell |= {"state_quantizer": "quantized_bits(6,1,alpha=1)"}
    gates = {**cell, "recurrent_activation": "quantized_sigmoid(4)"}
    x, frames = k.Input((STEPS, FEATURES)), k.Input((3, 4, 4, 2))
    lstm = q.QLSTM(3, return_sequences=True, **gates)(x)
    both = L.Bidirectional(q.QGRU(3, return_sequences=True, **gates))(lstm)
    each = L.TimeDistributed(q.QConv2D(2, 2, activation="quantized_relu(4,1)", **weights))(frames)
    each = L.TimeDistributed(L.MaxPooling2D(2, 1))(each)
    each = L.TimeDistributed(L.Flatten())(each)
    last = q.QGRU(3, go_backwards=True, reset_after=True, **gates)(each)
    simple = q.QSimpleRNN(3, **cell)(x, initial_state=last)
    return k.Model([x, frames], [both, simple, q.QLSTM(2, **gates)(lstm)])


def floats(k, q):
    """Layers of Keras, whose states are rounded in each step."""
    L = k.layers
    x = k.Input((STEPS, FEATURES))
    lstm = L.LSTM(3, return_sequences=True)(x)
    return k.Model(x, [L.Bidirectional(L.GRU(2), merge_mode="mul")(lstm), L.SimpleRNN(2)(lstm)])


def trained(keras, make, path):
    """Save a model with random weights and load it into a network."""
    import qkeras

    rng = np.random.default_rng(0)
    model = make(keras, qkeras)
    model.set_weights([rng.normal(0, 0.6, w.shape) for w in model.get_weights()])
    model.save(path, include_optimizer=False)
    loaded = load(path, LoadOptions(input_types={"": GRID}))
    assert check(loaded.net) == []
    return model, loaded


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("make", [quantized, floats], ids=lambda make: make.__name__)
def test_recurrent_layers_are_the_same_in_hardware(keras, tmp_path, simulate, plan, make, io_type):
    model, loaded = trained(keras, make, tmp_path / "model.h5")
    wrong, seen = simulate(loaded.net, plan(io_type))
    assert wrong == []
    assert seen > len(loaded.net.outputs)

    rng = np.random.default_rng(1)
    codes = {
        node.name: rng.integers(GRID.lo, GRID.hi + 1, (50, *node.out.shape))
        for node in loaded.net.inputs
    }
    values = {name: GRID.decode(array).astype(np.float32) for name, array in codes.items()}
    right = model.predict(values, verbose=0)
    made = interpret(loaded.net, codes)
    for name, expected in zip(loaded.net.outputs, right, strict=True):
        error = np.abs(loaded.net.edge(name).type.decode(made[name]) - expected).max()
        if make is quantized:
            assert loaded.exact
            assert error == 0
        else:  # gates and states are off by less than 2**-15, four steps add them up
            assert 0 < error < 2e-4
