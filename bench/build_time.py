"""Whole-process time of `qapflow build` against a plain hls4ml script, side by side.

Both turn the same QKeras jet tagger (16-64-32-32-5, 6 bits, 75 % pruned, random weights) into an
HLS project, compile its C simulation and run the same number of samples through it. The two
alternate, so that both see the same machine. The script ends with exit code 1 when `qapflow build`
takes more than half the time of hls4ml.

    python bench/build_time.py [--repeats 3] [--samples 1000] [--io io_parallel]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np, tf_keras
sys.modules["keras"] = tf_keras
from qkeras import QActivation, QDense, quantized_bits, quantized_relu
rng = np.random.default_rng(0)
bits = lambda: quantized_bits(6, 0, alpha=1)
x = i = tf_keras.layers.Input((16,), name="jets")
for k, n in enumerate((64, 32, 32, 5)):
    x = QDense(n, kernel_quantizer=bits(), bias_quantizer=bits(), name=f"fc{k}")(x)
    if k < 3:
        x = QActivation(quantized_relu(6), name=f"relu{k}")(x)
model = tf_keras.Model(i, x)
for layer in model.layers:
    if weights := layer.get_weights():
        kernel, bias = (rng.normal(0, 0.4, w.shape) for w in weights)
        layer.set_weights([kernel * (rng.random(kernel.shape) < 0.25), bias])
model.save(sys.argv[1], include_optimizer=False)
np.save(sys.argv[2], rng.normal(0, 1, (int(sys.argv[3]), 16)).astype(np.float32))
"""

HLS4ML = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np, tf_keras
sys.modules["keras"] = tf_keras
import hls4ml
from qkeras.utils import _add_supported_quantized_objects
objects = {}
_add_supported_quantized_objects(objects)
model = tf_keras.models.load_model(sys.argv[1], custom_objects=objects, compile=False)
config = hls4ml.utils.config_from_keras_model(model, granularity="name", backend="Vitis")
made = hls4ml.converters.convert_from_keras_model(
    model, hls_config=config, backend="Vitis", io_type=sys.argv[4], output_dir=sys.argv[3]
)
made.compile()
print(made.predict(np.load(sys.argv[2])).shape)
"""


def run(command: list[str], folder: Path) -> tuple[float, float]:
    """Return seconds and the largest resident memory in MB of a command and its children."""
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    start = time.monotonic()
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    if child.returncode:
        raise SystemExit(f"{' '.join(command)}\n{(folder / 'log').read_text()[-3000:]}")
    return seconds, usage.ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--io", default="io_parallel", choices=("io_parallel", "io_stream"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qapflow-bench-") as name:
        folder = Path(name)
        model, samples = folder / "jets.h5", folder / "samples.npy"
        python = sys.executable
        count = str(options.samples)
        run([python, "-W", "ignore", "-c", MODEL, str(model), str(samples), count], folder)
        build = [python, "-m", "qapflow", "build", str(model), "--board", "xcvu9p", "--vectors"]
        build += [count, "--io", options.io, "-o", str(folder / "ours")]
        theirs = [python, "-W", "ignore", "-c", HLS4ML, str(model), str(samples)]
        theirs += [str(folder / "theirs"), options.io]
        commands = {
            "hls4ml convert + compile + predict": theirs,
            "qapflow build --keras no": [*build, "--keras", "no"],
            "qapflow build (with Keras)": build,
        }
        times: dict[str, list[tuple[float, float]]] = {label: [] for label in commands}
        for _ in range(options.repeats):
            for label, command in commands.items():
                for made in ("ours", "theirs"):
                    shutil.rmtree(folder / made, ignore_errors=True)
                times[label].append(run(command, folder))
        return report(times, options)


def report(times: dict[str, list[tuple[float, float]]], options: argparse.Namespace) -> int:
    base = statistics.median(seconds for seconds, _ in next(iter(times.values())))
    print(f"jet MLP, {options.io}, {options.samples} samples, {options.repeats} runs each")
    print(f"{'':38}{'median s':>10}{'best s':>10}{'of hls4ml':>11}{'MB':>8}")
    ratios = []
    for label, rows in times.items():
        median = statistics.median(seconds for seconds, _ in rows)
        best, memory = min(s for s, _ in rows), max(m for _, m in rows)
        ratios.append(median / base)
        print(f"{label:38}{median:10.2f}{best:10.2f}{median / base:11.2f}{memory:8.0f}")
    return 0 if ratios[1] <= 0.5 else 1


if __name__ == "__main__":
    sys.exit(main())
