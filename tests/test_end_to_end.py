"""Keras = interpreter = C simulation, on every output of 10,000 samples, bit by bit."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from qapflow.boards import load_target
from qapflow.frontend.load import load
from qapflow.frontend.model import LoadOptions
from qapflow.ir.fixed import Fixed, Rounding
from qapflow.ir.net import Net
from qapflow.ir.ops import Quantize
from qapflow.lower.project import lower
from qapflow.plan.propose import propose
from qapflow.verify.compare import compare_csim
from qapflow.verify.compile_csim import compile_csim
from qapflow.verify.coverage import coverage
from qapflow.verify.keras_compare import compare_keras
from qapflow.verify.vectors import make_vectors

SAMPLES = 10_000
INPUT = Fixed(True, 16, 10)

pytestmark = [pytest.mark.needs_keras, pytest.mark.needs_hls4ml, pytest.mark.needs_gxx]

# Random, pruned weights and random statistics of the batch normalisation: nothing is trained.
MODELS = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np, tf_keras
sys.modules["keras"] = tf_keras
from qkeras import QActivation, QConv2D, QConv2DBatchnorm, QDense, quantized_bits, quantized_relu
L = tf_keras.layers
rng = np.random.default_rng(0)

def bits():
    return {k: quantized_bits(6, 0, alpha=1) for k in ("kernel_quantizer", "bias_quantizer")}

def jets():
    x = i = L.Input((16,), name="jets")
    for k, n in enumerate((64, 32, 32)):
        x = QDense(n, name=f"fc{k}", **bits())(x)
        x = QActivation(quantized_relu(6), name=f"relu{k}")(x)
    return tf_keras.Model(i, QDense(5, name="out", **bits())(x))

def images(folded):
    x = i = L.Input((16, 16, 1), name="image")
    for k, n in enumerate((4, 8)):
        if folded:
            x = QConv2DBatchnorm(n, 3, name=f"conv{k}", **bits())(x)
        else:
            x = QConv2D(n, 3, name=f"conv{k}", **bits())(x)
            x = L.BatchNormalization(name=f"bn{k}")(x)
        x = QActivation(quantized_relu(6, 2), name=f"relu{k}")(x)
        x = L.MaxPooling2D(2, name=f"pool{k}")(x)
    x = L.Flatten(name="flatten")(x)
    return tf_keras.Model(i, QDense(5, name="out", **bits())(x))

def wide():
    fine = lambda: {"kernel_quantizer": quantized_bits(14, 0, alpha=1), "use_bias": False}
    x = i = L.Input((40,), name="x")
    x = QDense(8, name="fc", **fine())(x)
    x = QActivation(quantized_relu(12, 3), name="act")(x)
    return tf_keras.Model(i, QDense(3, name="out", **fine())(x))

def randomise(layer):
    values = []
    for variable in layer.weights:
        name, old = variable.name.split("/")[-1].split(":")[0], variable.numpy()
        new = rng.normal(0, 0.4, old.shape)
        if "kernel" in name:
            new *= rng.random(old.shape) < 0.5
        elif "variance" in name or "gamma" in name:
            new = rng.uniform(0.3, 1.5, old.shape)
        elif np.issubdtype(old.dtype, np.integer):
            new = old
        values.append(new.astype(old.dtype))
    layer.set_weights(values)

models = {"jets": jets(), "folded": images(True), "normalised": images(False), "wide": wide()}
for name, model in models.items():
    for layer in model.layers:
        randomise(layer)
    model.save(f"{sys.argv[1]}/{name}.h5", include_optimizer=False)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MODELS, str(folder)],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jets", "folded", "normalised"])
def test_keras_interpreter_and_c_simulation_agree(models, tmp_path, name):
    path = models / f"{name}.h5"
    loaded = load(path, LoadOptions(input_types={"": INPUT}))
    net = loaded.net
    vectors = make_vectors(net, SAMPLES)
    assert all(row.minimum and row.maximum for row in coverage(net, vectors.codes))

    against_keras = compare_keras(net, loaded.records, vectors.codes, path).comparison
    assert against_keras.verdict == "equal", against_keras
    assert (against_keras.samples, against_keras.mismatches) == (SAMPLES, 0)

    target = load_target("xcvu9p")
    for io_type in ("io_parallel", "io_stream"):
        project = tmp_path / io_type
        lower(net, propose(net, target, io_type=io_type), target, name).write(project)
        compile_csim(project)
        against_csim = compare_csim(net, project, vectors.codes)
        assert against_csim.verdict == "equal", (io_type, against_csim)
        assert (against_csim.samples, against_csim.mismatches) == (SAMPLES, 0)


@pytest.mark.slow
def test_rounding_of_keras_is_told_from_a_wrong_network(models):
    """Sums of more than 24 bits: Keras rounds them, which only its double precision excuses."""
    path = models / "wide.h5"
    loaded = load(path, LoadOptions(input_types={"": INPUT}))
    records = [replace(record, regime="exact") for record in loaded.records]
    vectors = make_vectors(loaded.net, 1000)
    right = compare_keras(loaded.net, records, vectors.codes, path).comparison
    assert (right.verdict, right.mismatches) == ("equal", 0)
    assert re.fullmatch(r"Keras float32 rounding on \d+ of 3000 values .*float64\)", right.note)

    nodes = tuple(
        replace(node, op=replace(node.op, rounding=Rounding.TRN))
        if isinstance(node.op, Quantize)
        else node
        for node in loaded.net.nodes
    )
    truncating = Net(nodes, loaded.net.outputs)
    wrong = compare_keras(truncating, records, vectors.codes, path).comparison
    assert wrong.verdict == "different"
    assert (wrong.first.layer, wrong.first.edge) == ("act", "act")
    assert wrong.first.cause.endswith("instead of TRN, SAT")
