"""A pruned weight is zero in every forward pass, gets no gradient, and leaves no moment."""

import numpy as np
import pytest

from qapflow.errors import UsageError
from qapflow.train.libraries import load_keras
from qapflow.train.pruning.magnitude import prune_share
from qapflow.train.pruning.masks import (
    attach_masks,
    detach_masks,
    quantized_kernel,
    read_masks,
    set_masks,
    sparsity,
)

pytestmark = [
    pytest.mark.needs_keras,
    pytest.mark.filterwarnings("ignore::UserWarning"),  # of tf_keras, about HDF5 and quantizers
]

WEIGHTS = "quantized_bits(4,0,alpha=1)"


def dense_model(kernel_quantizer=WEIGHTS, second=None):
    libraries = load_keras()
    keras, qkeras = libraries.keras, libraries.qkeras
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    x = qkeras.QDense(8, kernel_quantizer=kernel_quantizer, name="first")(inputs)
    x = qkeras.QActivation("quantized_relu(4,1)", name="relu")(x)
    x = second(x) if second else keras.layers.Dense(3, name="last", kernel_regularizer="l1_l2")(x)
    return keras.Model(inputs, x)


def samples(count=64, shape=(6,), classes=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, *shape)).astype("f"), rng.integers(0, classes, count)


def compile_with(model, optimizer, steps=1):
    loss = load_keras().keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, steps_per_execution=steps)


def prune_half(model, masks):
    kernels = [item.variable.numpy() for item in masks]
    set_masks(masks, prune_share(kernels, read_masks(masks), 0.5), model.optimizer)


def optimizers(keras):
    yield keras.optimizers.Adam(0.01)
    yield keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    yield keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True)
    yield keras.optimizers.legacy.Adam(0.01)


def moments_of(optimizer, kernel):
    every = optimizer.variables if not callable(optimizer.variables) else optimizer.variables()
    return [
        item.numpy()
        for item in every
        if item.shape == kernel.shape and "accumulator" not in item.name
    ]


def test_every_optimizer_forgets_what_is_pruned():
    libraries = load_keras()
    for optimizer in optimizers(libraries.keras):
        model = dense_model()
        model.optimizer = optimizer
        masks = attach_masks(model)
        kernels = [item.variable for item in masks]
        optimizer.apply_gradients([(kernel * 0.1, kernel) for kernel in kernels])
        optimizer.apply_gradients([(kernel * 0.2, kernel) for kernel in kernels])
        assert all(np.all(m) for kernel in kernels for m in moments_of(optimizer, kernel))
        prune_half(model, masks)
        for kernel, mask in zip(kernels, read_masks(masks), strict=True):
            assert moments_of(optimizer, kernel)
            assert not any(np.any(m[mask == 0]) for m in moments_of(optimizer, kernel))
            assert all(np.all(m[mask == 1]) for m in moments_of(optimizer, kernel))


def test_pruned_weights_stay_zero_while_training():
    keras = load_keras().keras
    for optimizer in (keras.optimizers.Adam(0.01),):
        model = dense_model()
        compile_with(model, optimizer, steps=4)
        x, y = samples()
        model.fit(x, y, batch_size=8, epochs=1, verbose=0)  # traced and with moments before
        masks = attach_masks(model)
        prune_half(model, masks)
        for item, mask in zip(masks, read_masks(masks), strict=True):
            assert not np.any(item.variable.numpy()[mask == 0])
        before = [item.variable.numpy() for item in masks]
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        for item, mask, old in zip(masks, read_masks(masks), before, strict=True):
            new = item.variable.numpy()
            assert not np.any(new[mask == 0])
            assert np.any(new != old)  # and the others learn
            for moment in moments_of(optimizer, item.variable):
                assert not np.any(moment[mask == 0])


def test_no_gradient_and_no_leak_even_of_a_weight_set_by_hand():
    tf = load_keras().tf
    model = dense_model()
    masks = attach_masks(model)
    compile_with(model, "sgd")
    prune_half(model, masks)
    x, _ = samples()
    before = model.predict(x, verbose=0)
    for item in masks:
        item.variable.assign(item.variable + 7.0 * (1.0 - item.mask))
    assert np.array_equal(model.predict(x, verbose=0), before)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x, training=True) ** 2)
    gradients = tape.gradient(loss, [item.variable for item in masks])
    for gradient, mask in zip(gradients, read_masks(masks), strict=True):
        assert not np.any(gradient.numpy()[mask == 0])
        assert np.any(gradient.numpy()[mask == 1])


def test_every_kind_of_layer_computes_with_its_mask():
    libraries = load_keras()
    keras, qkeras = libraries.keras, libraries.qkeras
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 2))
    x = qkeras.QConv2D(3, 3, kernel_quantizer=WEIGHTS, name="conv")(inputs)
    x = qkeras.QDepthwiseConv2D(3, depthwise_quantizer=WEIGHTS, name="depth")(x)
    x = keras.layers.Reshape((16, 3))(x)
    x = keras.Sequential([qkeras.QConv1D(4, 3, kernel_quantizer=WEIGHTS, name="rows")])(x)
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    assert [item.name for item in attach_masks(model)] == ["conv", "rows"]
    masks = attach_masks(model, ("conv", "depth", "rows"))
    assert [item.name for item in masks] == ["conv", "depth.depthwise_kernel", "rows"]
    prune_half(model, masks)
    x, _ = samples(4, (8, 8, 2))
    masked = model.predict(x, verbose=0)
    zeroed = [item.variable.numpy() for item in masks]
    for item in masks:
        item.variable.assign(item.variable + (1.0 - item.mask))
    assert np.array_equal(model.predict(x, verbose=0), masked)
    detach_masks(model)
    assert np.array_equal(model.predict(x, verbose=0), masked)
    for item, old in zip(masks, zeroed, strict=True):
        assert np.array_equal(item.variable.numpy(), old), item.name


def test_sparsity_counts_what_quantization_makes_zero():
    model = dense_model("quantized_bits(2,0,alpha=1)")
    masks = attach_masks(model, ("first",))
    masks[0].variable.assign(np.linspace(-1, 1, 48).reshape(6, 8))
    set_masks(masks, prune_share([masks[0].variable.numpy()], read_masks(masks), 0.1))
    kernel = quantized_kernel(masks[0])
    assert set(np.unique(kernel)) <= {-1.0, -0.5, 0.0, 0.5}
    shares = sparsity(masks)
    assert shares["first"] == shares[""] == np.mean(kernel == 0)
    assert shares[""] > 1 - np.mean(read_masks(masks)[0])


@pytest.mark.parametrize(
    ("quantizer", "value"),
    [
        ("binary(alpha=1)", "1"),
        ("quantized_bits(1,0,alpha=1)", "1"),
        ("quantized_po2(4)", "0.0625"),
    ],
)
def test_quantizers_that_lose_zeros_are_refused(quantizer, value):
    with pytest.raises(UsageError) as caught:
        attach_masks(dense_model(quantizer))
    assert f"turns a pruned weight into {value}\n  at: layer first" in str(caught.value)


def test_ternary_keeps_zeros():
    assert len(attach_masks(dense_model("ternary(alpha=1)"))) == 2


def test_unknown_layers_are_named():
    with pytest.raises(UsageError, match="'frist' does not exist") as caught:
        attach_masks(dense_model(), ("frist",))
    assert "layers are first, last" in str(caught.value)
    with pytest.raises(UsageError, match="'relu' holds no kernel"):
        attach_masks(dense_model(), ("relu",))


def test_models_with_masks_are_saved_as_if_they_had_none(tmp_path):
    libraries = load_keras()
    model = dense_model()
    names = [weight.name for weight in model.weights]
    masks = attach_masks(model)
    prune_half(model, masks)
    assert [weight.name for weight in model.weights] == names
    x, _ = samples()
    model.save(tmp_path / "model.h5", include_optimizer=False)
    qkeras = libraries.qkeras
    known = {"QDense": qkeras.QDense, "QActivation": qkeras.QActivation}
    again = libraries.keras.models.load_model(tmp_path / "model.h5", known)
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
