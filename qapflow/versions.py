"""Versions of what a build depends on, read without importing it."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from importlib import metadata

KERAS_PACKAGES = ("tensorflow", "tf-keras", "qkeras", "tensorflow-model-optimization")


def package_version(name: str) -> str:
    """Version of an installed package, "" if it is not installed."""
    if name == "qapflow":
        from qapflow import __version__

        return __version__
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def keras_versions() -> dict[str, str]:
    """Versions of the packages that run a model in Keras; absent ones are left out."""
    found = {name: package_version(name) for name in KERAS_PACKAGES}
    return {name: version for name, version in found.items() if version}


@cache
def compiler_version() -> str:
    """First line of the C++ compiler's version, "" without one."""
    words = os.environ.get("CXX", "g++").split()
    path = shutil.which(words[0]) if words else None
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, *words[1:], "--version"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout.splitlines() or [""])[0]
