"""Dense layers and activations of the feature matrix."""

from tests.features.case import BITS, FLOAT32, Q6, Cases, act, activation, between, dense, kernel

CASES = Cases()
add = CASES.add

# Products that cancel leave the bias alone, and every other bias lies on a tie of the activation
ZERO = "where products cancel and the bias lies on a tie: Keras's, which are rounded, do not cancel"
ON_TIES = (FLOAT32[0], 0.1, FLOAT32[2], (True, 8, 4), ZERO)

# Weights
add("dense qb(6,0,a=1)", kernel(Q6))
add("dense qb(6,0,alpha=auto)", kernel("quantized_bits(6,0,alpha='auto')"), *FLOAT32)
add("dense qb(6,0,keep_negative=0)", kernel("quantized_bits(6,0,keep_negative=0,alpha=1)"))
add("dense qb(1,0,alpha=1)", kernel("quantized_bits(1,0,alpha=1)"))
add("dense binary(alpha=1)", kernel("binary(alpha=1)"))
add("dense binary(alpha=auto)", kernel("binary(alpha='auto')"), *ON_TIES)
add("dense ternary(alpha=1)", kernel("ternary(alpha=1)"))
add("dense ternary(alpha=auto)", kernel("ternary(alpha='auto')"), *ON_TIES)
add("dense stochastic_ternary", kernel("stochastic_ternary(alpha=1)"))
add("dense bias=None quantizer", kernel(Q6, None))
add("dense qb(6,0) alpha=None", kernel("quantized_bits(6,0)"))
add("dense quantized_po2(4)", kernel("quantized_po2(4)"))
add("dense qb(4,1,a=1)", kernel("quantized_bits(4,1,alpha=1)"))
add("dense qb(8,2)", kernel("quantized_bits(8,2,alpha=1)"))
add("dense qb symmetric=1", kernel("quantized_bits(6,0,1,alpha=1)"))
add("dense qb(2,1)", kernel("quantized_bits(2,1,alpha=1)"))
add("dense stochastic_binary", kernel("stochastic_binary(alpha=1)"))
add("dense no bias", kernel(Q6, None, use_bias=False))
add("dense qb(6,0,alpha=auto_po2)", kernel("quantized_bits(6,0,alpha='auto_po2')"))
add("dense binary()", kernel("binary()"))
add("dense binary(alpha=auto_po2)", kernel("binary(alpha='auto_po2')"))
add("dense ternary()", kernel("ternary()"))
add("dense ternary(alpha=auto_po2)", kernel("ternary(alpha='auto_po2')"))
add("dense quantized_po2(4,max=1)", kernel("quantized_po2(4,max_value=1)"))


def linear_kernel(k):
    """QKeras 0.9.0 has no quantized_linear: the class is that of later versions."""
    from tests.features.later_qkeras import quantized_linear

    return kernel(quantized_linear(k.tf)(6, 0, alpha=1.0))(k)


add("dense quantized_linear", linear_kernel)


def adaptive(k):
    """Frozen, as it is at inference."""
    return k.q.QAdaptiveActivation("quantized_relu", 6)


# Activations between two dense layers
add("binary net (bin act)", lambda k: between(lambda k: act(k, "binary(alpha=1)"))(k))
add("act quantized_relu(6,2)", between(lambda k: act(k, k.q.quantized_relu(6, 2))))
add("act quantized_relu(8,2,neg_slope=.25)", activation("quantized_relu(8,2,negative_slope=0.25)"))
add("act quantized_bits(6,2,a=1)", activation(BITS))
add(
    "act quantized_bits(6,2,alpha=auto)",
    activation("quantized_bits(6,2,alpha='auto')"),
    "refused",
    0.0,
    "as an activation computes its scale from each batch",
)
add("act quantized_tanh(6)", activation("quantized_tanh(6)"))
add("act quantized_tanh(6,real)", activation("quantized_tanh(6,use_real_tanh=True)"))
add("act quantized_sigmoid(6,real)", activation("quantized_sigmoid(6,use_real_sigmoid=True)"))
add("act ternary(a=1)", activation("ternary(alpha=1)"))
add("act quantized_po2(4)", activation("quantized_po2(4)"))
add(
    "act quantized_ulaw",
    activation("quantized_ulaw(6,2)"),
    "bounded",
    1e-4,
    "it gives logarithms, rounded to 2**-15",
)
add('act string "quantized_relu(6,2)"', activation("quantized_relu(6,2)"))
add("keras Activation relu", between(lambda k: k.L.Activation("relu")))
add("dense activation=quantized_relu in QDense", kernel(Q6, activation="quantized_relu(6,2)"))
add("act quantized_relu(6)", activation("quantized_relu(6)"))
add("act quantized_relu(4,2,use_sigmoid)", activation("quantized_relu(4,2,use_sigmoid=1)"))
add(
    "act quantized_relu qnoise/relu_upper_bound=2",
    activation("quantized_relu(6,2,relu_upper_bound=2,qnoise_factor=1.0)"),
)
add("act quantized_bits(6,2)", activation("quantized_bits(6,2)"))
add("act quantized_bits sym", activation("quantized_bits(6,2,1,alpha=1)"))
add("act quantized_tanh(6,sym)", activation("quantized_tanh(6,symmetric=True)"))
add("act quantized_sigmoid(6)", activation("quantized_sigmoid(6)"))
add("act binary", activation("binary()"))
add("act quantized_relu_po2(4)", activation("quantized_relu_po2(4)"))
add("act quantized_hswish", activation("quantized_hswish(6,2)"))
add(
    "act bernoulli",
    activation("bernoulli(alpha=1)"),
    "refused",
    0.0,
    "bernoulli draws random numbers at inference too",
)
add("keras relu", between(lambda k: k.L.ReLU()))
add("keras LeakyReLU", between(lambda k: k.L.LeakyReLU(alpha=0.25)))
add("ELU", between(lambda k: k.L.ELU()), "bounded", 0.03, "table of 2049 entries, error 0.0044")
add("PReLU", between(lambda k: k.L.PReLU()), "bounded", 0.002, "float slopes, 18 bits")
add("QDense relu keras act string", kernel(Q6, activation="relu"))
add("QAdaptiveActivation", between(adaptive))


# Ends and starts
def end(name):
    def build(k):
        model = kernel(Q6)(k)
        return k.keras.Model(model.input, k.L.Activation(name)(model.output))

    return build


add("sigmoid end", end("sigmoid"), "bounded", 5e-4, "table of 4096 entries")
add("softmax end", end("softmax"), "bounded", 1e-3, "three tables")


def float_dense(k):
    x = k.keras.Input((8,))
    h = k.L.Dense(12, activation="relu")(x)
    return k.keras.Model(x, k.L.Dense(5)(h))


add("keras Dense float", float_dense, "bounded", 0.003, "float weights: 18 bits")


def behind_dense(layer):
    """A dense layer, `layer(k)`, a quantized ReLU and a dense layer."""

    def build(k):
        x = k.keras.Input((8,))
        return k.keras.Model(x, dense(k, 5)(act(k)(layer(k)(dense(k, 12)(x)))))

    return build


NORM_QUANTIZERS = {
    "gamma_quantizer": "quantized_bits(8,2,alpha=1)",
    "beta_quantizer": "quantized_bits(8,2,alpha=1)",
    "mean_quantizer": "quantized_bits(8,2,alpha=1)",
    "variance_quantizer": "quantized_relu(8,2)",
}
add("QBatchNorm after dense", behind_dense(lambda k: k.q.QBatchNormalization()), *FLOAT32)
add(
    "QBatchNorm qb quantizers",
    behind_dense(lambda k: k.q.QBatchNormalization(**NORM_QUANTIZERS)),
    *FLOAT32,
)
add("BatchNorm after QDense", behind_dense(lambda k: k.L.BatchNormalization()), *FLOAT32)


def norm_first(k):
    x = k.keras.Input((8,))
    h = act(k, BITS)(k.L.BatchNormalization()(x))
    return k.keras.Model(x, dense(k, 5)(act(k)(dense(k, 12)(h))))


add("BatchNorm first", norm_first)
