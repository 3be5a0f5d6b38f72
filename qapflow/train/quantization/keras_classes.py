"""Keras classes of training; importing this module imports Keras, so it is imported late.

Nothing of them is in a finished file: `finalize` exports them as plain QKeras layers.
"""

from __future__ import annotations

from typing import Any

from qapflow.train.libraries import load_keras

_libraries = load_keras()
tf, qkeras = _libraries.tf, _libraries.qkeras
K = _libraries.keras.backend


class FixedPoint(qkeras.quantized_bits):  # type: ignore[misc, name-defined]
    """quantized_bits with negative integer bits, which QKeras 0.9 cannot compute.

    The same rounding (half to even) and saturation on the grid 2**(integer + 1 - bits).
    """

    def __call__(self, x: Any) -> Any:
        """Quantize; the gradient passes straight through."""
        step = 2.0 ** (self.integer + 1 - self.bits)
        top = 2.0 ** (self.bits - 1)
        codes = tf.clip_by_value(tf.round(x / step), -top, top - 1)
        return x + tf.stop_gradient(self.qnoise_factor * (codes * step - x))

    def max(self) -> float:
        """Return the end of the range."""
        return float(2.0**self.integer)

    def min(self) -> float:
        """Return the start of the range."""
        return -float(2.0**self.integer)


class Folding:
    """Batch normalization that is trained inside the layer whose outputs it normalizes.

    The kernel w is quantized as Q(w * gamma / sigma) with the running sigma. While statistics are
    learned, outputs are corrected by sigma / sigma of the batch, so that they are those of batch
    normalization and the quantized kernel does not jitter from batch to batch (Krishnamoorthi,
    arXiv:1806.08342, section 3.2.2). Once `frozen` is 1, and outside of training, the layer is
    exactly a convolution with Q(w * gamma / sigma) and the bias Q(beta - gamma * mean / sigma).
    """

    kernel_attribute = "kernel"
    quantizer_attribute = "kernel_quantizer"

    def __init__(
        self: Any, *args: Any, momentum: float = 0.99, epsilon: float = 1e-3, **kwargs: Any
    ) -> None:
        kwargs["use_bias"] = False  # beta is the bias
        role = self.quantizer_attribute.removesuffix("_quantizer")
        constraint, initializer = f"{role}_constraint", f"{role}_initializer"
        super().__init__(*args, **kwargs)
        self.momentum, self.epsilon = momentum, epsilon
        # QKeras clips to the quantizer's range; what is quantized here is another, scaled kernel.
        setattr(self, constraint, _libraries.keras.constraints.get(kwargs.get(constraint)))
        plain = kwargs.get(initializer, "he_normal")
        setattr(self, initializer, _libraries.keras.initializers.get(plain))

    def build(self: Any, input_shape: Any) -> None:
        """Add the weights of the normalization, one a channel."""
        super().build(input_shape)  # type: ignore[misc]
        kernel = vars(self)[self.kernel_attribute]
        wide = self.kernel_attribute == "depthwise_kernel"
        channels = int(kernel.shape[-1]) * (int(kernel.shape[-2]) if wide else 1)
        for name, start, trained in (
            ("gamma", "ones", True),
            ("beta", "zeros", True),
            ("moving_mean", "zeros", False),
            ("moving_variance", "ones", False),
        ):
            weight = self.add_weight(name, (channels,), initializer=start, trainable=trained)
            setattr(self, name, weight)
        self.updates_made = self.add_weight("updates", (), initializer="zeros", trainable=False)
        self.frozen = self.add_weight("frozen", (), initializer="zeros", trainable=False)

    def call(self: Any, inputs: Any, training: Any = None) -> Any:
        """Compute outputs [n, ..., channels]."""
        training = K.learning_phase() if training is None else training
        if isinstance(training, bool | int):
            made = self._learn(inputs) if training else self._infer(inputs)
        else:
            made = tf.cond(
                tf.cast(training, tf.bool), lambda: self._learn(inputs), lambda: self._infer(inputs)
            )
        return made if self.activation is None else self.activation(made)

    def folded(self: Any) -> tuple[Any, Any]:
        """Return the kernel and the bias with the running statistics, not quantized."""
        inverse = tf.math.rsqrt(self.moving_variance + self.epsilon)
        kernel = vars(self)[self.kernel_attribute]
        bias = self.beta - self.gamma * self.moving_mean * inverse
        return kernel * tf.reshape(self.gamma * inverse, self._per_channel(kernel)), bias

    def quantized_kernel(self: Any) -> Any:
        """Return the kernel as inference uses it."""
        kernel, _ = self.folded()
        if not getattr(self, self.quantizer_attribute):
            return kernel
        return getattr(self, self.quantizer_attribute + "_internal")(kernel)

    def quantized_bias(self: Any) -> Any:
        """Return the bias as inference uses it."""
        return self._quantize_bias(self.folded()[1])

    def _per_channel(self: Any, kernel: Any) -> tuple[int, ...]:
        kept = 2 if self.kernel_attribute == "depthwise_kernel" else 1
        return (*(1,) * (len(kernel.shape) - kept), *map(int, kernel.shape[-kept:]))

    def _quantize_bias(self: Any, bias: Any) -> Any:
        return self.bias_quantizer_internal(bias) if self.bias_quantizer else bias

    def _infer(self: Any, inputs: Any) -> Any:
        made = self._convolve(inputs, self.quantized_kernel())
        return K.bias_add(made, self.quantized_bias(), data_format="channels_last")

    def _learn(self: Any, inputs: Any) -> Any:
        plain = self._convolve(inputs, vars(self)[self.kernel_attribute])
        mean, variance = tf.nn.moments(plain, list(range(len(plain.shape) - 1)))
        self._update(tf.stop_gradient(mean), tf.stop_gradient(variance))
        running = tf.convert_to_tensor(self.moving_variance)
        frozen = self.frozen > 0
        mean = tf.where(frozen, tf.convert_to_tensor(self.moving_mean), mean)
        variance = tf.where(frozen, running, variance)
        inverse = tf.math.rsqrt(variance + self.epsilon)
        correction = tf.where(
            frozen, tf.ones_like(inverse), tf.sqrt(running + self.epsilon) * inverse
        )
        bias = self.beta - self.gamma * mean * inverse
        made = self._convolve(inputs, self.quantized_kernel()) * correction
        return K.bias_add(made, self._quantize_bias(bias), data_format="channels_last")

    def _update(self: Any, mean: Any, variance: Any) -> None:
        """Move the running statistics, faster at first, as their first values mean nothing."""
        count = self.updates_made
        momentum = tf.minimum(self.momentum, (1.0 + count) / (10.0 + count))
        rate = (1.0 - momentum) * (1.0 - self.frozen)
        self.moving_mean.assign_add(rate * (mean - self.moving_mean))
        self.moving_variance.assign_add(rate * (variance - self.moving_variance))
        count.assign_add(1.0 - self.frozen)

    def get_config(self: Any) -> dict[str, Any]:
        """Return what the constructor takes."""
        config: dict[str, Any] = super().get_config()  # type: ignore[misc]
        return {**config, "momentum": self.momentum, "epsilon": self.epsilon}


class FoldedDense(Folding, qkeras.QDense):  # type: ignore[misc, name-defined]
    """QDense and its batch normalization."""

    def _convolve(self, inputs: Any, kernel: Any) -> Any:
        return K.dot(inputs, kernel)


class FoldedConv1D(Folding, qkeras.QConv1D):  # type: ignore[misc, name-defined]
    """QConv1D and its batch normalization."""

    def _convolve(self, inputs: Any, kernel: Any) -> Any:
        return K.conv1d(
            inputs, kernel, self.strides[0], self.padding, self.data_format, self.dilation_rate[0]
        )


class FoldedConv2D(Folding, qkeras.QConv2D):  # type: ignore[misc, name-defined]
    """QConv2D and its batch normalization."""

    def _convolve(self, inputs: Any, kernel: Any) -> Any:
        return K.conv2d(
            inputs, kernel, self.strides, self.padding, self.data_format, self.dilation_rate
        )


class FoldedDepthwiseConv2D(Folding, qkeras.QDepthwiseConv2D):  # type: ignore[misc, name-defined]
    """QDepthwiseConv2D and its batch normalization."""

    kernel_attribute = "depthwise_kernel"
    quantizer_attribute = "depthwise_quantizer"

    def _convolve(self, inputs: Any, kernel: Any) -> Any:
        return K.depthwise_conv2d(
            inputs, kernel, self.strides, self.padding, self.data_format, self.dilation_rate
        )


PLAIN = {
    FoldedDense: qkeras.QDense,
    FoldedConv1D: qkeras.QConv1D,
    FoldedConv2D: qkeras.QConv2D,
    FoldedDepthwiseConv2D: qkeras.QDepthwiseConv2D,
}
OBJECTS = {kind.__name__: kind for kind in (*PLAIN, FixedPoint)}
