"""Float models become quantized ones; quantization switches; binary points fit what they hold."""

import numpy as np
import pytest

from qapflow.errors import ModelUnsupported, UsageError
from qapflow.train.architecture import build_model
from qapflow.train.pruning.masks import attach_masks, set_masks
from qapflow.train.quantization.integer_bits import (
    choose_integer_bits,
    least_error_integer,
    read_quantizers,
    write_quantizers,
)
from qapflow.train.quantization.quantizing import quantize, switch
from qapflow.train.recipes.recipe import DenseRecipe, ModelRecipe, QuantizationRecipe, Recipe
from qapflow.train.saving.finalizing import finalize

keras_tests = [pytest.mark.needs_keras, pytest.mark.filterwarnings("ignore")]


def needs_keras(function):
    for mark in keras_tests:
        function = mark(function)
    return function


@pytest.mark.parametrize(
    ("values", "bits", "integer"),
    [
        ([0.5, -1.0, 0.25], 4, 0),  # all on the grid of range 1
        ([0.125, -0.25], 3, -2),
        ([3.0, 1.0], 8, 2),
        ([0.0], 8, None),
    ],
)
def test_least_error(values, bits, integer):
    assert least_error_integer(np.array(values), bits) == integer


def test_least_error_saturates_an_outlier():
    values = np.append(np.linspace(-1, 0.9, 1000), 3.0)
    assert least_error_integer(values, 4) == 0
    assert least_error_integer(values, 12) == 2
    assert least_error_integer(-values, 4, keep_negative=False) == 0


def image_model(keras):
    layers = keras.layers
    samples = keras.Input((9, 9, 2))
    x = layers.Conv2D(4, 3, name="conv")(samples)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.Add()([x, y])
    x = layers.AveragePooling2D()(x)
    x = layers.Flatten()(x)
    return keras.Model(samples, layers.Dense(5, name="out")(layers.Dropout(0.2)(x)))


@needs_keras
def test_quantize_keeps_what_a_model_computes(libraries, randomise, tmp_path):
    model = randomise(image_model(libraries.keras))
    samples = np.random.default_rng(0).normal(size=(64, 9, 9, 2)).astype(np.float32)
    made = quantize(model, 10, layers={"out": {"weights": 7}}, samples=samples)
    kinds = [type(layer).__name__ for layer in made.layers]
    assert kinds.count("FoldedConv2D") == 1
    assert "BatchNormalization" not in kinds
    assert made.get_layer("out").kernel_quantizer_internal.bits == 7
    before, after = model(samples).numpy().ravel(), made(samples).numpy().ravel()
    assert np.corrcoef(before, after)[0, 1] > 0.999  # ten bits: not the same, but close
    assert finalize(made, tmp_path / "m.h5", samples).exact


@needs_keras
def test_separable_and_transposed_convolutions_and_bent_rectifiers(libraries, randomise, tmp_path):
    layers = libraries.keras.layers
    samples = x = libraries.keras.Input((8, 8, 2))
    x = layers.SeparableConv2D(3, 3, name="separable")(x)
    x = layers.BatchNormalization()(x)
    x = layers.LeakyReLU(0.25)(x)
    x = layers.Conv2DTranspose(2, 2, strides=2, name="up")(x)
    x = layers.ReLU(6.0)(x)
    x = layers.Reshape((24, 12))(x)
    x = layers.SeparableConv1D(3, 3, name="row")(x)
    x = layers.ReLU(negative_slope=0.5)(x)
    model = randomise(libraries.keras.Model(samples, layers.Dense(4)(layers.Flatten()(x))))
    values = np.random.default_rng(0).normal(size=(32, 8, 8, 2)).astype(np.float32)
    made = quantize(model, 12, layers={"separable": {"weights": 9}}, samples=values)
    kinds = [type(layer).__name__ for layer in made.layers]
    assert {"QSeparableConv2D", "QConv2DTranspose", "QSeparableConv1D"} <= set(kinds)
    assert "BatchNormalization" in kinds  # folds into no separable convolution
    assert made.get_layer("separable").depthwise_quantizer_internal.bits == 9
    assert made.get_layer("separable").pointwise_quantizer_internal.bits == 9
    before, after = model(values).numpy().ravel(), made(values).numpy().ravel()
    assert np.corrcoef(before, after)[0, 1] > 0.99  # twelve bits: not the same, but close
    switch(made, weights=False, activations=False)
    assert np.allclose(made(values).numpy().ravel(), before, rtol=1e-4, atol=1e-3)  # float32
    switch(made, weights=True, activations=True)
    done = finalize(made, tmp_path / "m.h5", values, require_exact=False)
    floats = [name for name in done.reasons if "normalization" not in name]
    assert floats == []


@needs_keras
def test_everything_unsupported_is_listed(libraries):
    keras = libraries.keras
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, activation="elu", name="a"),
            layers.LayerNormalization(name="b"),
            layers.LeakyReLU(0.3, name="c"),
        ]
    )
    text = r"(?s)3 things.*a \(Dense\).*'elu'.*b.*c.*the slope 0.3 is no power of two"
    with pytest.raises(ModelUnsupported, match=text):
        quantize(model)
    with pytest.raises(UsageError, match=r"(?s)no layer 'z'.*a, b, c"):
        quantize(model, layers={"z": {"weights": 3}})
    with pytest.raises(UsageError, match=r"(?s)not 40.*quantize: weights"):
        quantize(model, 40)


@needs_keras
def test_switching(libraries, randomise):
    settings = QuantizationRecipe(weights=3, activations=3, input=32)
    recipe = Recipe(quantization=settings, model=ModelRecipe(layers=(DenseRecipe(units=8),)))
    model = randomise(build_model(recipe, (6,), 4))
    samples = np.random.default_rng(0).normal(size=(32, 6)).astype(np.float32)
    quantized = model(samples).numpy()
    switch(model, weights=False, activations=False)
    kernel, bias = (value.numpy() for value in model.get_layer("dense_1").folded())
    hidden = np.maximum(samples @ kernel + bias, 0)
    out, out_bias = model.get_layer("output").get_weights()
    assert np.allclose(model(samples), hidden @ out + out_bias, atol=1e-4)  # float32 sums
    switch(model, weights=True)
    assert not np.array_equal(model(samples), quantized)
    switch(model, activations=True)
    assert np.array_equal(model(samples), quantized)


@needs_keras
def test_integer_bits_of_a_model_can_be_kept(libraries, randomise):
    recipe = Recipe(model=ModelRecipe(layers=(DenseRecipe(units=8),)))
    model, other = (randomise(build_model(recipe, (6,), 4)) for _ in range(2))
    samples = np.random.default_rng(0).normal(0, 10, (64, 6)).astype(np.float32)
    texts = choose_integer_bits(model, samples)
    assert texts["input_quantizer"]["quantizer"] == "quantized_bits(8,6,alpha=1)"
    assert read_quantizers(other) != texts
    other.set_weights(model.get_weights())
    write_quantizers(other, texts)
    assert read_quantizers(other) == texts
    assert np.array_equal(model(samples), other(samples))
    with pytest.raises(UsageError, match="no layer 'dense_7'"):
        write_quantizers(other, {"dense_7": {}})


def recurrent_model(keras):
    layers = keras.layers
    samples = keras.Input((7, 3))
    x = layers.LSTM(4, return_sequences=True, name="lstm")(samples)
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True, name="gru"), name="both")(x)
    x = layers.TimeDistributed(layers.Dense(3, activation="relu"), name="each")(x)
    x = layers.SimpleRNN(4, activation="relu", name="rnn")(x)
    return keras.Model(samples, layers.Dense(2, name="out")(x))


@needs_keras
def test_recurrent_layers(libraries, randomise, tmp_path):
    model = randomise(recurrent_model(libraries.keras))
    samples = np.random.default_rng(0).normal(size=(40, 7, 3)).astype(np.float32)
    made = quantize(model, 7, layers={"rnn": {"weights": 5}}, samples=samples)
    kinds = {type(layer).__name__ for layer in made.layers}
    assert {"QLSTM", "Bidirectional", "TimeDistributed", "QSimpleRNN"} <= kinds
    assert made.get_layer("rnn").cell.recurrent_quantizer_internal.bits == 5
    masks = attach_masks(made)
    named = ["lstm", "lstm.recurrent_kernel", "forward_gru", "forward_gru.recurrent_kernel"]
    assert [item.name for item in masks][:4] == named
    rng = np.random.default_rng(1)
    set_masks(masks, [rng.random(item.mask.shape) < 0.5 for item in masks])
    made.compile("adam", "mse")
    made.fit(samples, np.zeros((40, 2)), epochs=1, verbose=0)
    done = finalize(made, tmp_path / "m.h5", samples)
    assert done.exact
    assert done.values == 80
    recurrent = done.model.get_layer("lstm").get_weights()[1]
    assert not recurrent[masks[1].mask.numpy() == 0].any()
    assert recurrent.any()


@needs_keras
def test_a_recurrent_layer_computes_the_same_while_switched_off(libraries, randomise):
    """A GRU too, whose QKeras form takes another kernel where a quantizer is missing."""
    keras = libraries.keras
    samples = keras.Input((5, 3))
    options = {"activation": "relu", "recurrent_activation": "relu"}  # what is the same when off
    x = keras.layers.GRU(4, return_sequences=True, **options)(samples)
    model = randomise(keras.Model(samples, keras.layers.LSTM(2, **options)(x)))
    values = np.random.default_rng(0).normal(size=(16, 5, 3)).astype(np.float32)
    made = quantize(model, 9, samples=values)
    before = made(values).numpy()
    switch(made, weights=False, activations=False)
    assert np.allclose(made(values), model(values), rtol=1e-5, atol=1e-5)  # float32 sums
    switch(made, weights=True, activations=True)
    assert np.array_equal(made(values), before)


@needs_keras
def test_states_choose_their_integer_bits(libraries, randomise):
    keras = libraries.keras
    samples = keras.Input((9, 2))
    model = keras.Model(samples, keras.layers.LSTM(3, name="lstm")(samples))
    values = np.ones((8, 9, 2), np.float32)
    states = []
    for size in (0.1, 3.0):
        for weight in model.weights:  # gates that stay open add up to nine
            weight.assign(np.full(weight.shape, size, np.float32))
        made = quantize(model, 8, samples=values)
        states.append(made.get_layer("lstm").cell.state_quantizer_internal.integer)
    assert states[0] < states[1]
    assert states[1] == 4  # nine fits below 2**4


@needs_keras
def test_models_in_models_are_inlined_and_shared_layers_stay_shared(libraries, randomise, tmp_path):
    keras = libraries.keras
    layers = keras.layers
    tower = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, activation="relu", name="first"),
            layers.Dense(4, name="out"),
            layers.BatchNormalization(name="norm"),
        ],
        name="tower",
    )
    left, right = keras.Input((6,)), keras.Input((6,))
    x = layers.Subtract()([tower(left), tower(right)])
    model = randomise(keras.Model([left, right], layers.Dense(2, name="out")(x)))
    randomise(tower, seed=1)
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=(50, 6)).astype(np.float32) for _ in range(2)]
    made = quantize(model, 9, layers={"first": {"weights": 6}}, samples=samples)
    names = [layer.name for layer in made.layers]
    assert {"first", "tower_out", "out"} <= set(names)
    assert "norm" not in names
    assert len(made.get_layer("tower_out").inbound_nodes) == 2
    assert made.get_layer("first").kernel_quantizer_internal.bits == 6
    before, after = model(samples).numpy().ravel(), made(samples).numpy().ravel()
    assert np.corrcoef(before, after)[0, 1] > 0.99  # six and nine bits: close
    done = finalize(made, tmp_path / "m.h5", samples)
    assert done.exact
    assert done.values == 100
    with pytest.raises(UsageError, match=r"(?s)2 inputs, samples are for 1.*a list of arrays"):
        finalize(made, tmp_path / "m.h5", samples[0])
    with pytest.raises(UsageError, match=r"samples have shape \(50, 5\), the model takes \(50, 6"):
        finalize(made, tmp_path / "m.h5", [samples[0], samples[1][:, :5]])


@needs_keras
def test_a_part_of_another_model(libraries, randomise):
    """Readers outside the model are none of its own."""
    keras = libraries.keras
    whole = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2)]
    )
    part = randomise(keras.Model(whole.inputs, whole.layers[0].output))
    assert [type(layer).__name__ for layer in quantize(part, 6).layers] == [
        "InputLayer", "QActivation", "QDense",
    ]  # fmt: skip


@needs_keras
def test_models_without_a_graph(libraries):
    keras = libraries.keras
    with pytest.raises(UsageError, match=r"(?s)no graph of layers yet.*build"):
        quantize(keras.Sequential([keras.layers.Dense(3)]))

    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(UsageError, match=r"(?s)no graph of layers\n.*functional"):
        quantize(Own())


@needs_keras
@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda layers: layers.LSTM(2, stateful=True), "stateful"),
        (lambda layers: layers.GRU(2, activation="elu"), "'elu' has no quantized form"),
        (lambda layers: layers.Bidirectional(layers.LSTM(2), merge_mode=None), "two outputs"),
        (lambda layers: layers.ConvLSTM1D(2, 2), "no quantized form"),
    ],
)
def test_recurrent_layers_that_are_refused(libraries, layer, reason):
    keras = libraries.keras
    shape = (5, 4, 3) if "ConvLSTM" in str(layer(keras.layers)) else (5, 3)
    samples = keras.Input(batch_shape=(2, *shape))
    with pytest.raises(ModelUnsupported, match=reason):
        quantize(keras.Model(samples, layer(keras.layers)(samples)))


@needs_keras
@pytest.mark.parametrize("end", ["softmax", "sigmoid", "tanh"])
def test_a_real_function_in_the_last_layer(libraries, randomise, tmp_path, end):
    keras = libraries.keras
    layers = [keras.Input((6,)), keras.layers.Dense(5, activation="relu")]
    model = randomise(keras.Sequential([*layers, keras.layers.Dense(3, end, name="out")]))
    samples = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    made = quantize(model, 8, samples=samples)
    done = finalize(made, tmp_path / "m.h5", samples)
    assert done.exact
    assert done.compared == ("out",)
    assert done.model.layers[-1].name == f"out_{end}"
    assert np.array_equal(done.model(samples), made(samples))


@needs_keras
def test_operations_between_layers(libraries, randomise, tmp_path):
    keras, tf = libraries.keras, libraries.tf
    samples = keras.Input((6,))
    left, right = (keras.layers.Dense(4)(samples) for _ in range(2))
    x = tf.nn.relu(left + right) * right
    x = tf.reshape(tf.concat([x, left[:, 1:] - 1.5], -1), (-1, 7, 1))
    x = tf.concat([tf.reduce_mean(x, axis=1), tf.maximum(left, 0.5)], -1)
    model = randomise(keras.Model(samples, keras.layers.Dense(2)(x)))
    values = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    made = quantize(model, 9, samples=values)
    switch(made, weights=False, activations=False)
    assert np.allclose(made(values), model(values), rtol=1e-5, atol=1e-5)  # float32 sums
    switch(made, weights=True, activations=True)
    before, after = model(values).numpy().ravel(), made(values).numpy().ravel()
    assert np.corrcoef(before, after)[0, 1] > 0.99  # nine bits: close
    assert finalize(made, tmp_path / "m.h5", values).exact
    refused = keras.Model(samples, keras.layers.Dense(2)(tf.exp(left)))
    with pytest.raises(ModelUnsupported, match=r"the operation math\.exp has no quantized form"):
        quantize(refused)


@needs_keras
def test_a_softmax_of_each_time_step(libraries, randomise, tmp_path):
    keras = libraries.keras
    samples = keras.Input((4, 3))
    each = keras.layers.TimeDistributed(keras.layers.Dense(3, activation="softmax"), name="each")
    model = randomise(keras.Model(samples, each(samples)))
    values = np.random.default_rng(0).normal(size=(20, 4, 3)).astype(np.float32)
    made = quantize(model, 7, samples=values)
    done = finalize(made, tmp_path / "m.h5", values)
    assert done.exact
    assert done.compared == ("each",)
    assert np.array_equal(done.model(values), made(values))
