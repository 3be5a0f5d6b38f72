"""TensorFlow, Keras 2, QKeras and tfmot, imported together and in the one order that works."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from tempfile import TemporaryFile
from typing import Any

from qapflow.errors import ToolFailed, ToolMissing
from qapflow.verify.keras_process import restore_qkeras

HINT = "pip install 'qapflow[train]'"
STDERR = 2
NOTE = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog\(\) ")


@dataclass(frozen=True)
class Libraries:
    """The modules themselves; `keras` is tf-keras (Keras 2), which QKeras and tfmot extend."""

    tf: Any
    keras: Any
    qkeras: Any
    tfmot: Any


@cache
def load_keras() -> Libraries:
    """Import what training needs, once a process.

    `seed_everything` makes what follows repeatable. Raises ToolMissing when the [train] extra is
    not installed, and ToolFailed when Keras 3 was taken into the process before.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors come as exceptions too
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # read when tensorflow.keras is first touched
    with without_notes():
        tf, keras = _import("tensorflow"), _import("tf_keras")
    sys.modules.setdefault("keras", keras)  # files and packages of Keras 2 say `keras`
    if tf.keras.layers.Layer is not keras.layers.Layer:
        raise ToolFailed(
            "training needs Keras 2, but TensorFlow already uses Keras 3 in this process",
            hint="set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported",
        )
    qkeras = _import("qkeras")
    restore_qkeras()
    return Libraries(tf, keras, qkeras, _import("tensorflow_model_optimization"))


@contextmanager
def without_notes() -> Iterator[None]:
    """Leave out of stderr what TensorFlow notes while it is imported, whatever its log level.

    Its C++ libraries write before their logging is set up, so TF_CPP_MIN_LOG_LEVEL does not hold.
    Everything but notes is written when the import is over.
    """
    try:
        own = os.dup(STDERR)
    except OSError:  # there is no stderr
        yield
        return
    with TemporaryFile() as held:
        sys.stderr.flush()
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(own, STDERR)
            os.close(own)
            held.seek(0)
            os.write(STDERR, b"".join(line for line in held if not NOTE.match(line)))


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and TensorFlow, and choose operations whose sums have one order.

    Layers made from now on that draw random numbers keep their generators as variables, which
    `random_states` finds, so that a resumed training can go on in the same sequence.
    With that, random operations without any seed are errors in TensorFlow: this is for programs
    that own their process, so `quantize` and `finalize` leave it to their caller.
    """
    libraries = load_keras()
    libraries.keras.backend.experimental.enable_tf_random_generator()
    libraries.keras.utils.set_random_seed(seed)
    libraries.tf.config.experimental.enable_op_determinism()


def random_states(layers: Iterable[Any]) -> list[Any]:
    """Return the variables that hold the random generators of layers such as Dropout."""
    sources = [getattr(layer, "_random_generator", None) for layer in layers]
    generators = [getattr(source, "_generator", None) for source in sources]
    return [generator.state for generator in generators if generator is not None]


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ToolMissing(f"training needs the Python package {error.name}", hint=HINT) from error
