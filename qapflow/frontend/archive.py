"""Read a model file into a `ModelSpec`, whatever version of Keras wrote it.

Nothing in a file is ever executed: no Keras is imported, no Lambda decoded, no link followed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qapflow.errors import UsageError
from qapflow.frontend.graph import MODELS, Flattener
from qapflow.frontend.hdf5 import parse_json, read_hdf5
from qapflow.frontend.keras_zip import read_keras_zip
from qapflow.frontend.model import LayerSpec, ModelSpec
from qapflow.frontend.weights import NamedWeights, NumberedWeights, WeightSource, plain_class

FileFormat = Literal["h5", "keras", "json+h5", "memory"]
MAX_JSON_BYTES = 64 << 20


def read_model(path: Path, weights: Path | None = None) -> ModelSpec:
    """Read a `.h5`, a `.keras`, or a `.json` with its weights beside it or in `weights`.

    Raises:
        UsageError: missing, damaged, of no known format, without weights, or with NaN in them.
    """
    head = _head(path)
    if head.startswith(b"\x89HDF"):
        stored = read_hdf5(path)
        if stored.config is None:
            raise UsageError(
                "this file has weights but no model",
                at=str(path),
                hint=f"give the .json of the model: qapflow build model.json --weights {path.name}",
            )
        source: WeightSource = NamedWeights(stored.weights)
        spec = assemble(stored.config, source, "h5", stored.keras_version, str(path))
    elif head.startswith(b"PK"):
        archive = read_keras_zip(path)
        source = NumberedWeights(archive.weights)
        spec = assemble(archive.config, source, "keras", archive.keras_version, str(path))
    elif path.suffix == ".json" or head.lstrip().startswith(b"{"):
        return _read_pair(path, weights)
    else:
        raise UsageError(
            "this is no Keras model: neither HDF5, nor a .keras archive, nor JSON",
            at=str(path),
            hint="save the model with model.save('model.h5')",
        )
    return _with_digest(spec, [path])


def _head(path: Path) -> bytes:
    if not path.exists():
        raise UsageError("there is no such file", at=str(path), hint="check the path")
    if path.is_dir():
        raise UsageError(
            "this is a folder, not a model file",
            at=str(path),
            hint="SavedModel folders are not read: save the model with model.save('model.h5')",
        )
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise UsageError(f"the file cannot be read: {error.strerror}", at=str(path)) from error
    if not head:
        raise UsageError("the file is empty", at=str(path), hint="save the model again")
    return head


def _read_pair(path: Path, weights: Path | None) -> ModelSpec:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise UsageError("the JSON is larger than 64 MiB: this is no sane model", at=str(path))
    config = parse_json(path.read_bytes(), str(path))
    beside = [path.with_name(f"{path.stem}{end}") for end in ("_weights.h5", ".h5", ".weights.h5")]
    weights = weights or next((p for p in beside if p.exists()), None)
    if weights is None:
        raise UsageError(
            "the weights of this model are missing",
            at=str(path),
            hint=f"give them with --weights, or put {beside[0].name} beside the file",
        )
    _head(weights)
    stored = read_hdf5(weights)
    spec = assemble(
        config, NamedWeights(stored.weights), "json+h5", stored.keras_version, str(path)
    )
    return _with_digest(spec, [path, weights])


def assemble(
    config: dict[str, Any], source: WeightSource, file_format: FileFormat, version: str, at: str
) -> ModelSpec:
    """Flatten a model configuration and check that every layer has sane weights.

    Raises:
        UsageError: not a model, or weights missing or not finite.
    """
    if plain_class(config) not in MODELS:
        kind = config.get("class_name")
        raise UsageError(
            f"the file holds a {kind or 'configuration'} and no model that can be read",
            at=at,
            hint="subclassed models carry no graph: save a Sequential or functional model",
        )
    flat = Flattener(at)
    try:
        outputs = flat.model(config, source)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise UsageError(f"the model configuration is damaged: {error!r}", at=at) from error
    for layer in flat.layers:
        _check_weights(layer, at)
    notes = list(flat.notes)
    if flat.unwrapped:
        notes.append(f"took pruning wrappers off {flat.unwrapped} layers")
    inner = config.get("config")
    name = inner.get("name", "model") if isinstance(inner, dict) else "model"
    version = str(config.get("keras_version", version) or version)
    inputs = tuple(item.name for item in flat.layers if item.class_name == "InputLayer")
    return ModelSpec(
        str(name), tuple(flat.layers), inputs, outputs, version, file_format, "", tuple(notes)
    )


def _check_weights(layer: LayerSpec, at: str) -> None:
    for name, array in layer.weights.items():
        bad = int(np.count_nonzero(~np.isfinite(array))) if array.dtype.kind == "f" else 0
        if bad:
            raise UsageError(
                f"{bad} of {array.size} values of weight {name!r} are NaN or infinite",
                at=f"layer {layer.name} ({layer.class_name}) in {at}",
                hint="the training diverged: train again with a smaller learning rate",
            )


def _with_digest(spec: ModelSpec, paths: list[Path]) -> ModelSpec:
    from dataclasses import replace

    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes())
    return replace(spec, digest=total.hexdigest())
