"""A training as it stands after an epoch, in one file that is whole or absent."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.lower.files import write_file

Array = NDArray[Any]
Arrays = dict[str, list[Array]]

FORMAT = 1


@dataclass(frozen=True)
class Position:
    """Where a training stands: `epoch` epochs of stage `stage` are done.

    `waited` counts epochs since the best validation loss; `pruning_steps` is the last step that the
    schedule of masks has seen; `history` holds one row an epoch, of all stages.
    """

    stage: int = 0
    epoch: int = 0
    best_loss: float | None = None
    best_epoch: int = 0
    waited: int = 0
    pruning_steps: int = -1
    stopped: bool = False
    history: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A position and the arrays that belong to it, in groups.

    "weights" of the model, "optimizer", "masks" (by layer in `masked`), "random" generators of
    layers such as Dropout, "best" weights of the stage and "rewind" weights, where there are such.
    `quantizers` are texts by layer and attribute.
    """

    position: Position = Position()
    arrays: Arrays = field(default_factory=dict)
    masked: tuple[str, ...] = ()
    quantizers: dict[str, dict[str, str]] = field(default_factory=dict)


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Replace the file by the new state at once."""
    facts = {
        "format": FORMAT,
        "position": asdict(state.position),
        "masked": state.masked,
        "quantizers": state.quantizers,
    }
    stream = io.BytesIO()
    named: dict[str, Any] = {
        f"{group}/{number}": array
        for group, arrays in state.arrays.items()
        for number, array in enumerate(arrays)
    }
    np.savez(stream, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **named)
    write_file(path, stream.getvalue())


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return the state, or None when there is none yet.

    Raises:
        UsageError: the file is damaged or of another version.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            facts = json.loads(archive["facts"].tobytes())
            if facts["format"] != FORMAT:
                raise ValueError(f"format {facts['format']}")  # noqa: TRY301
            arrays: Arrays = {}
            for name in archive.files:
                if name != "facts":
                    arrays.setdefault(name.partition("/")[0], []).append(archive[name])
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"the checkpoint cannot be read: {error}",
            at=str(path),
            hint="train again from the start with --fresh",
        ) from error
    position = facts["position"]
    position["history"] = tuple(position["history"])
    return Checkpoint(Position(**position), arrays, tuple(facts["masked"]), facts["quantizers"])
