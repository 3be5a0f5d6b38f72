"""Stand-ins for a C++ compiler: each is a shell script that fails in one known way."""

import os
from pathlib import Path

BODIES = {
    # A unit with one error, as g++ prints it.
    "error": 'echo "In file included from x.h:1"; '
    "echo \"unit.cpp:3:5: error: 'foo' was not declared in this scope\"; "
    'echo "unit.cpp:9:1: error: second"; exit 1',
    "silent": "exit 4",
    # The driver reports a killed cc1plus in words and exits 1.
    "killed-child": 'echo "g++: fatal error: Killed signal terminated program cc1plus"; exit 1',
    "killed": "kill -9 $$",
    "hangs": "sleep 60 & echo $! > child.pid; wait",
    "writes-nothing": "exit 0",
}


def fake_compiler(folder: Path, kind: str) -> str:
    """Write the script `kind` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "fake-g++"
    path.write_text(f"#!/bin/sh\n{BODIES[kind]}\n")
    path.chmod(0o755)
    return os.fspath(path)
