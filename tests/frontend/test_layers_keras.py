"""Every layer kind against real Keras and QKeras: saved, read, interpreted, compared exactly."""

import os

import numpy as np
import pytest

from qapflow.frontend.load import load
from qapflow.frontend.model import LoadOptions
from qapflow.ir.check import check
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret

pytestmark = [
    pytest.mark.needs_keras,
    pytest.mark.filterwarnings("ignore"),  # TensorFlow and QKeras warn about themselves
]

GRID = Fixed(True, 8, 4)
W = "quantized_bits(5,1,alpha=1)"


@pytest.fixture(scope="module")
def keras():
    """tf-keras, with QKeras importable beside it."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import sys

    import tf_keras

    sys.modules.setdefault("keras", tf_keras)
    return tf_keras


def randomise(model, rng):
    """Weights of every sign and size, moving variances positive."""
    for layer in model.layers:
        new = []
        for weight in layer.weights:
            name = weight.name.rsplit("/", 1)[-1]
            if "iteration" in name:
                new.append(weight.numpy())
            elif "variance" in name or "gamma" in name:
                new.append(rng.uniform(0.5, 2, weight.shape))
            else:
                new.append(rng.normal(0, 0.7, weight.shape))
        layer.set_weights(new)


def agree(keras, tmp_path, inputs, outputs, seed=0, samples=64, exact=True, grid=GRID):
    """Save, load and compare; return the loaded network."""
    rng = np.random.default_rng(seed)
    model = keras.Model(inputs, outputs)
    randomise(model, rng)
    path = tmp_path / "model.h5"
    model.save(path, include_optimizer=False)
    loaded = load(path, LoadOptions(input_types={"": grid}))
    assert check(loaded.net) == []
    codes = {
        node.name: rng.integers(grid.lo, grid.hi + 1, (samples, *node.out.shape))
        for node in loaded.net.inputs
    }
    for name in codes:
        codes[name][0], codes[name][1] = grid.lo, grid.hi
    made = interpret(loaded.net, codes)
    values = [grid.decode(codes[node.name]).astype(np.float32) for node in loaded.net.inputs]
    expected = model.predict(values if len(values) > 1 else values[0], verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    for name, right in zip(loaded.net.outputs, expected, strict=True):
        left = loaded.net.edge(name).type.decode(made[name])
        assert left.shape == right.shape
        differ = left != right.astype(np.float64)
        if exact:
            assert not differ.any(), np.abs(left - right).max()
        else:  # the codes counted in the record: Keras's float32 may round them to their neighbour
            assert np.abs(left - right).max() <= loaded.net.edge(name).type.lsb
            assert differ.mean() < 0.005
    if exact:
        assert loaded.exact, [(r.name, r.reason) for r in loaded.records if r.reason]
    return loaded


def flat_cases(k, q):
    """Name -> function of a [10] tensor."""
    L = k.layers
    return {
        "dense": lambda x: q.QDense(7, kernel_quantizer=W, bias_quantizer=W)(x),
        "dense no bias": lambda x: q.QDense(7, kernel_quantizer=W, use_bias=False)(x),
        "dense activation": lambda x: q.QDense(
            7, kernel_quantizer=W, bias_quantizer=W, activation="quantized_relu(4,1)"
        )(x),
        "dense auto_po2": lambda x: q.QDense(
            7, kernel_quantizer="quantized_bits(4,0)", bias_quantizer=W
        )(x),
        "dense binary": lambda x: q.QDense(7, kernel_quantizer="binary(alpha=1)", bias_quantizer=W)(
            x
        ),
        "dense ternary": lambda x: q.QDense(
            7, kernel_quantizer="ternary(alpha=1)", bias_quantizer=W
        )(x),
        "relu": lambda x: L.ReLU()(x),
        "relu6": lambda x: L.ReLU(max_value=3.0)(x),
        "leaky": lambda x: L.LeakyReLU(alpha=0.25)(x),
        "relu all": lambda x: L.ReLU(max_value=4.0, negative_slope=0.5, threshold=1.0)(x),
        "activation relu": lambda x: L.Activation("relu")(x),
        "add": lambda x: L.Add()([x, q.QActivation("quantized_relu(3,1)")(x)]),
        "subtract": lambda x: L.Subtract()([x, q.QActivation("quantized_relu(3,1)")(x)]),
        "multiply": lambda x: L.Multiply()([x, q.QActivation("quantized_bits(4,1,alpha=1)")(x)]),
        "maximum": lambda x: L.Maximum()([x, q.QActivation("quantized_bits(4,1,alpha=1)")(x)]),
        "minimum": lambda x: L.Minimum()([x, q.QActivation("quantized_bits(4,1,alpha=1)")(x)]),
        "average": lambda x: L.Average()([x, q.QActivation("quantized_bits(4,1,alpha=1)")(x)]),
        "concatenate": lambda x: L.Concatenate()([x, q.QActivation("quantized_relu(3,1)")(x)]),
        "dropout": lambda x: L.Dropout(0.5)(L.GaussianNoise(0.1)(x)),
        "reshape": lambda x: L.Permute((2, 1))(L.Reshape((5, -1))(x)),
        "repeat": lambda x: L.RepeatVector(3)(x),
        "two outputs": lambda x: [L.ReLU()(x), q.QActivation("quantized_relu(3,1)")(x)],
    }


FLAT = (
    "dense", "dense no bias", "dense activation", "dense auto_po2", "dense binary",
    "dense ternary", "relu", "relu6", "leaky", "relu all", "activation relu", "add", "subtract",
    "multiply", "maximum", "minimum", "average", "concatenate", "dropout", "reshape", "repeat",
    "two outputs",
)  # fmt: skip


@pytest.mark.parametrize("case", FLAT)
def test_flat_layer(keras, tmp_path, case):
    import qkeras

    x = keras.Input((10,))
    agree(keras, tmp_path, x, flat_cases(keras, qkeras)[case](x))


def image_cases(k, q):
    """Name -> function of an [8, 9, 4] tensor."""
    L = k.layers
    both = {"kernel_quantizer": W, "bias_quantizer": W}
    deep = {"depthwise_quantizer": W, "bias_quantizer": W}
    return {
        "conv valid": lambda x: q.QConv2D(3, (3, 2), **both)(x),
        "conv same stride": lambda x: q.QConv2D(3, 3, strides=2, padding="same", **both)(x),
        "conv dilation": lambda x: q.QConv2D(3, 3, dilation_rate=(2, 1), padding="same", **both)(x),
        "depthwise": lambda x: q.QDepthwiseConv2D(3, depth_multiplier=2, **deep)(x),
        "depthwise same": lambda x: q.QDepthwiseConv2D((2, 3), padding="same", **deep)(x),
        "separable": lambda x: q.QSeparableConv2D(
            5, 3, depthwise_quantizer=W, pointwise_quantizer=W, bias_quantizer=W
        )(x),
        "max pool": lambda x: L.MaxPooling2D((2, 3))(x),
        "max pool same": lambda x: L.MaxPooling2D(3, strides=2, padding="same")(x),
        "average pool": lambda x: L.AveragePooling2D(2)(x),
        "average pool 3, quantized": lambda x: q.QActivation("quantized_bits(6,3,alpha=1)")(
            L.AveragePooling2D(3)(x)
        ),
        "global max": lambda x: L.GlobalMaxPooling2D()(x),
        "global average, quantized": lambda x: q.QActivation("quantized_bits(9,3,alpha=1)")(
            L.GlobalAveragePooling2D()(x)
        ),
        "flatten": lambda x: L.Flatten()(x),
        "permute": lambda x: L.Permute((3, 1, 2))(x),
        "pad and crop": lambda x: L.Cropping2D(((1, 0), (0, 2)))(L.ZeroPadding2D((2, 1))(x)),
        "upsample": lambda x: L.UpSampling2D((2, 3))(x),
        "conv batchnorm": lambda x: q.QConv2DBatchnorm(3, 3, **both)(x),
        "depthwise batchnorm": lambda x: q.QDepthwiseConv2DBatchnorm(3, **deep)(x),
        "batchnorm, quantized": lambda x: q.QActivation("quantized_relu(6,3)")(
            L.BatchNormalization()(q.QConv2D(3, 3, **both)(x))
        ),
    }


IMAGE = (
    "conv valid", "conv same stride", "conv dilation", "depthwise", "depthwise same",
    "separable", "max pool", "max pool same", "average pool", "average pool 3, quantized",
    "global max", "global average, quantized", "flatten", "permute", "pad and crop", "upsample",
    "conv batchnorm", "depthwise batchnorm", "batchnorm, quantized",
)  # fmt: skip


@pytest.mark.parametrize("case", IMAGE)
def test_image_layer(keras, tmp_path, case):
    import qkeras

    x = keras.Input((8, 9, 4))
    result = image_cases(keras, qkeras)[case](x)
    agree(keras, tmp_path, x, result, exact=case != "batchnorm, quantized")


def row_cases(k, q):
    """Name -> function of a [12, 3] tensor."""
    L = k.layers
    both = {"kernel_quantizer": W, "bias_quantizer": W}
    return {
        "conv1d": lambda x: q.QConv1D(4, 3, **both)(x),
        "conv1d causal": lambda x: q.QConv1D(4, 3, padding="causal", dilation_rate=2, **both)(x),
        "conv1d same stride": lambda x: q.QConv1D(4, 4, strides=2, padding="same", **both)(x),
        "dense over rows": lambda x: q.QDense(5, **both)(x),
        "max pool 1d": lambda x: L.MaxPooling1D(2)(x),
        "average pool 1d": lambda x: L.AveragePooling1D(4)(x),
        "global max 1d": lambda x: L.GlobalMaxPooling1D()(x),
        "pad 1d": lambda x: L.Cropping1D((0, 1))(L.ZeroPadding1D((2, 1))(x)),
        "upsample 1d": lambda x: L.UpSampling1D(2)(x),
        "concat rows": lambda x: L.Concatenate(axis=1)([x, L.ReLU()(x)]),
        "separable 1d": lambda x: q.QSeparableConv1D(
            5, 3, depthwise_quantizer=W, pointwise_quantizer=W, bias_quantizer=W
        )(x),
    }


ROW = (
    "conv1d", "conv1d causal", "conv1d same stride", "dense over rows", "max pool 1d",
    "average pool 1d", "global max 1d", "pad 1d", "upsample 1d", "concat rows", "separable 1d",
)  # fmt: skip


@pytest.mark.parametrize("case", ROW)
def test_row_layer(keras, tmp_path, case):
    import qkeras

    x = keras.Input((12, 3))
    agree(keras, tmp_path, x, row_cases(keras, qkeras)[case](x))


def test_two_inputs_and_a_nested_shared_model(keras, tmp_path):
    import qkeras

    inner_in = keras.Input((6,))
    inner = keras.Model(
        inner_in, qkeras.QDense(4, kernel_quantizer=W, bias_quantizer=W, name="d")(inner_in)
    )
    a, b = keras.Input((6,)), keras.Input((6,))
    loaded = agree(keras, tmp_path, [a, b], keras.layers.Add()([inner(a), inner(b)]))
    assert len(loaded.net.inputs) == 2


def test_qbatchnorm_before_a_quantizer(keras, tmp_path):
    import qkeras

    x = keras.Input((10,))
    y = qkeras.QDense(6, kernel_quantizer=W, bias_quantizer=W)(x)
    y = qkeras.QActivation("quantized_relu(6,3)")(qkeras.QBatchNormalization()(y))
    agree(keras, tmp_path, x, y, exact=False)


def test_float_model_is_chosen_and_close(keras, tmp_path):
    model = keras.Sequential(
        [
            keras.layers.Input((10,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )
    rng = np.random.default_rng(3)
    randomise(model, rng)
    model.save(tmp_path / "float.h5", include_optimizer=False)
    values = rng.normal(0, 1, (500, 10))
    loaded = load(
        tmp_path / "float.h5", LoadOptions(calibration={model.input_names[0]: values[:250]})
    )
    assert not loaded.exact
    (node,) = loaded.net.inputs
    codes, _ = node.out.type.encode(values)
    made = interpret(loaded.net, {node.name: codes})
    (name,) = loaded.net.outputs
    left = loaded.net.edge(name).type.decode(made[name])
    right = model.predict(values.astype(np.float32), verbose=0)
    # 18-bit types on values of order ten leave about 1e-3; softmax adds at most 1e-3 (its bound)
    assert np.abs(left - right).max() < 4e-3


def test_a_live_model_takes_the_same_way_as_a_file(keras, tmp_path):
    import qkeras

    import qapflow

    x = keras.Input((6,), name="box")
    y = qkeras.QDense(4, kernel_quantizer=W, bias_quantizer=W, name="d")(x)
    model = keras.Model(x, y, name="live")
    randomise(model, np.random.default_rng(1))
    report = qapflow.build(
        model, "pynq-z2", output=tmp_path / "live", csim=False, vectors=50, clock_ns=8.0
    )
    assert report.passed
    assert report.regime == "exact"
    verdicts = {(c.left, c.right): c.verdict for c in report.comparisons}
    assert verdicts["Keras", "interpreter"] == "equal"
    assert (tmp_path / "live.h5").exists()
