"""Run a Keras model in a process of its own, at single or double precision."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolFailed, ToolMissing
from qapflow.verify.keras_copy import KerasModel
from qapflow.verify.keras_process import predict
from qapflow.verify.process import Runner, last_line

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class KerasResult:
    """What Keras computed, or why it could not load the model (`refused`).

    `outputs` are [n, *shape] in the model's order, `layers` the outputs of each layer by name, a
    repeated call numbered `name#2`, `constants` the weights of each layer as it uses them.
    """

    outputs: tuple[Array, ...] = ()
    layers: Mapping[str, Array] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""
    constants: Mapping[str, Sequence[Array]] = field(default_factory=dict)


def run_keras(
    path: Path,
    inputs: Mapping[str, Array],
    *,
    weights: Path | None = None,
    float64: bool = False,
    layers: Sequence[str] | None = None,
    feed: Mapping[str, Array] | None = None,
    constants: bool = False,
    timeout: float = 1800.0,
) -> KerasResult:
    """Run the model in `path` on real values [n, *shape] by input name.

    `layers` names layers whose outputs to collect too, an empty list all of them; `feed` and
    `constants` are explained in `keras_watch`. Keras 2 is tried before Keras 3, the other way round
    for files that say Keras 3.

    `float64` computes everything, the insides of QKeras quantizers too, in double precision: by a
    copy of the model, after the same way of copying has repeated the original's single precision
    outputs bit for bit; else the result is `refused`.

    Raises:
        ToolMissing: a package the model needs is not installed.
        ToolFailed: the process crashed, was killed, or took longer than `timeout` seconds.
    """
    request = {
        "path": str(path.resolve()),
        "weights": str(weights.resolve()) if weights else "",
        "layers": None if layers is None else list(layers),
        "inputs": list(inputs),
        "feed": list(feed or {}),
        "constants": constants,
    }
    with tempfile.TemporaryDirectory(prefix="qapflow-keras-") as name:
        folder = Path(name)
        np.savez(folder / "inputs.npz", *inputs.values())
        if feed:
            np.savez(folder / "feed.npz", *feed.values())
        request["mode"] = "export" if float64 else "single"
        order = ("3", "2") if _says_keras_3(path) else ("2", "3")
        result, keras = _run_child(folder, {**request, "keras": order[0]}, timeout)
        if result.refused:
            again = _run_child(folder, {**request, "keras": order[1]}, timeout)
            result, keras = (result, keras) if again[0].refused else again
        if result.refused or not float64:
            return result
        return _run_child(folder, {**request, "keras": keras, "mode": "double"}, timeout)[0]


def run_live(model: KerasModel, inputs: Mapping[str, Array]) -> KerasResult:
    """Run a Keras model that is in memory, in this process."""
    return KerasResult(outputs=predict(model, inputs, np.float32))


def _says_keras_3(path: Path) -> bool:
    if path.suffix != ".keras":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(archive.read("metadata.json"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False
    return str(metadata.get("keras_version", "")).startswith("3")


def _environment(keras: str) -> dict[str, str]:
    env = dict(os.environ)
    env["TF_USE_LEGACY_KERAS"] = "1" if keras == "2" else "0"
    env["KERAS_BACKEND"] = "tensorflow"
    env["CUDA_VISIBLE_DEVICES"] = "-1"
    env["TF_CPP_MIN_LOG_LEVEL"] = "3"
    env["TF_ENABLE_ONEDNN_OPTS"] = "0"
    root = str(Path(__file__).resolve().parents[2])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH", "")]))
    return env


def _run_child(folder: Path, request: dict[str, Any], timeout: float) -> tuple[KerasResult, str]:
    """Serve one request; returns the result and the Keras generation it was made with."""
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    (folder / "result.json").unlink(missing_ok=True)
    at = str(request["path"])
    try:
        done = Runner().run(
            [sys.executable, "-m", "qapflow.verify.keras_process", str(folder)],
            log=folder / "log",
            env=_environment(request["keras"]),
            timeout=timeout,
        )
    except OSError as error:
        raise ToolFailed(f"Python cannot be started ({error.strerror})", sys.executable) from error
    if done.timed_out:
        hint = "verify fewer samples (--vectors) or raise --timeout"
        raise ToolFailed(f"Keras did not finish in {timeout:g} s", at, hint)
    if done.killed:
        hint = "verify fewer samples (--vectors)"
        raise ToolFailed("Keras was killed, most likely because memory ran out", at, hint)
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        detail = last_line(done.text) or f"exit code {done.returncode}"
        raise ToolFailed(f"the Keras process crashed: {detail}", at) from None
    return _read_result(folder, result, at), request["keras"]


def _read_result(folder: Path, result: dict[str, Any], at: str) -> KerasResult:
    if result["status"] == "missing":
        raise ToolMissing(
            f"the Python package {result['reason']} is not installed, Keras cannot run this model",
            at,
            "pip install 'qapflow[train]'; or build with --keras no",
        )
    if result["status"] == "refused":
        return KerasResult(refused=result["reason"], versions=result["versions"])
    with np.load(folder / "outputs.npz", allow_pickle=False) as archive:
        outputs = tuple(archive[f"output{k}"] for k in range(result["outputs"]))
        layers = {name: archive[f"layer{k}"] for k, name in enumerate(result["layers"])}
        constants: dict[str, list[Array]] = {}
        for key in archive.files:  # in the order they were written
            if key.startswith("constant"):
                constants.setdefault(key.partition(":")[2], []).append(archive[key])
    return KerasResult(outputs, layers, result["versions"], constants=constants)
