"""Give qapflow every kind of bad input and print exit code, seconds and message of each.

    python bench/bad_input.py

Fails if a case ends in a traceback, or with another exit code than it should. The full disk is a
small tmpfs (needs root; said so where it cannot be made).
"""

import json
import os
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

DIGITS = Path(__file__).parent.parent / "examples" / "digits" / "digits.h5"


def change_weights(path: Path, value: float) -> Path:
    """Copy the digits model with one weight replaced."""
    path.write_bytes(DIGITS.read_bytes())
    with h5py.File(path, "a") as file:
        found: list[h5py.Dataset] = []
        file.visititems(
            lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None
        )
        kernel = next(item for item in found if item.ndim == 2)
        kernel[0, 0] = value
    return path


def change_layer(path: Path, class_name: str) -> Path:
    """Copy the digits model with its activations replaced by another class."""
    path.write_bytes(DIGITS.read_bytes())
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "QActivation":
                layer["class_name"] = class_name
        file.attrs["model_config"] = json.dumps(config)
    return path


def zip_bomb(path: Path) -> Path:
    """Make a .keras whose config.json unpacks to 2 GiB of blanks."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("config.json", "w", force_zip64=True) as stream:
            block = b" " * (1 << 24)
            for _ in range(128):
                stream.write(block)
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")
    return path


def many_layers(path: Path) -> Path:
    """Make a .json of 10^6 layers, with weights beside it."""
    layer = '{"class_name": "Flatten", "config": {"name": "f%d"}}'
    layers = ",".join(layer % i for i in range(10**6))
    path.write_text('{"class_name": "Sequential", "config": {"layers": [' + layers + "]}}")
    path.with_suffix(".h5").write_bytes(DIGITS.read_bytes())
    return path


def write(path: Path, content: bytes | str) -> Path:
    """Write a file and return its path."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


BOARD = """
name = "mine"
description = "a board"
aliases = []
part = "xcvu9p-flga2104-2L-e"
family = "virtex-ultrascale+"
clock_ns = {clock}
slrs = 3
source = "made up"
verified = false
[resources]
lut = 1000
{ff}dsp = 10
bram18 = 10
uram = 0
"""


@contextmanager
def compiler(folder: Path, script: str | None) -> Iterator[dict[str, str]]:
    """Give an environment with a stand-in for g++, or with none at all."""
    folder.mkdir(exist_ok=True)
    env = {**os.environ, "CXX": "no-such-compiler"}
    if script is not None:
        program = write(folder / "g++", f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        env = {**os.environ, "CXX": str(program)}
    yield env


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Mount a file system of 256 KiB."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=False)


def run(name: str, expected: int, arguments: list[str], env: dict[str, str] | None = None) -> bool:
    """Run one case, print its row, and tell whether it ended as it should."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "qapflow", "build", "--keras", "no", *arguments],
        capture_output=True, text=True, env=env, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - start
    fine = done.returncode == expected and "Traceback" not in done.stderr
    print(f"{'ok' if fine else 'WRONG':<6}{name:<34} exit {done.returncode}  {seconds:5.1f} s")
    for line in (done.stderr.strip() or "(no message)").splitlines()[-8 if fine else -30 :]:
        print(f"      {line[:150]}")
    return fine


def cases(folder: Path) -> list[tuple[str, int, Callable[[], list[str]]]]:
    """Name, exit code and arguments of the cases that need nothing special."""

    def board(clock: str, ff: str) -> list[str]:
        path = write(folder / "mine.toml", BOARD.format(clock=clock, ff=ff))
        return [str(DIGITS), "--board", str(path)]

    return [
        ("missing file", 2, lambda: [str(folder / "no.h5")]),
        ("directory", 2, lambda: [str(folder)]),
        ("empty file", 2, lambda: [str(write(folder / "empty.h5", b""))]),
        ("truncated .h5", 2, lambda: [str(write(folder / "cut.h5", DIGITS.read_bytes()[:9000]))]),
        ("noise", 2, lambda: [str(write(folder / "noise.h5", os.urandom(5000)))]),
        ("zip bomb", 2, lambda: [str(zip_bomb(folder / "bomb.keras"))]),
        ("JSON with 10^6 layers", 2, lambda: [str(many_layers(folder / "million.json"))]),
        ("NaN weight", 2, lambda: [str(change_weights(folder / "nan.h5", np.nan))]),
        ("infinite weight", 2, lambda: [str(change_weights(folder / "inf.h5", np.inf))]),
        ("Lambda layers", 4, lambda: [str(change_layer(folder / "lambda.h5", "Lambda"))]),
        ("unknown layers", 4, lambda: [str(change_layer(folder / "magic.h5", "Wizardry"))]),
        ("unknown board", 2, lambda: [str(DIGITS), "--board", "xcvu9"]),
        ("board with missing key", 2, lambda: board("5.0", "")),
        ("board with negative clock", 2, lambda: board("-5.0", "ff = 2000\n")),
        ("negative clock", 2, lambda: [str(DIGITS), "--clock-ns", "-2"]),
        ("output is a file", 2, lambda: [str(DIGITS), "-o", str(write(folder / "f", "x"))]),
        ("read-only file system", 2, lambda: [str(DIGITS), "-o", "/proc/build"]),
    ]


def main() -> int:
    """Run every case."""
    fine = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (title, code, make) in enumerate(cases(folder)):
            arguments = make()
            if "-o" not in arguments:
                arguments += ["-o", str(folder / f"out{number}")]
            fine &= run(title, code, arguments)
        with small_disk(folder / "disk") as disk:
            if disk is None:
                print("--    full disk: a tmpfs could not be mounted here")
            else:
                fine &= run("full disk", 2, [str(DIGITS), "-o", str(disk / "out")])
        scripts = (
            ("no compiler", 0, None, []),
            ("no compiler, --require", 3, None, ["--require"]),
            ("killed compiler", 5, "kill -9 $$", []),
            ("failing compiler", 5, "echo 'a.cpp:1: error: no' >&2; exit 1", []),
            ("compiler that hangs", 5, "sleep 100", ["--timeout", "5"]),
        )
        for number, (title, code, script, more) in enumerate(scripts):
            with compiler(folder / "tools", script) as env:
                out = str(folder / f"compiled{number}")
                fine &= run(title, code, [str(DIGITS), "-o", out, *more], env)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
