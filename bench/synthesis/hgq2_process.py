"""Make a network's RTL by HGQ2's own Keras route; run by a Python with HGQ2 and alkaid.

    python hgq2_process.py NETWORK.npz FOLDER CLOCK_NS CUTOFF

The archive holds samples [n, inputs] and, for each dense layer in order, its kernel: real values
that are multiples of 1/32. Types are those of `bench.synthesis.models.mlp`. Writes Verilog to
FOLDER and what is known of it to FOLDER/made.json.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from alkaid.codegen import RTLModel
from alkaid.converter import trace_model
from alkaid.trace import trace
from hgq.config import QuantizerConfig
from hgq.layers import QDense

WEIGHT = QuantizerConfig(
    "kif", "weight", k0=1, i0=0, f0=5, round_mode="RND", overflow_mode="SAT", trainable=False
)


def main() -> None:
    """Build, trace, write, and compute the samples in both ways."""
    source, folder, clock_ns, cutoff = sys.argv[1:]
    with np.load(source) as archive:
        arrays = {name: archive[name] for name in archive}
    kernels = [arrays[f"kernel_{n}"] for n in range(len(arrays) - 1)]
    model = build(kernels)
    keras_values = model.predict(arrays["samples"], batch_size=8192, verbose=0)
    start = time.process_time()
    logic = trace(*trace_model(model, inputs_kif=(1, 5, 10)))
    rtl = RTLModel(
        logic, folder, "hgq2", latency_cutoff=float(cutoff), print_latency=False,
        clock_period=float(clock_ns), ternary_fuse=False,
    )  # fmt: skip
    rtl.write()
    made = {
        "seconds": time.process_time() - start,
        "cost_lut": float(logic.cost),
        "stages": rtl.latency,
        "logic_differs": int(np.count_nonzero(logic.predict(arrays["samples"]) != keras_values)),
    }
    np.save(Path(folder, "keras_values.npy"), keras_values)
    Path(folder, "made.json").write_text(json.dumps(made), encoding="utf-8")


def build(kernels):
    """Return the network in HGQ2's layers, every type fixed."""
    model = keras.Sequential([keras.layers.Input((len(kernels[0]),))])
    for number, kernel in enumerate(kernels):
        model.add(
            QDense(
                kernel.shape[1], use_bias=False, kq_conf=WEIGHT, iq_conf=read_as(number),
                activation="relu" if number < len(kernels) - 1 else None,
            )
        )  # fmt: skip
    for layer, kernel in zip(model.layers, kernels, strict=True):
        layer.kernel.assign(kernel)
    return model


def read_as(number):
    """Return the type that a layer reads: fixed<16,6> at first, ufixed<6,2> of a rectifier."""
    signed, integer, fraction = (0, 2, 4) if number else (1, 5, 10)
    return QuantizerConfig(
        "kif", "datalane", k0=signed, i0=integer, f0=fraction, round_mode="RND",
        overflow_mode="SAT", trainable=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
