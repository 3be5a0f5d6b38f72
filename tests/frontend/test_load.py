"""Models written by hand: what is built, what is refused, and which types are chosen."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from qapflow.errors import ModelUnsupported, UsageError
from qapflow.frontend.load import load
from qapflow.frontend.model import LayerSpec, LoadOptions, ModelSpec
from qapflow.ir.check import check
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Affine, Dense

GRID = Fixed(True, 8, 4)
W = "quantized_bits(5,1,alpha=1)"
RNG = np.random.default_rng(0)


def layer(name, class_name, inbound=(), weights=None, masks=None, **config):
    """Return one call of a layer."""
    links = tuple((item, 0) if isinstance(item, str) else item for item in inbound)
    arrays = {k: np.asarray(v, np.float32) for k, v in (weights or {}).items()}
    return LayerSpec(name, class_name, {"name": name, **config}, arrays, links, masks or {})


def box(shape, name="x", **config):
    """Return an input layer."""
    return layer(name, "InputLayer", batch_input_shape=[None, *shape], **config)


def model(*layers, outputs=None):
    """Return a model whose last layer is the output."""
    inputs = tuple(item.name for item in layers if item.class_name == "InputLayer")
    outputs = outputs or (layers[-1].name,)
    links = tuple((name, 0) for name in outputs)
    return ModelSpec("m", layers, inputs, links, "2.11.0", "memory", "")


def dense(name, inbound, n_in, n_out, seed=0, **config):
    """Return a QDense with random weights."""
    rng = np.random.default_rng(seed)
    weights = {"kernel": rng.normal(0, 0.7, (n_in, n_out)), "bias": rng.normal(0, 0.7, n_out)}
    settings = {"units": n_out, "use_bias": True, "kernel_quantizer": W, **config}
    return layer(name, "QDense", inbound, weights, **settings)


def chain(shape, *layers):
    """Return a model of layers one behind the other."""
    linked, before = [box(shape)], "x"
    for item in layers:
        linked.append(replace(item, inbound=((before, 0),)))
        before = item.name
    return model(*linked)


def load_on(spec, **options):
    """Load with 8-bit inputs and check the network."""
    loaded = load(spec, LoadOptions(input_types={"": GRID}, **options))
    assert check(loaded.net) == []
    return loaded


def refused(spec, **options):
    """Return {layer: (reason, hint)} of a refused model."""
    with pytest.raises(ModelUnsupported) as caught:
        load(spec, LoadOptions(**options))
    return {item.layer: (item.reason, item.hint) for item in caught.value.items}


def run(loaded, count=200, seed=1):
    """Return random input values and the values of the first output."""
    (node,) = loaded.net.inputs
    rng = np.random.default_rng(seed)
    codes = rng.integers(node.out.type.lo, node.out.type.hi + 1, (count, *node.out.shape))
    name = loaded.net.outputs[0]
    made = interpret(loaded.net, {node.name: codes})[name]
    return node.out.type.decode(codes), loaded.net.edge(name).type.decode(made)


def test_everything_refused_is_listed_at_once():
    spec = chain(
        (6,),
        layer("code", "Lambda"),
        dense("fine", (), 6, 4),
        layer("noise", "QActivation", activation="bernoulli()"),
        layer("soft", "Softmax", axis=-1),
        layer("odd", "MyLayer"),
        layer("conv", "Conv2D", weights={"kernel": np.ones((2, 2, 3, 4))}, use_bias=False,
              data_format="channels_first"),
        layer("flat", "Flatten"),
        dense("last", (), 77, 2, kernel_quantizer="quantized_bit(4)"),
    )  # fmt: skip
    found = refused(spec)
    assert list(found) == ["code", "noise", "odd", "conv", "last"]
    assert "never run" in found["code"][1]
    assert "random" in found["noise"][0]
    assert found["odd"] == ("layers of class MyLayer are not supported",
                            "replace it by layers that docs/layers.md lists")  # fmt: skip
    assert found["conv"][0] == "data_format='channels_first' is not supported"
    assert found["last"][1] == "did you mean quantized_bits?"


def test_guessed_shapes_complain_of_nothing():
    norm = {name: np.ones(5) for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    spec = chain(
        (6,),
        layer("code", "Lambda"),
        layer("shape", "Reshape", target_shape=[7, 5]),
        layer("norm", "BatchNormalization", weights=norm, axis=[2]),
        layer("pool", "AveragePooling2D", pool_size=[2, 2]),
        layer("add", "Add"),
    )
    assert list(refused(spec)) == ["code"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ConvLSTM2D", "use LSTM or GRU behind Conv layers"),
        ("CuDNNGRU", "build the model again with LSTM or GRU"),
        ("TensorFlowOpLayer", "replace the TensorFlow operation"),
        ("ops>Erf", "replace the TensorFlow operation"),
        ("TFOpLambda", "replace the operation"),
        ("Masking", "fixed length"),
        ("Conv3D", "use Conv2D"),
    ],
)
def test_hints(name, text):
    assert text in refused(chain((6,), layer("a", name)))["a"][1]


def test_a_layer_called_with_settings_is_refused():
    found = refused(chain((6,), layer("a", "Dropout(training=1)")))
    assert "settings that change what it computes" in found["a"][0]


def test_a_foreign_layer_of_a_known_name_is_refused():
    found = refused(chain((6,), layer("a", "mylib>Dense")))
    assert found["a"][0].startswith("Dense of the package 'mylib' is not the layer")


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (layer("a", "Reshape", target_shape=[4, -1]), "target_shape=[4, -1] does not fit (6,)"),
        (layer("a", "MaxPooling2D"), "it gets an input of shape (6,)"),
        (layer("a", "UpSampling1D", size=2), "it gets an input of shape (6,)"),
        (layer("a", "Softmax", axis=7), "softmax over axis 7"),
        (layer("a", "Concatenate", axis=3), "axis=3 does not join 1 axes"),
        (layer("a", "Subtract"), "it subtracts 1 inputs"),
        (dense("a", (), 5, 2), "dense weights (5, 2) do not fit input (6,)"),
        (layer("a", "Dense", units=2), "its weight 'kernel' is not in the file"),
        (layer("a", "ReLU", max_value="x"), "its configuration cannot be understood (ValueError:"),
        (layer("a", "LeakyReLU", alpha="x"), "'x' is no number"),
        (layer("a", "Reshape"), "cannot be understood (KeyError: 'target_shape')"),
        (layer("a", "Dropout", dtype="mixed_float16"), "it computes in mixed_float16"),
        (layer("a", "BatchNormalization", axis=[2]), "batch normalization over axis 2"),
        (layer("a", "Rescaling", scale=float("nan")), "rescaling has a factor or offset that is"),
    ],
)  # fmt: skip
def test_misfits(bad, text):
    assert text in refused(chain((6,), bad))["a"][0]


def test_two_dimensional_refusals():
    image = (8, 8, 2)
    cases = {
        "padding='full'": layer("a", "MaxPooling2D", padding="full"),
        "interpolation='bicubic'": layer("a", "UpSampling2D", interpolation="bicubic"),
        "channels_first": layer("a", "Flatten", data_format="channels_first"),
        "[2, 2, 2] is no setting for 2 axes": layer("a", "MaxPooling2D", pool_size=[2, 2, 2]),
        "[1, 0] is no setting for 2 axes": layer("a", "MaxPooling2D", strides=[1, 0]),
        "0 is no setting for 2 axes": layer("a", "UpSampling2D", size=0),
    }
    for text, bad in cases.items():
        assert text in refused(chain(image, bad))["a"][0]


def test_inverse_quantizer_is_refused():
    norm = {name: np.ones(6) for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    bad = layer("a", "QBatchNormalization", weights=norm, inverse_quantizer="quantized_bits(8)")
    assert refused(chain((6,), bad))["a"][0] == "inverse_quantizer is not supported"


def test_open_shapes_and_half_inputs_are_refused_with_what_follows():
    spec = model(
        box((None, 3)),
        box((4,), "y", dtype="float16"),
        layer("a", "Lambda", ["x"]),
        layer("b", "Add", ["a", "y"]),
    )
    found = refused(spec)
    assert found["x"] == ("its shape [?, 3] is not fixed", "save it with a fixed input shape")
    assert found["y"][0] == "its values are rounded to float16"
    assert "a" in found


def test_shapes_beyond_all_memory_are_refused_by_name():
    found = refused(model(box((12, 10**9)), layer("a", "ReLU", ["x"])))
    assert found == {"x": ("one sample of it has 12000000000 values", "a smaller input")}
    found = refused(chain((4, 2), layer("a", "ZeroPadding1D", padding=10**13)))
    assert found["a"] == ("its values do not fit in memory", "a smaller layer or input")


def test_a_second_output_is_refused():
    spec = model(box((6,)), layer("a", "ReLU", ["x"]), layer("b", "ReLU", [("a", 1)]))
    assert refused(spec)["b"][0].startswith("a second output of a layer is used")


def test_unknown_input_name():
    with pytest.raises(UsageError, match="the model has no input 'z'"):
        load(chain((6,), layer("a", "ReLU")), LoadOptions(input_types={"z": GRID}))


def test_input_types():
    relu = layer("a", "ReLU")
    first = layer("q", "QActivation", activation="quantized_bits(6,2,alpha=1)")
    samples = {"x": np.linspace(-3, 2.5, 12).reshape(2, 6)}

    def kind(spec, **options):
        (node,) = load(spec, LoadOptions(**options)).net.inputs
        return str(node.out.type)

    assert kind(chain((6,), relu)) == "s16.10"
    assert kind(chain((6,), relu), input_types={"": GRID}) == "s8.4"
    assert kind(chain((6,), layer("d", "Dropout"), first)) == "s6.3"
    assert kind(chain((6,), first), input_types={"x": GRID}) == "s8.4"
    assert kind(chain((6,), relu), calibration=samples) == "s16.13"
    assert kind(model(box((6,), dtype="uint8"), replace(relu, inbound=(("x", 0),)))) == "u8.0"


def test_a_fraction_for_whole_numbers_is_an_error():
    spec = model(box((6,), dtype="int32"), layer("a", "ReLU", ["x"]))
    with pytest.raises(UsageError, match="has a fraction, but the model takes int32"):
        load(spec, LoadOptions(input_types={"": GRID}))


def test_calibration_of_another_shape():
    with pytest.raises(UsageError, match="have shape"):
        load(chain((6,), layer("a", "ReLU")), LoadOptions(calibration={"x": np.zeros((3, 5))}))


def quantize_relu(value, bits, integer):
    """Ties to even, saturated: what quantized_relu does to a real number."""
    step = Fraction(2) ** (integer - bits)
    return float(min(max(round(value / step), 0), 2**bits - 1) * step)


@pytest.mark.parametrize("act", ["own", "next", "behind flatten"])
def test_a_float_bias_costs_no_bits_before_a_quantizer(act):
    text = "quantized_relu(4,1)"
    first = dense("d", (), 6, 5, activation=text if act == "own" else None)
    rest = {
        "own": [],
        "next": [layer("q", "QActivation", activation=text)],
        "behind flatten": [layer("f", "Flatten"), layer("q", "QActivation", activation=text)],
    }[act]
    loaded = load_on(chain((6,), first, *rest))
    assert loaded.exact
    (node,) = [n for n in loaded.net.nodes if isinstance(n.op, Dense)]
    assert node.out.type.frac <= 8  # 4 of the input, 3 of the weights, half a step
    inner = {r.name for r in loaded.records if r.inner}
    assert inner == {"own": set(), "next": {"d"}, "behind flatten": {"d", "f"}}[act]
    x, y = run(loaded)
    kernel = np.clip(np.rint(first.weights["kernel"] * 8), -16, 15) / 8
    total = x @ kernel.astype(np.float64) + first.weights["bias"].astype(np.float64)
    expected = [quantize_relu(Fraction(float(v)), 4, 1) for v in total.ravel()]
    assert np.array_equal(y.ravel(), expected)


def test_a_float_bias_without_quantizer_is_chosen():
    loaded = load_on(chain((6,), dense("d", (), 6, 5)))
    (record,) = [r for r in loaded.records if r.regime == "chosen"]
    assert record.reason.startswith("bias: float weights")
    assert any("--calibration" in note for note in loaded.notes)


@pytest.mark.parametrize("size", [(3, 3), (2, 3), (5, 1)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_averages_before_a_quantizer_are_exact(size, padding):
    pool = layer("p", "AveragePooling2D", pool_size=list(size), strides=[2, 1], padding=padding)
    spec = chain((7, 6, 2), pool, layer("q", "QActivation", activation="quantized_relu(5,2)"))
    loaded = load_on(spec)
    assert loaded.exact
    x, y = run(loaded, 40)
    rows, columns = y.shape[1:3]
    top, left = 0, 0
    if padding == "same":
        top = max((rows - 1) * 2 + size[0] - 7, 0) // 2
        left = max(columns - 1 + size[1] - 6, 0) // 2
    for r in range(rows):
        for c in range(columns):
            r0, c0 = r * 2 - top, c - left
            part = x[:, max(r0, 0) : r0 + size[0], max(c0, 0) : c0 + size[1]]
            count = part.shape[1] * part.shape[2]
            sums = (part.sum(axis=(1, 2)) * 16).astype(int)
            expected = [quantize_relu(Fraction(int(s), 16 * count), 5, 2) for s in sums.ravel()]
            assert np.array_equal(y[:, r, c].ravel(), expected)


def test_averages_without_quantizer():
    pool = layer("p", "AveragePooling1D", pool_size=3, strides=3)
    loaded = load_on(chain((6, 2), pool))
    (record,) = [r for r in loaded.records if r.regime == "chosen"]
    assert record.reason.startswith("division by 3 rounded to s18.")
    x, y = run(loaded)
    assert np.abs(y - x.reshape(-1, 2, 3, 2).mean(axis=2)).max() < 2.0**-14
    exact = load_on(chain((8, 2), replace(pool, config={"pool_size": 4})))
    assert exact.exact


def test_batch_norm_rounds_its_factors_unless_a_quantizer_follows():
    rng = np.random.default_rng(5)
    weights = {
        n: rng.uniform(0.5, 2, 6) for n in ("gamma", "beta", "moving_mean", "moving_variance")
    }
    norm = layer("n", "BatchNormalization", weights=weights, axis=[1], epsilon=1e-3)
    widths = []
    relu, quantizer = (
        layer("r", "ReLU"),
        layer("q", "QActivation", activation="quantized_relu(6,2)"),
    )
    for rest in ([], [relu, quantizer], [quantizer]):
        loaded = load_on(chain((6,), norm, *rest))
        (op,) = [n.op for n in loaded.net.nodes if isinstance(n.op, Affine)]
        widths.append(op.scale.type.width)
        assert loaded.exact == (rest == [quantizer])
    assert widths[0] <= 18
    assert widths[1] >= 24
    assert widths[2] <= 12  # the coarsest factor that the quantizer cannot tell from the real one


def test_means_of_neighbours_before_a_quantizer_are_not_taken_for_moved_elements():
    weights = {n: np.full(2, 0.7) for n in ("gamma", "beta", "moving_mean", "moving_variance")}
    norm = layer("n", "BatchNormalization", weights=weights, axis=3)
    grow = layer("g", "UpSampling2D", size=[2, 2], interpolation="bilinear")
    quantizer = layer("q", "QActivation", activation="quantized_relu(6,2)")
    assert not load_on(chain((2, 2, 2), norm, grow, quantizer)).exact
    nearest = replace(grow, config={"size": [2, 2]})
    assert load_on(chain((2, 2, 2), norm, nearest, quantizer)).exact
    powers = {"moving_variance": np.full(6, 0.25), "moving_mean": np.ones(6)}
    plain = layer("n", "BatchNormalization", weights=powers, axis=1, epsilon=0.0, scale=False,
                  center=False)  # fmt: skip
    loaded = load_on(chain((6,), plain))
    assert loaded.exact
    x, y = run(loaded)
    assert np.array_equal(y, (x - 1) * 2)


def test_rescaling():
    loaded = load_on(chain((6,), layer("r", "Rescaling", scale=0.125, offset=-1.0)))
    assert loaded.exact
    x, y = run(loaded)
    assert np.array_equal(y, x / 8 - 1)


def test_keras_and_qkeras_mean_different_things_by_hard_sigmoid():
    ours, theirs = (
        run(load_on(chain((6,), layer("a", name, activation="hard_sigmoid"))))
        for name in ("QActivation", "Activation")
    )
    assert np.array_equal(ours[1], np.clip(0.5 * ours[0] + 0.5, 0, 1))
    assert np.abs(theirs[1] - np.clip(0.2 * theirs[0] + 0.5, 0, 1)).max() < 2.0**-15


def test_activation_given_as_a_layer():
    leaky = {"class_name": "LeakyReLU", "config": {"alpha": 0.25}}
    spec = chain((6,), dense("d", (), 6, 6, activation=leaky, bias_quantizer=W))
    plain = chain((6,), dense("d", (), 6, 6, bias_quantizer=W))
    (_, y), (_, z) = run(load_on(spec)), run(load_on(plain))
    assert np.array_equal(y, np.where(z >= 0, z, z / 4))


def test_prelu_slopes():
    slopes = np.array([0.5, 0.25, 0, -1, 2, 0.125])
    x, y = run(load_on(chain((6,), layer("p", "PReLU", weights={"alpha": slopes}))))
    assert np.array_equal(y, np.where(x >= 0, x, x * slopes))


@pytest.mark.parametrize("inside", [True, False])
def test_strip_softmax(inside):
    last = dense("d", (), 6, 4, bias_quantizer=W, activation="softmax" if inside else None)
    spec = chain((6,), last, *([] if inside else [layer("s", "Activation", activation="softmax")]))
    whole, stripped = load_on(spec), load_on(spec, strip_softmax=True)
    assert not whole.exact
    assert stripped.exact
    assert any("the outputs are logits" in note for note in stripped.notes)
    assert [r.name for r in stripped.records] == ["x", "d"]
    assert isinstance(stripped.net.by_name[stripped.net.outputs[0]].op, Dense)


def test_a_softmax_that_others_read_stays():
    inner = dense("d", (), 6, 4, bias_quantizer=W, activation="softmax")
    spec = model(box((6,)), replace(inner, inbound=(("x", 0),)), layer("r", "ReLU", ["d"]),
                 outputs=("d", "r"))  # fmt: skip
    assert "other layers read it" in refused(spec, strip_softmax=True)["d"][0]


def test_an_input_given_out_is_copied():
    spec = model(box((6,)), layer("r", "Dropout", ["x"]), outputs=("x", "r"))
    loaded = load_on(spec)
    assert loaded.net.outputs == ("x_copy", "r_copy")
    assert loaded.exact
    with pytest.raises(UsageError, match="an input is given out unchanged"):
        load(spec, LoadOptions(strip_softmax=True))


def test_records_count_weights():
    kernel = np.array([[0.0, 0.01], [0.5, -0.5]])
    fc = layer("d", "QDense", (), {"kernel": kernel}, {"kernel": np.array([[0.0, 1], [1, 1]])},
               use_bias=False, kernel_quantizer=W)  # fmt: skip
    (_, record) = load_on(chain((2,), fc)).records
    counts = (record.weights, record.zeros_float, record.zeros_quantized, record.zeros_mask)
    assert counts == (4, 1, 2, 1)


def test_wide_edges_are_told():
    wide = Fixed(True, 60, 30)
    spec = model(box((6,)), layer("m", "Multiply", ["x", "x"]))
    notes = load(spec, LoadOptions(input_types={"": wide})).notes
    assert "edges of more than 62 bits: m" in notes
