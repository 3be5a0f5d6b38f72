"""Model files of every Keras version, read without Keras."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import h5py

from qapflow.errors import UsageError
from qapflow.frontend.assign import assign_listed
from qapflow.frontend.config import ATTENTION, OPERATIONS
from qapflow.frontend.fields import MAX_JSON_BYTES, RESAVE, parse_json
from qapflow.frontend.flatten import Flat, FlatCall, flatten
from qapflow.frontend.graph import Model, parse_model
from qapflow.frontend.hdf5 import Hdf5Reader, open_hdf5
from qapflow.frontend.isolate import read_isolated
from qapflow.frontend.keras_tree import assign_tree
from qapflow.frontend.keras_zip import read_archive
from qapflow.frontend.model import LayerSpec, ModelSpec
from qapflow.frontend.stored import Array, LayerWeights

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
FORMATS = "qapflow reads .h5, .keras, and .json with its .h5 weights"
Format = Literal["h5", "keras", "json+h5", "memory"]
Path_ = tuple[str, ...]


def read_model(path: Path, weights: Path | None = None) -> ModelSpec:
    """Return the model in a file: `.h5`, `.keras`, or `.json` with an `.h5` of weights.

    The weights of a `.json` are looked for beside it when `weights` is not given.
    Raises UsageError when a file is missing, damaged, unsafe, incomplete or no Keras model.
    """
    path = Path(path)
    head = _head(path)
    if head.startswith(HDF5_MAGIC):
        if weights is not None:
            raise UsageError(
                "weights are given for a model that is no .json", str(path), "leave --weights out"
            )
        return _read_h5(path)
    if zipfile.is_zipfile(path):
        return _read_keras(path)
    if head.lstrip()[:1] == b"{":
        return _read_json(path, Path(weights) if weights else _beside(path))
    raise UsageError("the file is no HDF5, .keras or JSON file", str(path), FORMATS)


def _head(path: Path) -> bytes:
    """Return the first bytes of a file that can be read."""
    try:
        if path.is_dir():
            raise UsageError(
                "this is a directory, not a model file",
                str(path),
                "save a TensorFlow SavedModel again with model.save('model.h5')",
            )
        with path.open("rb") as stream:
            head = stream.read(4096)
    except FileNotFoundError:
        raise UsageError("there is no such file", str(path), "check the path") from None
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the file cannot be read: {error}", str(path), "check its rights"
        ) from None
    if not head:
        raise UsageError("the file is empty", str(path), RESAVE)
    return head


def _beside(path: Path) -> Path:
    """Return the weights that belong to a .json."""
    names = [f"{path.stem}.h5", f"{path.stem}_weights.h5", f"{path.stem}.weights.h5"]
    for name in names:
        if path.with_name(name).is_file():
            return path.with_name(name)
    raise UsageError(
        f"a .json holds no weights, and there is no {' or '.join(names)} beside it",
        str(path),
        "name the weights with --weights FILE.h5",
    )


def _digest(*paths: Path) -> str:
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while piece := stream.read(1 << 20):
                total.update(piece)
    return total.hexdigest()


@dataclass(frozen=True, eq=False)
class Content:
    """What an HDF5 file holds: architecture, weights by layer (None without a list), origin."""

    architecture: str | None
    listed: dict[str, list[tuple[str, Array]]] | None
    version: str | None
    backend: str | None

    def check_origin(self, model: Model, at: str) -> None:
        """Raise UsageError for kernels that are stored in another order than TensorFlow's."""
        old = (self.version or "1").startswith("1")
        for _, leaf in model.leaves():
            turned = self.backend == "theano" or (
                old and leaf.config.get("data_format") == "channels_first"
            )
            if turned and "Conv" in leaf.class_name:
                raise UsageError(
                    "the kernels of its convolutions are stored in the order of Theano",
                    f"{at}, layer {leaf.name!r}",
                    "load it with Keras 2 on TensorFlow and save it again",
                )


def _load_h5(path: Path) -> Content:
    with open_hdf5(path, str(path)) as file:
        reader = Hdf5Reader(file, str(path))
        root = reader.group(file, "model_weights")
        root = file if root is None else root
        has_list = reader.names(root, "layer_names") is not None
        return Content(
            reader.text(file, "model_config"),
            listed_weights(reader, root) if has_list else None,
            reader.text(root, "keras_version") or reader.text(file, "keras_version"),
            reader.text(root, "backend") or reader.text(file, "backend"),
        )


def _read_h5(path: Path) -> ModelSpec:
    at = str(path)
    content = read_isolated(partial(_load_h5, path), path.stat().st_size, at)
    if content.architecture is None:
        raise UsageError(
            "the file holds no Keras model"
            if content.listed is None
            else "the file holds weights but no architecture",
            at,
            "give the .json of the architecture and this file as its weights",
        )
    if content.listed is None:
        raise UsageError("the file holds an architecture but no weights", at, RESAVE)
    model = parse_model(parse_json(content.architecture.encode(), at), at)
    content.check_origin(model, at)
    found, notes = assign_listed(model, content.listed)
    return assemble(model, found, notes, content.version or "1", "h5", _digest(path))


def _read_json(path: Path, weights: Path) -> ModelSpec:
    at = str(path)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise UsageError(f"the architecture is larger than {MAX_JSON_BYTES} bytes", at, RESAVE)
    entry = parse_json(path.read_bytes(), at)
    model = parse_model(entry, at)
    if not _head(weights).startswith(HDF5_MAGIC):
        raise UsageError("the weights are no HDF5 file", str(weights), FORMATS)
    size = weights.stat().st_size
    content = read_isolated(partial(_load_h5, weights), size, str(weights))
    content.check_origin(model, str(weights))
    notes: tuple[str, ...] = ()
    if content.listed is None:
        load = partial(_load_tree, weights, str(weights), model)
        found = read_isolated(load, size, str(weights))
    else:
        found, notes = assign_listed(model, content.listed)
    version = content.version or str(entry.get("keras_version", "1"))
    return assemble(model, found, notes, version, "json+h5", _digest(path, weights))


def _load_tree(source: Path | bytes, at: str, model: Model) -> dict[Path_, LayerWeights]:
    with open_hdf5(source, at) as file:
        return assign_tree(model, Hdf5Reader(file, at))


def _read_keras(path: Path) -> ModelSpec:
    archive = read_archive(path, str(path))
    model = parse_model(archive.config, str(path))
    at = f"{path}, model.weights.h5"
    data = archive.weights
    found = read_isolated(partial(_load_tree, data, at, model), len(data), at)
    return assemble(model, found, (), archive.version, "keras", _digest(path))


def listed_weights(reader: Hdf5Reader, root: h5py.Group) -> dict[str, list[tuple[str, Array]]]:
    """Return the weights of each layer in an HDF5 file, in the order of `weight_names`."""
    names = reader.names(root, "layer_names")
    if names is None:
        raise UsageError("the file has no list of layers", reader.at, RESAVE)
    result: dict[str, list[tuple[str, Array]]] = {}
    for name in names:
        group = reader.group(root, name)
        listed = None if group is None else reader.names(group, "weight_names")
        if group is None or listed is None:
            raise UsageError("the weights of a layer are not there", f"layer {name!r}", RESAVE)
        pairs = []
        for weight in listed:
            found = reader.child(group, weight)
            if not isinstance(found, h5py.Dataset):
                raise UsageError(f"the weight {weight!r} is not there", f"layer {name!r}", RESAVE)
            pairs.append((weight, reader.array(found)))
        result[name] = pairs
    return result


def assemble(
    model: Model,
    weights: Mapping[Path_, LayerWeights],
    notes: Iterable[str],
    version: str,
    file_format: Format,
    digest: str,
) -> ModelSpec:
    """Return the flat model with its weights."""
    flat = flatten(model)
    layers = tuple(_layer_spec(call, weights[call.path]) for call in flat.calls)
    return ModelSpec(
        model.name,
        layers,
        flat.inputs,
        flat.outputs,
        version,
        file_format,
        digest,
        (*notes, *_notes(flat, weights)),
    )


def _layer_spec(call: FlatCall, stored: LayerWeights) -> LayerSpec:
    """Return the layer; one called with settings, as `training=True`, is of no known class."""
    config: dict[str, Any] = {**call.layer.config, "name": call.name}
    class_name, settings = call.layer.class_name, call.call.arguments
    if class_name in (*OPERATIONS, *ATTENTION) or class_name.startswith("ops>"):
        config["_operands"] = dict(call.call.operands)
    elif settings:
        config["_call_arguments"] = dict(settings)
        texts = [f"{k}={v}" if isinstance(v, int | float) else k for k, v in settings.items()]
        class_name = f"{class_name}({', '.join(texts)})"
    return LayerSpec(call.name, class_name, config, stored.weights, call.inbound, stored.masks)


def _notes(flat: Flat, weights: Mapping[Path_, LayerWeights]) -> list[str]:
    notes = []
    pruned = {call.path for call in flat.calls if call.layer.pruned}
    if pruned:
        notes.append(f"stripped PruneLowMagnitude from {len(pruned)} layers")
    for path in sorted(pruned):
        if weights[path].unmasked:
            notes.append(
                f"layer {'/'.join(path)!r}: the pruning mask zeroed {weights[path].unmasked} "
                "weights that were not zero in the file, as the wrapper does in every call"
            )
    if flat.dropped:
        notes.append(f"dropped layers that no output needs: {', '.join(flat.dropped)}")
    return notes
