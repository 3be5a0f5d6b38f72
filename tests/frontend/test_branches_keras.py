"""Many settings of each layer at once: models with one output a case, compared with Keras."""

import os
import sys

import numpy as np
import pytest

from qapflow.frontend.live import read_live
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
RELU = "quantized_relu(6,3)"
BITS = "quantized_bits(7,3,alpha=1)"


@pytest.fixture(scope="module")
def kq():
    """tf-keras layers, QKeras and tf-keras."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import tf_keras

    sys.modules.setdefault("keras", tf_keras)
    import qkeras

    return tf_keras.layers, qkeras, tf_keras


def fill(model, rng):
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


def compare(keras, inputs, branches, samples, seed=0, grid=GRID):
    """Return {case: (number of different values, reasons of its chosen layers)}."""
    rng = np.random.default_rng(seed)
    model = keras.Model(inputs, list(branches.values()))
    fill(model, rng)
    loaded = load(read_live(model), LoadOptions(input_types={"": grid}))
    assert check(loaded.net) == []
    inputs = inputs if isinstance(inputs, list) else [inputs]
    codes = {}
    for node in loaded.net.inputs:
        codes[node.name] = rng.integers(grid.lo, grid.hi + 1, (samples, *node.out.shape))
        codes[node.name][0], codes[node.name][1] = grid.lo, grid.hi
    made = interpret(loaded.net, codes)
    values = [grid.decode(codes[n.name]).astype(np.float32) for n in loaded.net.inputs]
    expected = model.predict(values if len(values) > 1 else values[0], verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    results = {}
    for case, name, right in zip(branches, loaded.net.outputs, expected, strict=True):
        left = loaded.net.edge(name).type.decode(made[name])
        assert left.shape == right.shape, case
        results[case] = (int(np.count_nonzero(left != right)), why(loaded, name))
    return results


def why(loaded, output):
    """Reasons of the layers that an output depends on."""
    needed = {output}
    for node in reversed(loaded.net.nodes):
        if node.name in needed:
            needed |= set(node.inputs)
    return [r.reason for r in loaded.records if r.edge in needed and r.reason]


def require(results, chosen=()):
    """All cases equal Keras; those in `chosen` need not be called exact."""
    assert {case: wrong for case, (wrong, _) in results.items() if wrong} == {}
    inexact = {case: reasons for case, (_, reasons) in results.items() if reasons}
    assert set(inexact) <= set(chosen), inexact


def test_dense_settings(kq):
    L, q, keras = kq
    x = keras.Input((10,))
    act = q.QActivation
    kernels = {
        "quantized_bits": "quantized_bits(4,0,alpha=1)",
        "auto_po2 by default": "quantized_bits(6,1)",
        "unsigned": "quantized_bits(4,0,keep_negative=0,alpha=1)",
        "symmetric": "quantized_bits(4,1,1,alpha=1)",
        "alpha 0.5": "quantized_bits(4,1,alpha=0.5)",
        "sign": "quantized_bits(1,1,alpha=1)",
        "binary": "binary()",
        "ternary": "ternary(alpha=1,threshold=0.5)",
        "po2": "quantized_po2(4,2)",
        "stochastic": "stochastic_ternary(alpha=1)",
    }
    cases = {
        name: q.QDense(5, kernel_quantizer=text, bias_quantizer=W)(x)
        for name, text in kernels.items()
    }
    cases |= {
        "float bias, relu": act(RELU)(q.QDense(7, kernel_quantizer=W)(x)),
        "float bias, bits": act(BITS)(q.QDense(7, kernel_quantizer=W)(x)),
        "float bias, sign": act("binary(alpha=1)")(q.QDense(7, kernel_quantizer=W)(x)),
        "float bias, tanh": act("quantized_tanh(6)")(q.QDense(7, kernel_quantizer=W)(x)),
        "float bias, sigmoid": act("quantized_sigmoid(6)")(q.QDense(7, kernel_quantizer=W)(x)),
        "float bias, leaky": act("quantized_relu(6,2,negative_slope=0.25)")(
            q.QDense(7, kernel_quantizer=W)(x)
        ),
        "float bias, own": q.QDense(7, kernel_quantizer=W, activation=RELU)(x),
        "float bias, two readers": L.Add()(
            (lambda d: [act(RELU)(d), act(BITS)(d)])(q.QDense(7, kernel_quantizer=W)(x))  # noqa: PLC3002
        ),
        "float bias, flatten": act(RELU)(L.Flatten()(L.Reshape((5, 2))(L.Dropout(0.2)(q.QDense(
            10, kernel_quantizer=W)(x))))),
    }  # fmt: skip
    require(compare(keras, x, cases, 300))


def test_activation_layers(kq):
    L, q, keras = kq
    x = keras.Input((10,))
    cases = {
        "relu": L.Activation("relu")(x),
        "relu6": L.Activation("relu6")(x),
        "linear": L.Activation("linear")(x),
        "ReLU max": L.ReLU(max_value=2.5)(x),
        "ReLU slope": L.ReLU(negative_slope=0.125)(x),
        "ReLU threshold": L.ReLU(threshold=1.5)(x),
        "ReLU all": L.ReLU(max_value=5, negative_slope=0.25, threshold=0.5)(x),
        "LeakyReLU": L.LeakyReLU(alpha=0.5)(x),
        "ThresholdedReLU": L.ThresholdedReLU(theta=1.3)(x),
        "ThresholdedReLU at a code": L.ThresholdedReLU(theta=2.0)(x),
        "Dense with LeakyReLU": q.QActivation("quantized_bits(9,3,alpha=1)")(
            L.LeakyReLU(alpha=0.25)(q.QDense(4, kernel_quantizer=W, bias_quantizer=W)(x))
        ),
        "QActivation hard_sigmoid": q.QActivation("hard_sigmoid")(x),
        "QActivation relu": q.QActivation("relu")(x),
        "ulaw-free tanh": q.QActivation("quantized_tanh(5,symmetric=True)")(x),
        "po2": q.QActivation("quantized_po2(4)")(x),
        "relu po2": q.QActivation("quantized_relu_po2(4)")(x),
        "hswish": q.QActivation("quantized_hswish(7,2,alpha=1)")(x),
    }
    require(compare(keras, x, cases, 300))


def test_image_settings(kq):
    L, q, keras = kq
    x = keras.Input((9, 7, 4))
    both = {"kernel_quantizer": W, "bias_quantizer": W}
    deep = {"depthwise_quantizer": W, "bias_quantizer": W}
    cases = {}
    for padding in ("valid", "same"):
        for k, s in ((1, 1), (2, 1), (3, 2), ((2, 3), (3, 2)), (4, 3)):
            cases[f"conv {padding} {k} {s}"] = q.QConv2D(3, k, strides=s, padding=padding, **both)(
                x
            )
            cases[f"max {padding} {k} {s}"] = L.MaxPooling2D(k, strides=s, padding=padding)(x)
            cases[f"mean {padding} {k} {s}"] = q.QActivation(BITS)(
                L.AveragePooling2D(k, strides=s, padding=padding)(x)
            )
        for s in (1, 2, 3):
            cases[f"depthwise {padding} {s}"] = q.QDepthwiseConv2D(
                3, strides=s, padding=padding, depth_multiplier=2, **deep
            )(x)
            cases[f"separable {padding} {s}"] = q.QSeparableConv2D(
                5, 3, strides=s, padding=padding, depthwise_quantizer=W, pointwise_quantizer=W,
                bias_quantizer=W, depth_multiplier=2,
            )(x)  # fmt: skip
        cases[f"dilation {padding}"] = q.QConv2D(3, 2, dilation_rate=3, padding=padding, **both)(x)
        cases[f"depthwise dilation {padding}"] = q.QDepthwiseConv2D(
            2, dilation_rate=(2, 2), padding=padding, **deep
        )(x)
    cases |= {
        "mean 2x2 same, powers of two": L.AveragePooling2D(2, padding="same")(x),
        "mean 4x2": L.AveragePooling2D((4, 2))(x),
        "float bias": q.QActivation(RELU)(q.QConv2D(3, 3, kernel_quantizer=W)(x)),
        "float bias, pooled": q.QActivation(RELU)(
            L.ZeroPadding2D(1)(q.QConv2D(3, 3, kernel_quantizer=W)(x))
        ),
        "float bias, depthwise": q.QActivation(RELU)(q.QDepthwiseConv2D(3, depthwise_quantizer=W)(x)),  # noqa: E501
        "global mean": q.QActivation("quantized_bits(9,3,alpha=1)")(L.GlobalAveragePooling2D()(x)),
        "global mean, keepdims": q.QActivation("quantized_relu(8,3)")(
            L.GlobalAveragePooling2D(keepdims=True)(x)
        ),
        "global max": L.GlobalMaxPooling2D(keepdims=True)(x),
        "QAveragePooling2D": q.QAveragePooling2D(
            2, average_quantizer="quantized_bits(8,0,alpha=1)", activation=BITS
        )(x),
        "QAveragePooling2D without": q.QAveragePooling2D((3, 2), activation=RELU)(x),
        "pad 2D": L.ZeroPadding2D(((1, 2), (0, 3)))(x),
        "crop 2D": L.Cropping2D((1, 2))(x),
        "upsample": L.UpSampling2D((3, 2))(x),
        "permute": L.Permute((3, 1, 2))(x),
        "noops": L.SpatialDropout2D(0.3)(L.GaussianDropout(0.3)(L.AlphaDropout(0.1)(
            L.ActivityRegularization(0.1)(x)))),
        "broadcast": L.Multiply()([x, L.Reshape((1, 1, 4))(
            q.QActivation(RELU)(L.GlobalMaxPooling2D()(x)))]),
        "average of three": q.QActivation(BITS)(L.Average()([x, L.ReLU()(x), L.ReLU(max_value=1.0)(x)])),  # noqa: E501
        "concatenate": L.Concatenate(axis=2)([x, L.ReLU()(x)]),
        "folded": q.QConv2DBatchnorm(3, 3, strides=2, padding="same", **both)(x),
        "folded, batch stats": q.QConv2DBatchnorm(
            3, 3, use_bias=False, folding_mode="batch_stats_folding", activation=RELU, **both
        )(x),
        "folded depthwise": q.QDepthwiseConv2DBatchnorm(
            3, depth_multiplier=2, padding="same", **deep
        )(x),
        "folded, float bias": q.QActivation(RELU)(q.QConv2DBatchnorm(3, 3, kernel_quantizer=W)(x)),
        "dense on the last axis": q.QDense(3, **both)(x),
    }  # fmt: skip
    require(compare(keras, x, cases, 60))


def test_row_settings(kq):
    L, q, keras = kq
    x = keras.Input((13, 3))
    both = {"kernel_quantizer": W, "bias_quantizer": W}
    cases = {}
    for padding in ("valid", "same", "causal"):
        for k, s, d in ((1, 1, 1), (3, 2, 1), (2, 1, 3), (4, 3, 1)):
            cases[f"conv {padding} {k} {s} {d}"] = q.QConv1D(
                4, k, strides=s, dilation_rate=d, padding=padding, **both
            )(x)
    for padding in ("valid", "same"):  # QSeparableConv1D itself fails with "causal"
        cases[f"separable {padding}"] = q.QSeparableConv1D(
            5, 3, strides=2, padding=padding, depthwise_quantizer=W, pointwise_quantizer=W,
            bias_quantizer=W,
        )(x)  # fmt: skip
        for k, s in ((2, 2), (3, 1), (5, 3)):
            cases[f"max {padding} {k} {s}"] = L.MaxPooling1D(k, strides=s, padding=padding)(x)
            cases[f"mean {padding} {k} {s}"] = q.QActivation(RELU)(
                L.AveragePooling1D(k, strides=s, padding=padding)(x)
            )
    cases |= {
        "global mean": q.QActivation(BITS)(L.GlobalAveragePooling1D()(x)),
        "global max": L.GlobalMaxPooling1D()(x),
        "pad": L.ZeroPadding1D((2, 0))(x),
        "crop": L.Cropping1D(2)(x),
        "upsample": L.UpSampling1D(3)(x),
        "reshape": L.Reshape((3, -1))(x),
        "permute": L.Permute((2, 1))(x),
        "add rows": L.Add()([x, L.ReLU()(x), L.ReLU(max_value=3.0)(x)]),
        "lower rank": L.Add()([x, q.QActivation(RELU)(L.GlobalMaxPooling1D()(x))]),
    }
    require(compare(keras, x, cases, 100))
