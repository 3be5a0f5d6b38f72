"""The Keras process, the only module that imports Keras: `run_keras` starts it.

`python -m qapflow.verify.keras_process FOLDER` reads `request.json` and `inputs.npz` from the
folder and writes `result.json` and `outputs.npz` into it. The mode `single` computes as Keras
does; `export` also writes the model's configuration and weights; `double` computes what was
exported in double precision.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolFailed, ToolMissing
from qapflow.verify.keras_copy import KerasModel, export_model, first_words, rebuild_model
from qapflow.verify.keras_double import double_qkeras
from qapflow.verify.keras_watch import layer_constants, layer_outputs

BATCH = 1024
Array = NDArray[Any]


def main(folder: Path) -> int:
    """Serve one request; returns the exit status."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    versions: dict[str, str] = {}
    try:
        answer = serve(folder, request, versions)
    except ToolMissing as error:
        answer = {"status": "missing", "reason": error.what}
    except ToolFailed as error:
        answer = {"status": "refused", "reason": error.what}
    text = json.dumps({**answer, "versions": versions})
    (folder / "result.part").write_text(text, encoding="utf-8")
    (folder / "result.part").replace(folder / "result.json")
    return 0


def serve(folder: Path, request: Mapping[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """Load, run and store; returns the answer. `versions` is filled on the way."""
    double = request["mode"] == "double"
    if double:
        double_qkeras(folder / "double")
    keras, custom, absent = import_keras(request["keras"], versions)
    with np.load(folder / "inputs.npz", allow_pickle=False) as archive:
        inputs = dict(zip(request["inputs"], archive.values(), strict=True))
    if double:
        keras.backend.set_floatx("float64")
        compute_as_written()
        model = rebuild_model(keras, folder, custom, "float64")
    else:
        model = load(keras, request, custom, absent)
    kind = np.float64 if double else np.float32
    outputs = predict(model, inputs, kind)
    if request["mode"] == "export":
        export_model(keras, model, folder)
        again = predict(rebuild_model(keras, folder, custom, "float32"), inputs, kind)
        if not all(np.array_equal(a, b) for a, b in zip(outputs, again, strict=True)):
            raise ToolFailed("a copy of the model from its configuration and weights differs")
    constants = layer_constants(model) if request.get("constants") else {}
    layers = _watch(model, inputs, kind, folder, request)
    data: dict[str, Any] = {f"output{k}": array for k, array in enumerate(outputs)}
    data |= {f"layer{k}": array for k, array in enumerate(layers.values())}
    for name, arrays in constants.items():
        data |= {f"constant{k}:{name}": array for k, array in enumerate(arrays)}
    np.savez(folder / "outputs.npz", **data)
    return {"status": "ok", "outputs": len(outputs), "layers": list(layers)}


def _watch(
    model: KerasModel,
    inputs: Mapping[str, Array],
    kind: type[np.floating[Any]],
    folder: Path,
    request: Mapping[str, Any],
) -> dict[str, Array]:
    """Return the layer outputs that a request asks for, from the values in `feed.npz` if any."""
    import tensorflow

    if request["layers"] is None:
        return {}
    feed: dict[str, Array] = {}
    if request.get("feed"):
        with np.load(folder / "feed.npz", allow_pickle=False) as archive:
            feed = dict(zip(request["feed"], archive.values(), strict=True))
    return layer_outputs(
        model,
        _order(model, inputs, kind),
        request["layers"],
        BATCH,
        feed=feed,
        make_tensor=lambda array, dtype: tensorflow.convert_to_tensor(array.astype(dtype.name)),
    )


def import_keras(
    which: str, versions: dict[str, str]
) -> tuple[ModuleType, dict[str, Any], list[str]]:
    """Return Keras, the classes of QKeras and of pruning, and the absent of these packages."""
    custom: dict[str, Any] = {}
    absent: list[str] = []
    try:
        import tensorflow

        if which == "3":
            import keras
        else:
            import tf_keras as keras

            sys.modules["keras"] = keras  # QKeras and older files say `keras`
    except ModuleNotFoundError as error:
        raise ToolMissing(str(error.name)) from error
    versions["tensorflow"], versions["keras"] = tensorflow.__version__, keras.__version__
    if which == "3":
        return keras, custom, absent
    try:
        import qkeras
        from qkeras.utils import _add_supported_quantized_objects

        versions["qkeras"] = getattr(qkeras, "__version__", "")
        restore_qkeras()
        _add_supported_quantized_objects(custom)
        custom["quantized_hswish"] = qkeras.quantizers.quantized_hswish
    except ModuleNotFoundError as error:
        absent.append(str(error.name))
    try:
        from tensorflow_model_optimization.python.core.sparsity.keras import pruning_wrapper

        custom["PruneLowMagnitude"] = pruning_wrapper.PruneLowMagnitude
    except ModuleNotFoundError as error:
        absent.append(str(error.name).split(".")[0])
    return keras, custom, absent


def compute_as_written() -> None:
    """Keep TensorFlow from rewriting graphs: x / 6 becomes x * (1 / 6) there, rounded twice."""
    import tensorflow

    tensorflow.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def restore_qkeras() -> None:
    """Mend what keeps QKeras 0.9 from running: its recurrent cells, and reading its own files.

    TensorFlow 2.16 moved functions that the cells call; the configurations of quantized_hswish and
    of a QActivation in a .keras archive are written in a form that their classes do not take.
    """
    import qkeras
    from tensorflow.python.ops import array_ops, array_ops_stack
    from tensorflow.python.util import nest

    for module, name, value in (
        (array_ops, "stack", array_ops_stack.stack),
        (array_ops, "unstack", array_ops_stack.unstack),
        (nest, "is_sequence", nest.is_nested),
    ):
        if not hasattr(module, name):
            setattr(module, name, value)

    def read_hswish(cls: type, config: Mapping[str, Any]) -> object:
        return cls(**{name: value for name, value in config.items() if name != "keep_negative"})

    def read_activation(cls: type, config: Mapping[str, Any]) -> object:
        activation = config["activation"]
        if isinstance(activation, Mapping):
            parts = {name: activation[name] for name in ("class_name", "config")}
            activation = qkeras.get_quantizer(parts)
        return cls(**{**config, "activation": activation})

    qkeras.quantizers.quantized_hswish.from_config = classmethod(read_hswish)
    qkeras.QActivation.from_config = classmethod(read_activation)


def load(
    keras: ModuleType, request: Mapping[str, Any], custom: Mapping[str, Any], absent: Sequence[str]
) -> KerasModel:
    """Load the requested file without compiling the model for training."""
    path = Path(request["path"])
    try:
        if path.suffix == ".json":
            text = path.read_text(encoding="utf-8")
            model: KerasModel = keras.models.model_from_json(text, custom_objects=dict(custom))
            model.load_weights(request["weights"])
            return model
        model = keras.models.load_model(path, custom_objects=dict(custom), compile=False)
    except Exception as error:  # Keras hands on whatever layers raise; the reason is reported
        if absent and request["keras"] == "2" and _needs(path, absent):
            raise ToolMissing(absent[0]) from error
        raise ToolFailed(
            f"Keras {keras.__version__} cannot load the file: {first_words(error)}"
        ) from error
    return model


def _needs(path: Path, absent: Sequence[str]) -> bool:
    """Tell whether a model file names classes of packages that are not installed."""
    pruning = absent[0] == "tensorflow_model_optimization"
    words = (
        (b"PruneLowMagnitude",) if pruning else (b"QDense", b"QConv", b"QActivation", b"quantized_")
    )
    data = path.read_bytes()
    return any(word in data for word in words)


def predict(
    model: KerasModel, inputs: Mapping[str, Array], kind: type[np.floating[Any]]
) -> tuple[Array, ...]:
    """Return the model's outputs [n, *shape] in its own order."""
    arrays = _order(model, inputs, kind)
    layers = getattr(model, "layers", ())
    if any(type(layer).__name__ == "QAdaptiveActivation" for layer in layers):
        first = [array[:1] for array in arrays]  # the call that sets its integer bits
        model.predict(first[0] if len(first) == 1 else first, verbose=0)
    made = model.predict(arrays[0] if len(arrays) == 1 else arrays, batch_size=BATCH, verbose=0)
    if isinstance(made, Mapping):
        made = [made[name] for name in model.output_names]
    return tuple(
        np.asarray(array) for array in (made if isinstance(made, list | tuple) else [made])
    )


def _order(
    model: KerasModel, inputs: Mapping[str, Array], kind: type[np.floating[Any]]
) -> list[Array]:
    """Return the arrays in the order of the model's inputs: by name if all names fit."""
    names = [tensor.name.split(":")[0] for tensor in model.inputs or ()]
    if set(names) == set(inputs):
        return [inputs[name].astype(kind) for name in names]
    return [array.astype(kind) for array in inputs.values()]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
