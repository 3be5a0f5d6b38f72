"""Transposed convolution and resizing against real Keras, option by option."""

import itertools

import numpy as np
import pytest

pytestmark = [pytest.mark.needs_keras, pytest.mark.filterwarnings("ignore")]

W = "quantized_bits(5,1,alpha=1)"


def one_axis():
    for size, step, padding in itertools.product((1, 2, 3, 5), (1, 2, 3), ("same", "valid")):
        for more in (None, *range(step)):
            length = 4 * step + size + (more or 0) - 2 * (size // 2)
            if more is not None and padding == "same" and -(-length // step) != 5:
                continue  # TensorFlow cannot compute it
            yield size, step, padding, more


@pytest.mark.slow
@pytest.mark.parametrize("case", list(one_axis()), ids=str)
def test_transposed_convolution_over_one_axis(keras, equal, case):
    size, step, padding, more = case
    made = keras.layers.Conv1DTranspose(3, size, step, padding, output_padding=more)
    x = keras.Input((5, 2))
    equal(x, made(x))


TWO_AXES = (
    {"kernel_size": (2, 3), "strides": (2, 1), "padding": "same"},
    {"kernel_size": (4, 3), "strides": (2, 3), "padding": "same"},
    {"kernel_size": (4, 3), "strides": (3, 2), "padding": "valid"},
    {"kernel_size": 3, "strides": 2, "padding": "same", "output_padding": (1, 0)},
    {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    {"kernel_size": 2, "dilation_rate": 3, "padding": "valid"},
    {"kernel_size": 3, "strides": 2, "use_bias": False, "activation": "relu"},
)


@pytest.mark.parametrize("options", TWO_AXES, ids=str)
def test_transposed_convolution_over_two_axes(keras, equal, options):
    x = keras.Input((5, 4, 2))
    equal(x, keras.layers.Conv2DTranspose(3, **options)(x))


@pytest.mark.parametrize("options", TWO_AXES[:2], ids=str)
def test_quantized_transposed_convolution(keras, equal, monkeypatch, options):
    """QKeras 0.9 asks TensorFlow for a name that has moved; with it, the layer runs."""
    import qkeras
    import tensorflow

    monkeypatch.setattr(qkeras.qconvolutional.array_ops, "stack", tensorflow.stack, raising=False)
    x = keras.Input((5, 4, 2))
    made = qkeras.QConv2DTranspose(
        3, **options, kernel_quantizer=W, bias_quantizer=W, activation="quantized_relu(6,3)"
    )
    equal(x, made(x), weights_grid=2.0**-20)


SIZES = ((2, 2), (1, 2), (4, 2), (8, 1), (1, 1))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_upsampling(keras, equal, size, interpolation):
    x = keras.Input((6, 4, 2))
    equal(x, keras.layers.UpSampling2D(size, interpolation=interpolation)(x))


def test_upsampling_of_rows(keras, equal):
    x = keras.Input((6, 2))
    equal(x, keras.layers.UpSampling1D(3)(x))


@pytest.mark.parametrize("height", [2, 3, 6, 12, 24])
@pytest.mark.parametrize("width", [2, 8])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_resizing(keras, equal, height, width, interpolation):
    x = keras.Input((6, 4, 2))
    equal(x, keras.layers.Resizing(height, width, interpolation=interpolation)(x))


def test_interpolation_by_thirds_is_chosen_and_close(keras, compare):
    x = keras.Input((6, 4, 2))
    made = keras.layers.UpSampling2D((3, 5), interpolation="bilinear")(x)
    loaded, (left,), (right,) = compare(x, made)
    assert "parts of 15" in loaded.records[-1].reason
    # 18 bits for values below 16 leave steps of 2**-13
    assert np.abs(left - right).max() <= 2.0**-14 + 1e-6
