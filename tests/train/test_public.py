"""Names that `from qapflow.train import ...` gives."""

import importlib.util
from pathlib import Path

import qapflow.train


def test_public_names_are_never_modules():
    """A module of that name would take its place as soon as anything imports it."""
    modules = {path.stem for path in Path(qapflow.train.__file__).parent.glob("*.py")}
    assert not modules & set(qapflow.train.PUBLIC)
    assert all(map(importlib.util.find_spec, qapflow.train.PUBLIC.values()))
