"""What makes a training repeatable, written beside the model and compared when it goes on."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import qapflow
from qapflow.errors import UsageError
from qapflow.lower.files import write_file
from qapflow.train.recipes.recipe import Recipe

PACKAGES = (
    "tensorflow",
    "tf-keras",
    "keras",
    "qkeras",
    "tensorflow-model-optimization",
    "numpy",
    "scikit-learn",
    "scipy",
    "polars",
    "optuna",
    "pydantic",
    "h5py",
)
# Paths: what lies there is compared by its digest, so a run can be moved.
_PLACES = ("data.source", "model.file")


@dataclass(frozen=True)
class Lock:
    """Everything a result depends on: programs, machine, data, model file, recipe and fold.

    `data` and `model` are SHA-256 digests; `model` is "" unless the recipe starts from a file. The
    seed is part of the recipe.
    """

    qapflow: str
    python: str
    machine: str
    packages: Mapping[str, str]
    data: str
    model: str
    fold: int
    recipe: Mapping[str, Any]


def make_lock(recipe: Recipe, data_digest: str, fold: int = 0) -> Lock:
    """Return the lock of a run on this machine with the packages installed here.

    Raises:
        UsageError: the model file of the recipe cannot be read.
    """
    return Lock(
        qapflow=qapflow.__version__,
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}",
        packages=dict(_installed()),
        data=data_digest,
        model=_file_digest(recipe.model.file),
        fold=fold,
        recipe=recipe.model_dump(mode="json"),
    )


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock as JSON, whole or not at all."""
    write_file(path, (json.dumps(asdict(lock), indent=1) + "\n").encode())


def read_lock(path: Path) -> Lock:
    """Read what `write_lock` wrote.

    Raises:
        UsageError: the file is missing or is no lock.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        lock = Lock(**{field.name: content[field.name] for field in fields(Lock)})
        _ = dict(lock.packages), dict(lock.recipe)
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"the lock file cannot be read: {error}"
        raise UsageError(what, str(path), "qapflow train writes it beside the model") from error
    return lock


def locked_recipe(lock: Lock, at: str = "lock file") -> Recipe:
    """Return the recipe of a lock, to train the same again.

    Raises:
        UsageError: this version of qapflow has other settings.
    """
    try:
        return Recipe.model_validate_json(json.dumps(lock.recipe), strict=True)
    except ValidationError as error:
        what = "the recipe of this lock file is one of another version of qapflow"
        raise UsageError(what, at, f"install qapflow {lock.qapflow}") from error


def lock_differences(old: Lock, new: Lock) -> tuple[str, ...]:
    """Return one line for each thing in which two locks differ."""
    before, after = (dict(_leaves(asdict(lock))) for lock in (old, new))
    for place in _PLACES:
        before.pop(f"recipe.{place}", None)
        after.pop(f"recipe.{place}", None)
    return tuple(
        f"{key} was {_short(before.get(key))}, is {_short(after.get(key))}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    )


def check_lock(path: Path, lock: Lock) -> None:
    """Refuse to go on with, or to repeat, a run that would not end where it did.

    Raises:
        UsageError: the lock at `path` cannot be read or differs; names every difference.
    """
    found = lock_differences(read_lock(path), lock)
    if found:
        rows = "\n".join(f"  - {row}" for row in found)
        raise UsageError(
            f"the lock file names something else:\n{rows}",
            str(path),
            "restore that, or train anew: by a recipe, with --fresh or another -o",
        )


def _installed() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _file_digest(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        what = f"the model file cannot be read: {error.strerror or error}"
        raise UsageError(what, f"model.file: {path}") from error


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `a.b` -> value for nested mappings; lists are values."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) and value else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:20]}..."
