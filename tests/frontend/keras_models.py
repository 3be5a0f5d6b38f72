"""Writes models with a real Keras, and what their layers hold; run in a process of its own.

Usage: keras_models.py {tf_keras|keras} FOLDER
"""

import json
import os
import sys
from pathlib import Path

FLAVOUR, FOLDER = sys.argv[1], Path(sys.argv[2])
os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
if FLAVOUR == "tf_keras":
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tf_keras as keras

    sys.modules["keras"] = keras
else:
    import keras

import numpy as np  # noqa: E402

from qapflow.frontend.archive import read_model  # noqa: E402
from qapflow.frontend.live import read_live  # noqa: E402

L = keras.layers
RNG = np.random.default_rng(7)


def mlp():
    return keras.Sequential(
        [
            L.Dense(5, input_shape=(3,), name="a"),
            L.BatchNormalization(name="b"),
            L.Activation("relu", name="c"),
            L.Dropout(0.5),
            L.Dense(2, use_bias=False, name="d"),
        ],
        name="mlp",
    )


def two_inputs():
    x, y = keras.Input((4,), name="x"), keras.Input((4,), name="y")
    shared = L.Dense(4, activation="relu", name="shared")
    p, q = shared(x), shared(y)
    r = L.Add(name="sum")([p, shared(q)])
    s = L.Concatenate(name="cat")([r, x, q])
    return keras.Model([x, y], [L.Dense(2, name="out")(s), L.Multiply(name="product")([r, p])])


def nested(inner="dense"):
    core = keras.Sequential(
        [keras.Input((4,)), L.Dense(4, name="dense"), L.BatchNormalization(name="norm")],
        name="core",
    )
    i = keras.Input((4,))
    h = L.Dense(4, activation="relu", name=inner)(i)
    block = keras.Model(i, [L.Add()([core(h), i]), h], name="block")
    x = keras.Input((4,), name="x")
    first, second = block(x)
    third, fourth = block(L.Dense(4, name="dense")(second))
    return keras.Model(x, [L.Concatenate()([third, first]), fourth], name="whole")


def nested_unique():
    return nested("other")


def nested_sequential():
    return keras.Sequential(
        [
            keras.Sequential([L.Dense(4, input_shape=(3,)), L.BatchNormalization()], name="head"),
            keras.Sequential([L.Dense(3), L.BatchNormalization(center=False)], name="tail"),
            L.Dense(1),
        ]
    )


def frozen():
    model = nested_sequential()
    model.layers[0].layers[0].trainable = False
    model.layers[1].trainable = False
    return model


def convolutions():
    x = keras.Input((8, 8, 2), name="x")
    h = L.Conv2D(4, 3, padding="same", name="conv")(x)
    h = L.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(h)
    h = L.PReLU(shared_axes=[1, 2], name="prelu")(h)
    h = L.SeparableConv2D(3, 2, name="separable")(h)
    h = L.Conv2DTranspose(5, 2, name="transpose")(h)
    h = L.LayerNormalization(name="norm")(h)
    h = L.Conv1D(3, 2, use_bias=False, name="one")(L.Reshape((36, 5))(h))
    return keras.Model(x, L.SeparableConv1D(2, 3, name="separable_one")(h))


def recurrent():
    x = keras.Input((6,), name="x")
    h = L.Embedding(10, 4, name="embedding")(x)
    h = L.TimeDistributed(L.Dense(5), name="each")(h)
    h = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(h)
    h = L.GRU(4, return_sequences=True, name="gru")(h)
    h = L.SimpleRNN(4, return_sequences=True, use_bias=False, name="simple")(h)
    return keras.Model(x, L.LSTM(2, name="lstm")(h))


def keywords():
    x, y = keras.Input((3, 4), name="x"), keras.Input((3, 4), name="y")
    h = L.MultiHeadAttention(2, 2, name="mha")(x, value=y)
    return keras.Model([x, y], L.BatchNormalization(name="norm")(h, training=True))


def code():
    x = keras.Input((3,), name="x")
    return keras.Model(x, L.Lambda(lambda t: t * 2, name="lam")(L.Dense(3, name="dense")(x)))


def operators():
    x, y = keras.Input((3,), name="x"), keras.Input((3,), name="y")
    return keras.Model([x, y], L.Dense(2, name="dense")(x * 2 + y))


def quantized():
    import qkeras as q

    x = keras.Input((8, 8, 1), name="x")
    bits = q.quantized_bits(4, 0, alpha=1)
    h = q.QConv2D(3, 3, kernel_quantizer=bits, bias_quantizer=bits, name="conv")(x)
    h = q.QActivation(q.quantized_relu(4), name="act")(h)
    h = q.QConv2DBatchnorm(4, 2, kernel_quantizer=bits, name="fused")(h)
    h = q.QDepthwiseConv2D(2, depthwise_quantizer=bits, name="depthwise")(h)
    h = q.QBatchNormalization(name="norm", mean_quantizer=bits)(h)
    return keras.Model(x, q.QDense(3, kernel_quantizer=bits, name="dense")(L.Flatten()(h)))


def pruned():
    from tensorflow_model_optimization.python.core.sparsity.keras import prune

    wrap = prune.prune_low_magnitude
    x = keras.Input((3,), name="x")
    h = wrap(L.Dense(4, activation="relu", name="one"))(x)
    h = wrap(L.BatchNormalization(name="norm"))(h)
    h = L.Add(name="sum")([h, wrap(L.Dense(4, name="two"))(h)])
    return keras.Model(x, wrap(L.Dense(2, name="three"))(h))


BUILDERS = [mlp, two_inputs, nested, nested_unique, nested_sequential, frozen, convolutions]
BUILDERS += [recurrent, keywords, code, operators]
if FLAVOUR == "tf_keras":
    BUILDERS += [quantized, pruned]


def fill(model):
    for item in model.weights:
        short = item.name.split(":")[0].split("/")[-1]
        value = np.array(item)
        if short.startswith("mask"):
            value = RNG.integers(0, 2, value.shape)
        elif value.dtype.kind == "f":
            value = RNG.uniform(0.5, 1.5, value.shape) * RNG.choice([-1, 1], value.shape)
            value = abs(value) if "variance" in short else value
        item.assign(value.astype(item.dtype if isinstance(item.dtype, str) else value.dtype))


def leaves(model, path=()):
    for layer in model.layers:
        if hasattr(layer, "layers") and not hasattr(layer, "forward_layer"):
            yield from leaves(layer, (*path, layer.name))
            continue
        inner = getattr(layer, "layer", None)
        pruned_layer = type(layer).__name__ == "PruneLowMagnitude"
        yield (*path, inner.name if pruned_layer else layer.name), layer


def contents(layer, prefix=""):
    if hasattr(layer, "forward_layer"):
        yield from contents(layer.forward_layer, "forward/")
        yield from contents(layer.backward_layer, "backward/")
        return
    for item in layer.weights:
        yield prefix + item.name.split(":")[0].split("/")[-1], np.array(item)


def samples(model):
    for item in model.inputs:
        shape = [5, *[int(size) for size in item.shape[1:]]]
        yield RNG.uniform(-1, 1, shape).astype("float32")


def check_live(model, path):
    """A model in memory is read like its file."""
    live, stored = read_live(model), read_model(path)
    assert [x.name for x in live.layers] == [x.name for x in stored.layers]
    for left, right in zip(live.layers, stored.layers, strict=True):
        assert (left.class_name, left.inbound) == (right.class_name, right.inbound)
        if left.class_name.startswith("MultiHead"):  # a class whose weights have no fixed names
            continue
        assert left.weights.keys() == right.weights.keys()
        for name, array in left.weights.items():
            assert np.array_equal(array, right.weights[name])


for build in BUILDERS:
    name = build.__name__
    model = build()
    fill(model)
    inputs = list(samples(model))
    arrays = {f"in{k}": value for k, value in enumerate(inputs)}
    if name not in ("recurrent", "pruned"):
        outputs = model(inputs if len(inputs) > 1 else inputs[0])
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        arrays.update({f"out{k}": np.array(value) for k, value in enumerate(outputs)})
    np.savez(FOLDER / f"{name}.io.npz", **arrays)
    expected = {}
    for path, layer in leaves(model):
        for k, (short, value) in enumerate(contents(layer)):
            key = "/".join(path) + "|" + short
            expected[key if key not in expected else f"{key}#{k}"] = value
    np.savez(FOLDER / f"{name}.npz", **expected)
    weights = f"{name}{'_' if FLAVOUR == 'tf_keras' else '.'}weights.h5"
    failed = {}
    for target, save in [
        (f"{name}.h5", model.save),
        (f"{name}.keras", model.save),
        (weights, model.save_weights),
    ]:
        try:
            save(FOLDER / target)
        except (ValueError, TypeError, NotImplementedError) as error:  # Keras' own limits
            failed[target] = str(error)
            (FOLDER / target).unlink(missing_ok=True)
    (FOLDER / f"{name}.json").write_text(model.to_json())
    (FOLDER / f"{name}.failed").write_text(json.dumps(failed))
    check_live(model, FOLDER / f"{name}.keras")
