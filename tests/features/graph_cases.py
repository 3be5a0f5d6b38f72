"""Graphs, sequences and other layers of the feature matrix."""

from tests.features.case import BITS, Q6, Cases, act, behind_conv, dense, image

CASES = Cases()
add = CASES.add


def branches(join):
    """Two quantized branches of one input, joined by a layer."""

    def build(k):
        x = k.keras.Input((8,))
        h = act(k, BITS)(dense(k, 12)(x))
        g = act(k, BITS)(dense(k, 12)(h))
        return k.keras.Model(x, dense(k, 5)(act(k)(join(k)([h, g]))))

    return build


add("Concatenate", branches(lambda k: k.L.Concatenate()))
add("residual Add", branches(lambda k: k.L.Add()))
add("Multiply", branches(lambda k: k.L.Multiply()))


def two_outputs(k):
    x = k.keras.Input((8,))
    h = act(k)(dense(k, 12)(x))
    return k.keras.Model(x, [dense(k, 5)(h), dense(k, 3)(h)])


def two_inputs(k):
    x, y = k.keras.Input((8,)), k.keras.Input((6,))
    h = k.L.Concatenate()([act(k)(dense(k, 6)(x)), act(k)(dense(k, 6)(y))])
    return k.keras.Model([x, y], dense(k, 5)(h))


def dropout(k):
    x = k.keras.Input((8,))
    return k.keras.Model(x, dense(k, 5)(k.L.Dropout(0.3)(act(k)(dense(k, 12)(x)))))


def nested(k):
    inner = k.keras.Sequential([k.keras.Input((8,)), dense(k, 12), act(k)])
    x = k.keras.Input((8,))
    return k.keras.Model(x, dense(k, 5)(inner(x)))


add("two outputs", two_outputs)
add("two inputs", two_inputs)
add("Dropout", dropout)
add("nested Sequential", nested)


def lambda_layer(k):
    x = k.keras.Input((8,))
    return k.keras.Model(x, dense(k, 5)(k.L.Lambda(lambda t: t * 2)(act(k)(dense(k, 12)(x)))))


add("Lambda", lambda_layer, "refused", 0.0, "its code is never run")

add("Reshape", behind_conv(lambda k: k.L.Reshape((8, 6))))
add("Permute", behind_conv(lambda k: k.L.Permute((3, 1, 2))))
add(
    "LayerNormalization",
    image(lambda k: k.L.LayerNormalization(), shape=(8,)),
    "bounded",
    0.0,
    "a root from tables, off by up to 2.4e-5; a quantizer follows",
)
add("TimeDistributed(QDense)", image(lambda k: k.L.TimeDistributed(dense(k, 4)), shape=(6, 3)))


def sequence(layer):
    """A recurrent layer and a dense one behind it."""

    def build(k):
        x = k.keras.Input((5, 3))
        return k.keras.Model(x, dense(k, 5)(act(k, BITS)(layer(k)(x))))

    return build


def quantized(k, name, **settings):
    return getattr(k.q, name)(
        6, kernel_quantizer=Q6, recurrent_quantizer=Q6, bias_quantizer=Q6, **settings
    )


QUANTIZED = {
    "activation": "quantized_tanh(6)",
    "recurrent_activation": "quantized_sigmoid(6)",
    "state_quantizer": BITS,
}
SMOOTH = {"activation": "tanh", "recurrent_activation": "sigmoid"}


def ending(layer):
    """A recurrent layer alone, so that its own error is seen."""

    def build(k):
        x = k.keras.Input((5, 3))
        return k.keras.Model(x, layer(k)(x))

    return build


LINES = ("bounded", 1e-3, "sigmoid and tanh in pieces of lines, off by up to 2.9e-5 a step")
FLOATS = ("bounded", 1e-3, "float weights; sigmoid and tanh in pieces of lines")
SIMPLE = {"activation": "quantized_tanh(6)", "state_quantizer": BITS}
add("QSimpleRNN", sequence(lambda k: quantized(k, "QSimpleRNN", **SIMPLE)))
add("QLSTM", sequence(lambda k: quantized(k, "QLSTM", **QUANTIZED)))
add("QLSTM tanh/sigmoid", ending(lambda k: quantized(k, "QLSTM", **SMOOTH)), *LINES)
add("QGRU tanh/sigmoid", ending(lambda k: quantized(k, "QGRU", **SMOOTH)), *LINES)
add("keras LSTM", ending(lambda k: k.L.LSTM(6)), *FLOATS)
add("keras GRU", ending(lambda k: k.L.GRU(6)), *FLOATS)
