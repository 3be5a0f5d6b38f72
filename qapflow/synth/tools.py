"""The vendor programs: where they are and which version they say they are."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from qapflow.errors import UsageError
from qapflow.verify.process import Runner

_BANNER = re.compile(r"\bv(20\d\d\.\d+(?:\.\d+)?)\b")  # "Vivado v2020.1 (64-bit)"
_FOLDER = re.compile(r"/(20\d\d\.\d+(?:\.\d+)?)/")  # /tools/Xilinx/Vivado/2020.1/bin/vivado
_PROBE_SECONDS = 60.0


@dataclass(frozen=True)
class Tool:
    """A program: its name on PATH, the variable that overrides it, and how to ask its version."""

    name: str
    variable: str
    version_option: str
    adds: str


@dataclass(frozen=True)
class FoundTool:
    """A program on this machine; `version` is "" if it does not say one we can read."""

    tool: Tool
    path: Path
    version: str

    @property
    def release(self) -> tuple[int, ...]:
        """Return the version as numbers, () if unknown."""
        return tuple(int(part) for part in self.version.split(".")) if self.version else ()


TOOLS: tuple[Tool, ...] = (
    Tool("vitis-run", "VITIS_RUN", "--version", "Vitis synthesis and co-simulation (2023.1 on)"),
    Tool("v++", "VPP", "--version", "Vitis Unified synthesis from hls_config.cfg"),
    Tool("vitis_hls", "VITIS_HLS", "-version", "Vitis HLS synthesis (2020.2 to 2024.1)"),
    Tool("vivado_hls", "VIVADO_HLS", "-version", "Vivado HLS synthesis (to 2020.1)"),
    Tool("vivado", "VIVADO", "-version", "placed and routed resources and timing"),
)


def tool_named(name: str) -> Tool:
    """Return a tool of `TOOLS` by name."""
    return next(tool for tool in TOOLS if tool.name == name)


def locate(tool: Tool, env: Mapping[str, str] | None = None) -> Path | None:
    """Return the program's path: the override variable first, then PATH; None if absent.

    Raises:
        UsageError: the variable names something that cannot be run.
    """
    env = os.environ if env is None else env
    given = env.get(tool.variable, "")
    if given:
        found = shutil.which(given, path=env.get("PATH"))
        if found is None:
            what = f"{tool.variable} names {given}, which is not a program"
            raise UsageError(what, f"environment variable {tool.variable}", "correct or unset it")
        return Path(found)
    found = shutil.which(tool.name, path=env.get("PATH", ""))
    return Path(found) if found else None


def find_tool(tool: Tool, env: Mapping[str, str] | None = None) -> FoundTool | None:
    """Locate a program and ask its version; errors as in `locate`."""
    path = locate(tool, env)
    return None if path is None else FoundTool(tool, path, ask_version(path, tool.version_option))


def version_of_folder(path: Path) -> str:
    """Read the version off the installation folder, without starting the program."""
    found = _FOLDER.search(f"{path.resolve()}/")
    return found[1] if found else ""


def ask_version(path: Path, option: str) -> str:
    """Start the program for its banner and return the version in it ("" if it has none)."""
    return banner_version(ask_banner(path, option)) or version_of_folder(path)


@cache
def ask_banner(path: Path, option: str) -> str:
    """Return what a program prints when asked for its version, "" if it cannot be started."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "banner.txt"
        try:
            command = [str(path.absolute()), option]
            return Runner().run(command, log=log, timeout=_PROBE_SECONDS, cwd=Path(folder)).text
        except OSError:
            return ""


def banner_version(text: str) -> str:
    """Return the release in a banner such as `Vivado v2020.1 (64-bit)`, "" if there is none."""
    found = _BANNER.search(text)
    return found[1] if found else ""
