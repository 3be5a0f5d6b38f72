"""Classes that QKeras got after 0.9.0, for models of real Keras: written as its sources compute."""

import functools


@functools.cache
def quantized_linear(tf):
    """The quantizer that clips first and rounds then: round(clip(x / s, low, high)) s."""

    class QuantizedLinear:
        def __init__(self, bits, integer, symmetric=True, keep_negative=True, alpha=1.0):
            self.bits, self.integer, self.alpha = bits, integer, alpha
            self.symmetric, self.keep_negative = symmetric, keep_negative
            self.step = 2.0 ** (integer - bits + keep_negative) * alpha

        def __call__(self, x):
            high = 2.0 ** (self.bits - self.keep_negative) - 1
            low = -high if self.symmetric else -high - 1
            clipped = tf.clip_by_value(x / self.step, low * self.keep_negative, high)
            return x + tf.stop_gradient(tf.round(clipped) * self.step - x)

        def get_config(self):
            return {
                "bits": self.bits,
                "integer": self.integer,
                "symmetric": self.symmetric,
                "keep_negative": self.keep_negative,
                "alpha": self.alpha,
                "use_stochastic_rounding": False,
                "scale_axis": None,
                "qnoise_factor": 1.0,
            }

        def max(self):
            return 1.0

        def min(self):
            return -1.0

    QuantizedLinear.__name__ = "quantized_linear"
    return QuantizedLinear
