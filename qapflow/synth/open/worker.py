"""Run one script in Yosys within a memory limit, and leave what it cost.

Started as a file by another interpreter, so it imports nothing of qapflow. An error in pyosys ends
the process, which is why it has one of its own.

    python worker.py SCRIPT FACTS MEMORY_MB [COMMAND ...]

Without a command the script runs in pyosys. MEMORY_MB 0 sets no limit.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path


def main(script: str, facts: str, memory_mb: str, *command: str) -> int:
    """Run `script`; `facts` then holds seconds of processor time and the peak memory in MB."""
    limit = int(memory_mb) * 2**20
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    code = run_command([*command, "-q", "-s", script]) if command else run_pyosys(Path(script))
    used = [resource.getrusage(who) for who in _WHO]
    found = {
        "seconds": sum(usage.ru_utime + usage.ru_stime for usage in used),
        "peak_mb": max(usage.ru_maxrss for usage in used) / 1024,
    }
    Path(facts).write_text(json.dumps(found), encoding="utf-8")
    return code


_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def run_command(command: list[str]) -> int:
    """Run a program; a signal that ends it becomes 128 + its number, as in a shell."""
    code = subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode
    return 128 - code if code < 0 else code


def run_pyosys(script: Path) -> int:
    """Run every line of a script as a pass of Yosys."""
    from pyosys import libyosys

    design = libyosys.Design()
    for line in script.read_text(encoding="utf-8").splitlines():
        if line.strip():
            libyosys.run_pass(line, design)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
