"""Callbacks in a loop of one's own: schedules, patterns, quantizers that start later."""

import numpy as np
import pytest

from qapflow.errors import UsageError
from qapflow.train.libraries import load_keras

pytestmark = pytest.mark.needs_keras


def model_and_data(steps=1):
    libraries = load_keras()
    keras, qkeras = libraries.keras, libraries.qkeras
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    x = qkeras.QActivation("quantized_bits(8,3,alpha=1)")(inputs)
    weights = {"kernel_quantizer": "quantized_bits(8,0,alpha=1)", "use_bias": False}
    x = qkeras.QDense(8, name="first", **weights)(x)
    x = qkeras.QActivation("quantized_relu(6,2)")(x)
    x = qkeras.QDense(4, name="last", **weights)(x)
    model = keras.Model(inputs, x)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, steps_per_execution=steps)
    rng = np.random.default_rng(0)
    return model, rng.normal(size=(80, 8)).astype("f"), rng.integers(0, 4, 80)


@pytest.mark.parametrize("steps", [1, 3])
def test_sparsity_follows_the_schedule(steps):
    from qapflow.train.callbacks import QuantizationAwarePruning

    tfmot = load_keras().tfmot
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, 0.75, 2, 20, frequency=2)
    pruning = QuantizationAwarePruning(schedule)
    model, x, y = model_and_data(steps)
    history = model.fit(x, y, batch_size=8, epochs=1, verbose=0, callbacks=[pruning])
    first = history.history["sparsity"][0]
    level = float(schedule(load_keras().tf.constant(pruning.steps))[1])
    assert pruning.steps == 10
    assert first >= level - 0.5 / 96
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[pruning])
    kept = sum(np.asarray(item.mask).sum() for item in pruning.masks)
    assert kept == 24  # a quarter of 64 + 32
    assert pruning.steps == 30
    assert sum(np.count_nonzero(item.variable) for item in pruning.masks) <= 24
    assert history.history["sparsity"][-1] >= 0.75 > first


def test_patterns_within_layers():
    from qapflow.train.callbacks import QuantizationAwarePruning

    model, x, y = model_and_data()
    constant = load_keras().tfmot.sparsity.keras.ConstantSparsity(0.5, 0, frequency=5)
    pruning = QuantizationAwarePruning(constant, layers=("first",), m_by_n=(2, 4))
    model.fit(x, y, batch_size=8, epochs=1, verbose=0, callbacks=[pruning])
    (item,) = pruning.masks
    assert np.all(np.asarray(item.mask).T.reshape(-1, 4).sum(1) == 2)


def test_models_without_weights_are_refused():
    from qapflow.train.callbacks import QuantizationAwarePruning

    keras = load_keras().keras
    with pytest.raises(UsageError, match="no weights yet"):
        QuantizationAwarePruning().set_model(keras.Sequential([keras.layers.Dense(2)]))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_cost_falls_with_sparsity_and_stops_when_it_fits():
    from qapflow.train import HardwareCost, QuantizationAwarePruning

    model, x, y = model_and_data()
    schedule = load_keras().tfmot.sparsity.keras.ConstantSparsity(0.75, 15, frequency=1)
    cost = HardwareCost("pynq-z2")
    callbacks = [QuantizationAwarePruning(schedule), cost]
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks).history
    assert history["cost_nonzeros"][1] <= 24 < history["cost_nonzeros"][0]
    assert history["cost_bops_input_own"][1] < history["cost_bops_input_own"][0]
    assert history["estimate_lut"][1] < history["estimate_lut"][0]
    assert cost.found.board.fits
    stopping = HardwareCost("pynq-z2", stop_when_fits=True)
    stopped = model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[stopping])
    assert len(stopped.epoch) == 1


def test_boards_are_checked_before_training():
    from qapflow.train import HardwareCost

    with pytest.raises(UsageError, match="no-such-board"):
        HardwareCost("no-such-board")


def test_quantizers_that_start_later_pass_floats():
    from qapflow.train.callbacks import QuantizationAwarePruning

    model, x, y = model_and_data()
    late = QuantizationAwarePruning(weights_from_epoch=1, activations_from_epoch=1)
    seen = []
    look = load_keras().keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model(x[:8]).numpy())
    )
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[late, look])
    grid = [np.all(values * 2.0**20 == np.round(values * 2.0**20)) for values in seen]
    assert grid == [False, True]
