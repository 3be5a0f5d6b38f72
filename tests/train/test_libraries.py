"""Keras 2 and what extends it come together or not at all."""

import importlib
import sys

import pytest

from qapflow.errors import ToolMissing
from qapflow.train.libraries import custom_objects, load_keras


def test_what_is_missing_is_named(monkeypatch):
    load_keras.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ToolMissing, match=r"(?s)tensorflow.*pip install 'qapflow\[train\]'"):
        load_keras()


@pytest.mark.needs_keras
@pytest.mark.filterwarnings("ignore")
def test_all_use_keras_2():
    libraries = load_keras()
    assert libraries.tf.keras.layers.Dense is libraries.keras.layers.Dense
    assert issubclass(libraries.qkeras.QDense, libraries.keras.layers.Layer)
    assert importlib.import_module("keras") is libraries.keras
    assert {"QDense", "quantized_bits", "PruneLowMagnitude"} <= set(custom_objects())
