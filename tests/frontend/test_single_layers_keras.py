"""Lookups, products of tensors, constants of preprocessing and more against real Keras."""

import numpy as np
import pytest

from qapflow.ir.fixed import Fixed

pytestmark = [pytest.mark.needs_keras, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
@pytest.mark.parametrize("shape", [(3,), (2, 3)], ids=str)
def test_embedding(keras, equal, rows, shape):
    x = keras.Input(shape)
    loaded = equal(x, keras.layers.Embedding(rows, 4)(x), grid=Fixed(True, 6, 0))
    assert f"outside 0 to {rows - 1} get the nearest row" in " ".join(loaded.notes)


def test_embedding_cuts_to_whole_numbers(keras, equal):
    x = keras.Input((5,))
    loaded = equal(x, keras.layers.Embedding(4, 3)(x), grid=Fixed(False, 5, 3))
    assert not loaded.notes


PAIRS = [
    ((5,), (5,), 1),
    ((3, 4), (6, 4), 2),
    ((3, 4), (4, 6), (2, 1)),
    ((3, 4), (3,), (1, 1)),
    ((2, 3, 4), (5, 3), (2, 2)),
    ((2, 3, 4), (3, 5), (-2, -2)),
]


@pytest.mark.parametrize(("left", "right", "axes"), PAIRS, ids=str)
def test_dot(keras, equal, left, right, axes):
    a, b = keras.Input(left), keras.Input(right)
    equal([a, b], keras.layers.Dot(axes)([a, b]))


@pytest.mark.parametrize("shared", [None, (1,), (1, 2), (2,)])
def test_prelu(keras, equal, shared):
    x = keras.Input((3, 4, 2))
    equal(x, keras.layers.PReLU(shared_axes=shared)(x))


NOTHING = ("Identity", "GaussianNoise", "GaussianDropout", "SpatialDropout2D", "AlphaDropout",
           "Dropout", "RandomFlip", "RandomRotation", "RandomZoom", "RandomContrast",
           "RandomBrightness")  # fmt: skip


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_at_inference(keras, equal, name):
    x = keras.Input((4, 4, 3))
    layer = getattr(keras.layers, name)
    made = layer()(x) if name in ("Identity", "RandomFlip") else layer(0.3)(x)
    equal(x, made)


@pytest.mark.parametrize(("axis", "values"), [(-1, [1.0, -2.0, 0.5]), (1, [1.0, 2.0]),
                                              ((1, 2), 0.25), (None, 0.5)], ids=str)  # fmt: skip
@pytest.mark.parametrize("invert", [False, True])
def test_normalization_by_powers_of_two(keras, equal, axis, values, invert):
    x = keras.Input((2, 3))
    variance = np.full(np.shape(values), 4.0).tolist()
    made = keras.layers.Normalization(axis, values, variance, invert=invert)(x)
    equal(x, made)


@pytest.mark.parametrize("axis", [-1, 1, None])
def test_adapted_normalization_is_chosen_and_close(keras, compare, axis):
    x = keras.Input((2, 3))
    layer = keras.layers.Normalization(axis=axis)
    loaded, (left,), (right,) = compare(x, layer(x), weights_grid=2.0**-20)
    assert "normalization scales by floats" in loaded.records[-1].reason
    assert np.abs(left - right).max() < 2.0**-12  # 18 bits for values below 2**5


@pytest.mark.parametrize("axis", [1, 2, 3, -2])
def test_batch_normalization_over_any_axis(keras, compare, axis):
    x = keras.Input((2, 3, 4))
    loaded, (left,), (right,) = compare(x, keras.layers.BatchNormalization(axis=axis)(x))
    assert np.abs(left - right).max() < 2.0**-11
    assert loaded.records[-1].regime == "chosen"


def adaptive(low, high, kind, **options):
    import qkeras

    layer = qkeras.QAdaptiveActivation(kind, **options)
    return layer, np.atleast_1d(low), np.atleast_1d(high)


RANGES = [(-3.3, 2.1), (-0.2, 0.4), (-4.0, 7.999), (0.0, 0.0), ([-1.0, -9, 0], [0.5, 3, 40])]


@pytest.mark.parametrize("kind", ["quantized_bits", "quantized_relu"])
@pytest.mark.parametrize("ends", RANGES, ids=str)
@pytest.mark.parametrize("po2", [False, True])
def test_adaptive_activation_by_its_range(keras, kind, ends, po2):
    from qapflow.frontend.live import read_live
    from qapflow.frontend.load import load
    from qapflow.frontend.model import LoadOptions
    from qapflow.ir.interpret import interpret

    layer, low, high = adaptive(
        *ends, kind, total_bits=5, per_channel=len(np.atleast_1d(ends[0])) > 1, po2_rounding=po2,
        relu_neg_slope=0.25 if po2 else 0.0,
    )  # fmt: skip
    x = keras.Input((3,))
    model = keras.Model(x, layer(x))
    layer.ema_min.assign(low)
    layer.ema_max.assign(high)
    grid = Fixed(True, 10, 5)
    loaded = load(read_live(model), LoadOptions(input_types={"": grid}))
    assert loaded.exact
    codes = np.arange(grid.lo, grid.hi + 1)[:, None] + np.zeros((1, 3), int)
    values = grid.decode(codes).astype(np.float32)
    model.predict(values[:1], verbose=0)  # sets the integer bits
    (out,) = loaded.net.outputs
    made = interpret(loaded.net, {loaded.net.inputs[0].name: codes})[out]
    assert np.array_equal(
        loaded.net.edge(out).type.decode(made), model.predict(values, verbose=0, batch_size=2048)
    )


EQUATIONS = [
    ("ab,bc->ac", (6,), (5,), "c"),
    ("abc,cd->abd", (3, 4), (None, 5), "d"),
    ("abc,cde->abde", (3, 4), (None, 2, 3), "e"),
    ("abcd,cde->abe", (2, 3, 4), (None, 5), None),
    ("...x,xy->...y", (2, 3, 4), (5,), "y"),
    ("abc,c->ab", (3, 4), (3,), None),
]


@pytest.mark.parametrize(("equation", "shape", "out", "bias"), EQUATIONS, ids=str)
def test_einsum_dense(keras, equal, equation, shape, out, bias):
    x = keras.Input(shape)
    equal(x, keras.layers.EinsumDense(equation, out, bias_axes=bias, activation="relu")(x))


@pytest.mark.parametrize("equation", ["abc,bd->adc", "abc,bcd->abd"])
def test_einsum_dense_over_other_axes_is_refused(keras, compare, equation):
    from qapflow.errors import ModelUnsupported

    x = keras.Input((3, 4))
    out = (2, 4) if equation.endswith("dc") else (3, 2)
    with pytest.raises(ModelUnsupported, match="is not supported"):
        compare(x, keras.layers.EinsumDense(equation, out)(x))
