"""Let hls4ml write and simulate small projects: python -m tests.importer.real_projects NAME FOLDER

The folder gets the project, `inputs.npy` (codes of the input type) and `outputs.npy` (values that
hls4ml's own C simulation makes of them).
"""

import os
import sys
from pathlib import Path

os.environ |= {
    "TF_USE_LEGACY_KERAS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

import numpy as np
import qkeras
import tf_keras
from hls4ml.converters.keras_v2_to_hls import keras_v2_to_hls
from hls4ml.utils import config_from_keras_model

L = tf_keras.layers
SAMPLES = 200
FRAC = 5  # of the inputs, ap_fixed<9,4>


def normalization(name):
    init = tf_keras.initializers.RandomUniform(0.3, 1.7, seed=3)
    return L.BatchNormalization(
        name=name, beta_initializer=init, gamma_initializer=init, moving_variance_initializer=init
    )


def image():
    x = i = L.Input((8, 7, 3), name="x")
    x = L.Conv2D(4, 3, padding="same", strides=2, name="c1")(x)
    x = L.ReLU(name="r1")(x)
    x = normalization("bn")(x)
    x = L.ZeroPadding2D(((1, 0), (2, 1)), name="zp")(x)
    x = L.MaxPooling2D(2, name="mp")(x)
    x = L.DepthwiseConv2D(2, name="dw")(x)
    x = L.LeakyReLU(0.3, name="lr")(x)
    x = L.Conv2D(3, 1, name="pw")(x)
    x = L.UpSampling2D(2, name="up")(x)
    x = L.AveragePooling2D((1, 2), name="ap")(x)
    x = L.Flatten(name="fl")(x)
    return tf_keras.Model(i, L.Dense(4, name="fc")(x))


def encoded():
    x = i = L.Input((9, 8, 2), name="x")
    x = L.Conv2D(3, 3, strides=2, name="c1")(x)
    x = L.ReLU(name="r1")(x)
    x = L.AveragePooling2D(3, name="ap")(x)
    x = L.Reshape((3, 1), name="rs")(x)
    x = L.Conv1D(3, 2, name="c2")(x)
    x = L.GlobalMaxPooling1D(name="gm")(x)
    return tf_keras.Model(i, L.Dense(3, name="fc")(x), name="encoded")


def sequence():
    x = i = L.Input((10, 3), name="x")
    x = L.Conv1D(4, 3, padding="same", name="c1")(x)
    x = L.PReLU(name="pr", alpha_initializer=tf_keras.initializers.RandomUniform(-1, 1, seed=1))(x)
    x = L.MaxPooling1D(2, name="mp")(x)
    x = L.SeparableConv1D(4, 2, padding="same", name="sep")(x)
    y = L.Activation("tanh", name="th")(x)
    z = L.Activation("sigmoid", name="sg")(x)
    a = L.Add(name="add")([y, z])
    w = L.Multiply(name="mul")([y, a])
    x = L.Concatenate(name="cc")([L.Average(name="avg")([y, z]), L.Maximum(name="mx")([w, z])])
    x = L.GlobalAveragePooling1D(name="gap")(x)
    return tf_keras.Model(i, L.Dense(3, name="fc", activation="softmax")(x))


def vector():
    x = i = L.Input((12,), name="x")
    x = qkeras.QDense(
        8,
        kernel_quantizer=qkeras.quantized_bits(4, 0, alpha=1),
        bias_quantizer=qkeras.quantized_bits(4, 0, alpha=1),
        name="fc1",
    )(x)
    x = qkeras.QActivation(qkeras.quantized_relu(5, 2), name="qr")(x)
    x = L.Reshape((4, 2), name="rs")(x)
    x = L.Permute((2, 1), name="pm")(x)
    x = L.Flatten(name="fl")(x)
    x = qkeras.QDense(
        6,
        kernel_quantizer=qkeras.ternary(alpha=1, threshold=0.2),
        bias_quantizer=qkeras.quantized_bits(4, 0, alpha=1),
        name="fc2",
    )(x)
    y = L.ThresholdedReLU(0.4, name="tr")(x)
    y = L.Dense(6, name="fc3")(y)
    y = L.Subtract(name="sub")([y, x])
    y = L.Activation("elu", name="el")(y)
    y = L.Dense(6, name="fc4")(y)
    y = L.Activation("hard_sigmoid", name="hs")(y)
    return tf_keras.Model(i, L.Dense(3, name="fc5")(y))


def binary():
    one_bit = {"kernel_quantizer": qkeras.binary(alpha=1), "use_bias": False}
    x = i = L.Input((12,), name="x")
    x = normalization("bn1")(qkeras.QDense(9, name="fc1", **one_bit)(x))
    x = qkeras.QActivation(qkeras.binary(alpha=1), name="q1")(x)
    x = normalization("bn2")(qkeras.QDense(8, name="fc2", **one_bit)(x))
    x = qkeras.QActivation(qkeras.ternary(alpha=1, threshold=0.5), name="q2")(x)
    return tf_keras.Model(i, L.Dense(3, name="fc3")(x))


# Name: model, io type, strategy, back end, types of all layers (None: hls4ml's own choice).
PROJECTS = {
    "image_parallel": (image, "io_parallel", "Latency", "Vitis", None),
    "image_stream": (image, "io_stream", "Resource", "Vivado", "ap_fixed<14,5>"),
    "encoded": (encoded, "io_stream", "Latency", "Vivado", "ap_fixed<14,6>"),
    "binary": (binary, "io_parallel", "Latency", "Vivado", None),
    "sequence_stream": (sequence, "io_stream", "Latency", "Vitis", "ap_fixed<12,4>"),
    "sequence_parallel": (sequence, "io_parallel", "Latency", "Vivado", "ap_fixed<13,5>"),
    "vector_stream": (vector, "io_stream", "Resource", "Vitis", None),
    "vector_parallel": (vector, "io_parallel", "Latency", "Vivado", "ap_fixed<13,4>"),
}


def configure(model, strategy, backend, kind):
    """Return the configuration of hls4ml, with a short input type and one kind of all others."""
    default = kind or "ap_fixed<8,3>"
    config = config_from_keras_model(
        model, granularity="name", backend=backend, default_precision=default
    )
    config["Model"]["Strategy"] = strategy
    for name, layer in config["LayerName"].items():
        layer["Strategy"] = strategy
        layer["ReuseFactor"] = 1
        if "ConvImplementation" in layer and model.name == "encoded":
            layer["ConvImplementation"] = "Encoded"
        if kind and isinstance(layer.get("Precision"), dict):
            layer["Precision"] |= {
                k: kind
                for k, v in layer["Precision"].items()
                if v == "auto" and k in ("result", "accum")
            }
        if name == "x":
            layer["Precision"]["result"] = "ap_fixed<9,4>"
    return config


def main(name, folder):
    sys.modules["keras"] = tf_keras  # hls4ml asks it which Keras a model is of
    make, io_type, strategy, backend, kind = PROJECTS[name]
    tf_keras.utils.set_random_seed(7)
    model = make()
    rng = np.random.default_rng(5)
    model.set_weights(
        [rng.uniform(-0.9, 0.9, w.shape) if w.min() <= 0 else w for w in model.get_weights()]
    )
    converted = keras_v2_to_hls(
        {
            "OutputDir": folder,
            "ProjectName": "tagger",
            "Backend": backend,
            "Part": "xcu250-figd2104-2L-e",
            "ClockPeriod": 5,
            "ClockUncertainty": "27%",
            "IOType": io_type,
            "HLSConfig": configure(model, strategy, backend, kind),
            "KerasModel": model,
        }
    )
    converted.compile()
    codes = rng.integers(-(2**8), 2**8, (SAMPLES, *model.input_shape[1:]))
    made = converted.predict(np.ascontiguousarray(codes / 2**FRAC))
    np.save(Path(folder) / "inputs.npy", codes)
    np.save(Path(folder) / "outputs.npy", np.asarray(made))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
