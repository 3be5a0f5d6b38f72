"""Build a case with real Keras, read it with qapflow, and compare: Keras, interpreter, firmware."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from qapflow.errors import ModelUnsupported
from qapflow.frontend.load import load
from qapflow.frontend.model import Loaded, LoadOptions
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.lower.project import FLAGS, lower
from qapflow.plan import Plan
from qapflow.target import Resources, Target
from qapflow.verify.compile_csim import PROGRAM, find_compiler
from qapflow.verify.csim import run_csim
from tests.features.case import FLOAT32, Case

SAMPLES = 1000
TOTALS = Resources(lut=1182240, ff=2364480, dsp=6840, bram18=4320, uram=960)
TARGET = Target("t", "xcvu9p-flga2104-2l-e", (), "virtex-ultrascale+", "", 5.0, TOTALS, 3, "", True)
COMMON = '#include "ap_fixed.h"\n#include "ap_int.h"\n#include "hls_stream.h"\n'
COMMON += "#include <cstdio>\n#include <cstdlib>\n"


@dataclass(frozen=True)
class Measured:
    """What a case gave; `loaded` is None where it was refused with `reason`."""

    loaded: Loaded | None
    reason: str = ""
    values: int = 0
    different: int = 0
    error: float = 0.0
    peak: float = 0.0  # largest value of Keras

    @property
    def verdict(self) -> str:
        """As in `Case.verdict`, by what the loader says of each layer."""
        if self.loaded is None:
            return "refused"
        reasons = [record.reason for record in self.loaded.records if record.reason]
        if not reasons:
            return "exact"
        return "float32" if all(FLOAT32[2] in reason for reason in reasons) else "bounded"


@functools.cache
def start_keras() -> SimpleNamespace:
    """Keras 2, its layers, and QKeras with what newer TensorFlow took from under it put back."""
    os.environ.update(TF_USE_LEGACY_KERAS="1", CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    import tf_keras

    sys.modules.setdefault("keras", tf_keras)
    import qkeras
    import tensorflow as tf

    from qapflow.verify.keras_process import restore_qkeras

    restore_qkeras()
    return SimpleNamespace(keras=tf_keras, L=tf_keras.layers, q=qkeras, tf=tf)


def randomise(model: Any, rng: np.random.Generator) -> None:
    """Weights of both signs and several sizes; variances and most factors positive."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            randomise(layer, rng)
            continue
        new = []
        for weight in layer.weights:
            name = weight.name.rsplit("/", 1)[-1]
            if "variance" in name:
                new.append(rng.uniform(0.3, 2, weight.shape))
            elif "gamma" in name:
                new.append(rng.uniform(0.3, 2, weight.shape) * rng.choice([1, 1, -1], weight.shape))
            elif weight.dtype.is_floating and "step" not in name:
                new.append(rng.normal(0, 0.5, weight.shape))
            else:
                new.append(weight.numpy())
        layer.set_weights(new)


def make_codes(net: Any, seed: int) -> dict[str, Any]:
    """All lowest, all highest and random codes of every input."""
    rng = np.random.default_rng(seed)
    made = {}
    for node in net.inputs:
        kind = node.out.type
        codes = rng.integers(kind.lo, kind.hi, (SAMPLES, *node.out.shape), endpoint=True)
        codes[0], codes[1] = kind.lo, kind.hi
        made[node.name] = codes
    return made


def measure(case: Case, folder: Path) -> Measured:
    """Build, save, read and interpret a case, and compare with Keras on every sample."""
    keras = start_keras()
    keras.keras.backend.clear_session()
    seed = sum(map(ord, case.name))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.keras.utils.set_random_seed(seed)
        model = case.build(keras)
        randomise(model, np.random.default_rng(seed))
        model.save(path, include_optimizer=False)
    try:
        loaded = load(path, LoadOptions(input_types={"": Fixed(*case.grid)}))
    except ModelUnsupported as error:
        return Measured(None, str(error))
    codes = make_codes(loaded.net, seed)
    np.savez(folder / "codes.npz", **codes)
    kinds = {node.name: node.out.type for node in loaded.net.inputs}
    values = [kinds[name].decode(codes[name]).astype(np.float32) for name in codes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = model.predict(
            values if len(values) > 1 else values[0], verbose=0, batch_size=SAMPLES
        )
    theirs = theirs if isinstance(theirs, list) else [theirs]
    ours = interpret(loaded.net, codes)
    pairs = [
        (loaded.net.edge(name).type.decode(ours[name]), right.astype(np.float64))
        for name, right in zip(loaded.net.outputs, theirs, strict=True)
    ]
    assert all(left.shape == right.shape for left, right in pairs)
    reasons = "; ".join(f"{r.name}: {r.reason}" for r in loaded.records if r.reason)
    return Measured(
        loaded,
        reasons,
        sum(left.size for left, _ in pairs),
        sum(int(np.count_nonzero(left != right)) for left, right in pairs),
        max(float(np.abs(left - right).max()) for left, right in pairs),
        max(float(np.abs(right).max()) for _, right in pairs),
    )


def common_headers(project: Path, shared: Path) -> Path:
    """Compile what every simulation includes once; returns the header to include first."""
    header = shared / "common.h"
    if not (shared / "common.h.gch").exists():
        shutil.copytree(project / "csim/ap_types", shared / "ap_types", dirs_exist_ok=True)
        header.write_text(COMMON)
        command = [*find_compiler(), *FLAGS, "-DQAPFLOW_TRACE", f"-I{shared}/ap_types"]
        command += ["-x", "c++-header", str(header), "-o", f"{header}.part"]
        subprocess.run(command, check=True, capture_output=True)
        Path(f"{header}.part").replace(f"{header}.gch")
    return header


def simulate(loaded: Loaded, io_type: str, folder: Path, shared: Path) -> list[str]:
    """Lower, compile and run a case; return the edges that differ from the interpreter."""
    net = loaded.net
    project = folder / io_type
    lower(net, Plan("vitis", io_type, 5.0, 12.5, {}), TARGET, "top").write(project)
    header = common_headers(project, shared)
    command = [*find_compiler(), *FLAGS, "-DQAPFLOW_TRACE", f"-I{shared}/ap_types"]
    command += ["-include", str(header), "csim/main.cpp", "-o", PROGRAM]
    done = subprocess.run(command, cwd=project, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "codes.npz") as archive:
        codes = dict(archive)
    found = run_csim(project, net, codes, trace=True, jobs=1)
    expected = interpret(net, codes, keep="all")
    assert set(net.outputs) <= found.keys()
    return [name for name in found if not np.array_equal(found[name], expected[name])]
