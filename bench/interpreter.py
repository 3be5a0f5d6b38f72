"""Samples per second of the interpreter against hls4ml's compiled C simulation.

Both run the same QKeras models on the same samples in the same process, one after the other.
hls4ml converts with its automatic precision and compiles with its own script (-O3).

    python bench/interpreter.py [--samples 20000]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tf_keras as keras

sys.modules["keras"] = keras  # hls4ml imports keras and means version 2

import hls4ml
import numpy as np
from qkeras import QActivation, QConv2D, QDense

from qapflow.frontend.load import load
from qapflow.ir.interpret import interpret

WEIGHTS = {
    "kernel_quantizer": "quantized_bits(6,0,alpha=1)",
    "bias_quantizer": "quantized_bits(6,0,alpha=1)",
}
REPEATS = 5


def mlp(sizes: tuple[int, ...]) -> keras.Model:
    """Dense layers with 6-bit ReLU between them."""
    box = x = keras.Input((sizes[0],), name="box")
    for number, size in enumerate(sizes[1:], start=1):
        x = QDense(size, name=f"dense_{number}", **WEIGHTS)(x)
        if number < len(sizes) - 1:
            x = QActivation("quantized_relu(6,2)", name=f"act_{number}")(x)
    return keras.Model(box, x)


def cnn() -> keras.Model:
    """Two convolutions and a dense layer on 16x16x1."""
    box = x = keras.Input((16, 16, 1), name="box")
    x = QActivation("quantized_relu(6,2)", name="a0")(QConv2D(8, 3, name="c0", **WEIGHTS)(x))
    x = keras.layers.MaxPooling2D(name="p0")(x)
    x = QActivation("quantized_relu(6,2)", name="a1")(QConv2D(8, 3, name="c1", **WEIGHTS)(x))
    x = keras.layers.Flatten(name="f")(x)
    return keras.Model(box, QDense(5, name="logits", **WEIGHTS)(x))


def rate(run, samples: int) -> float:
    """Best samples per second of a few runs."""
    best = min(_seconds(run) for _ in range(REPEATS))
    return samples / best


def _seconds(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(name: str, model: keras.Model, samples: int, folder: Path) -> None:
    """Print one row."""
    rng = np.random.default_rng(0)
    values = (rng.integers(-256, 256, (samples, *model.input_shape[1:])) / 64).astype(np.float32)
    config = hls4ml.utils.config_from_keras_model(model, granularity="name", backend="Vitis")
    project = hls4ml.converters.convert_from_keras_model(
        model, hls_config=config, backend="Vitis", output_dir=str(folder / name), project_name="p"
    )
    project.compile()
    few = values[: max(samples // 20, 100)]
    simulated = project.predict(np.ascontiguousarray(few))
    theirs = rate(lambda: project.predict(np.ascontiguousarray(few)), len(few))
    path = folder / f"{name}.h5"
    model.save(path, include_optimizer=False)
    net = load(path).net
    (node,) = net.inputs
    codes, _ = node.out.type.encode(values)
    made = interpret(net, {node.name: codes})
    ours = rate(lambda: interpret(net, {node.name: codes}), samples)
    (output,) = net.outputs
    decoded = net.edge(output).type.decode(made[output])[: len(few)]
    same = np.count_nonzero(decoded != np.asarray(simulated).reshape(decoded.shape))
    print(
        f"{name:<22}{ours:>14,.0f}{theirs:>14,.0f}{ours / theirs:>9.0f}x   "
        f"{same} of {decoded.size} values differ",
        flush=True,
    )


def main() -> None:
    """Run the three models of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20000)
    samples = parser.parse_args().samples
    keras.utils.set_random_seed(1)
    print(f"{'samples per second':<22}{'interpreter':>14}{'hls4ml csim':>14}{'ratio':>10}")
    with tempfile.TemporaryDirectory() as name:
        compare("mlp_16_64_32_32_5", mlp((16, 64, 32, 32, 5)), samples * 5, Path(name))
        compare("cnn_16x16x1", cnn(), samples, Path(name))
        compare("mlp_784_256_128_10", mlp((784, 256, 128, 10)), samples, Path(name))


if __name__ == "__main__":
    main()
