"""CI files for a user's project: build, verification, simulations, synthesis and budgets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Literal

from qapflow import __version__
from qapflow.boards import load_target
from qapflow.errors import UsageError
from qapflow.lower.files import write_file
from qapflow.templates import environment

Ci = Literal["github", "gitlab"]
PATHS: dict[Ci, str] = {"github": ".github/workflows/firmware.yml", "gitlab": ".gitlab-ci.yml"}
_PATH = re.compile(r"[\w.+@][\w./+@ -]*")

LIMITS = "--max-lut-percent 70 --max-latency-ns 1000"


def write_ci(ci: Ci, folder: Path, *, model: str, board: str, force: bool = False) -> Path:
    """Write the CI file of a project and return its path.

    Raises:
        UsageError: a file is there and `force` is not set, the board is unknown, or the model's
            path has characters that a shell or YAML could take for something else.
    """
    path = folder / PATHS[ci]
    if path.exists() and not force:
        raise UsageError(
            "there is a CI file already", at=str(path), hint="--force overwrites it; keep a copy"
        )
    if not folder.is_dir():
        raise UsageError("there is no such folder", at=str(folder), hint="check the path")
    text = render_ci(ci, model, board)
    try:
        write_file(path, text.encode())
    except OSError as error:
        raise UsageError(f"it cannot be written: {error.strerror}", at=str(path)) from error
    return path


def render_ci(ci: Ci, model: str, board: str) -> str:
    """Return the text of a CI file; errors as in `write_ci`."""
    for name, text in (("--model", model), ("--board", board)):
        if not _PATH.fullmatch(text):
            raise UsageError(
                f"{text!r} cannot stand in a CI file",
                at=name,
                hint="a relative path of letters, digits, spaces and . _ / + @ -",
            )
    if not board.endswith(".toml"):
        load_target(board)
    output = f"build/{re.sub(r'[^A-Za-z0-9_.-]', '_', Path(model).stem)}"
    return (
        environment("ci")
        .get_template(f"{ci}.yml.j2")
        .render(
            model=model,
            board=board,
            output=output,
            version=__version__,
            file=Path(PATHS[ci]).name,
            commands=commands(model, board, output),
        )
    )


def commands(model: str, board: str, output: str) -> dict[str, str]:
    """Return the commands of a CI file by what they do."""
    source = shlex.quote(model)
    build = f"qapflow build {source} --board {shlex.quote(board)}"
    base = "../base/build/base"
    return {
        "build": f"{build} -o {output} --rtl {LIMITS} --require",
        "verify": f"qapflow verify {output} --vectors 10000",
        "synth": f"qapflow synth {output} --flow open --require",
        "markdown": f"qapflow report {output} --format md",
        "base": f"{build} -o build/base --rtl && qapflow synth build/base --flow open",
        "diff": f"qapflow diff {base} {output} --format markdown --tolerance 2 --fail",
    }
