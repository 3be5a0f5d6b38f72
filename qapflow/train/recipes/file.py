"""Recipes as files: read one, find a preset, print one with every default."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from qapflow.errors import UsageError
from qapflow.resources import templates_dir
from qapflow.train.recipes.check import check_recipe
from qapflow.train.recipes.errors import nearest, recipe_error
from qapflow.train.recipes.lock import locked_recipe, read_lock
from qapflow.train.recipes.recipe import Recipe
from qapflow.train.recipes.yaml import parse_yaml

FILES = (".npz", ".csv", ".parquet")
"""Suffixes that make a data source a file."""


def read_recipe(path_or_preset: str | Path) -> Recipe:
    """Read a recipe, by the path of a YAML file or the name of a preset, and check it.

    The lock file of a run (.json) gives the recipe of that run. Files that a recipe names (data,
    model) are relative to its own folder, and absolute in what is returned.

    Raises:
        UsageError: there is no such file or preset, it is no YAML, or settings are unknown,
            impossible by themselves or together; the message has each key, value and line.
    """
    name = str(path_or_preset)
    if name.endswith(".json"):
        recipe = locked_recipe(read_lock(Path(name)), name)
    elif isinstance(path_or_preset, Path) or name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(path_or_preset)
        recipe = _beside(parse_recipe(_text(path), str(path)), path.parent.resolve())
    else:
        presets = _preset_files()
        if name not in presets:
            hint = f"{nearest(name, presets)} Or give the path of a .yaml file"
            raise UsageError(f"no preset is called {name!r}", "--preset", hint)
        recipe = parse_recipe(_text(presets[name]), f"preset {name}")
    check_recipe(recipe)
    return recipe


def parse_recipe(text: str, at: str = "recipe") -> Recipe:
    """Read the YAML text of a recipe; `at` is its name in messages. See `read_recipe`."""
    data, lines = parse_yaml(text, at)
    try:
        # As JSON and strict: lists become tuples, but true is no number and "3" neither.
        return Recipe.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        raise recipe_error(error, json.loads(json.dumps(data, default=str)), lines, at) from error


def list_presets() -> dict[str, str]:
    """Return the recipes that come with qapflow: name -> what it trains, one line."""
    return {
        name: _text(path).splitlines()[0].lstrip("# ") for name, path in _preset_files().items()
    }


def print_recipe(recipe: Recipe) -> str:
    """Return a recipe as YAML with every setting, each part under its description.

    `read_recipe` of it is the same recipe.
    """
    lines = ["# Every setting of this training.", ""]
    values = recipe.model_dump(mode="json")
    for key in values:
        part = getattr(recipe, key)
        if not isinstance(part, BaseModel):
            lines.append(_setting(key, values[key]))
            continue
        lines += ["", *(f"# {row}".rstrip() for row in _description(part)), f"{key}:"]
        lines += [f"  {_setting(name, value)}" for name, value in values[key].items()]
    return "\n".join(lines) + "\n"


def with_data(recipe: Recipe, source: str | None, target: str | None) -> Recipe:
    """Return a recipe with another source of data, or column of labels, where they are given.

    Files are relative to the folder of the process, and absolute in what is returned.
    """
    changes: dict[str, str] = {}
    if source is not None:
        is_file = source.lower().endswith(FILES)
        changes["source"] = str(Path(source).absolute()) if is_file else source
    if target is not None:
        changes["target"] = target
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=changes)})


def _setting(key: str, value: Any) -> str:
    """Write one setting in one line; lists and mappings as [1, 2] and {a: 1}."""
    text: str = yaml.safe_dump(
        {key: value},
        default_flow_style=bool(value) and isinstance(value, list | dict),
        sort_keys=False,
        width=10_000,
    )
    text = text.strip()
    return text[1:-1] if text.startswith("{") else text


def _description(part: BaseModel) -> list[str]:
    return inspect.cleandoc(type(part).__doc__ or "").splitlines()


def _preset_files() -> dict[str, Path]:
    return {path.stem: path for path in sorted((templates_dir() / "recipes").glob("*.yaml"))}


def _beside(recipe: Recipe, folder: Path) -> Recipe:
    """Resolve the files a recipe names against its folder."""
    data, model = recipe.data, recipe.model
    if data.source.lower().endswith(FILES):
        data = data.model_copy(update={"source": str(folder / data.source)})
    if model.file is not None:
        model = model.model_copy(update={"file": folder / model.file})
    return recipe.model_copy(update={"data": data, "model": model})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        what = f"the recipe cannot be read: {error.strerror or error}"
        raise UsageError(what, str(path), "presets are used by name: --preset NAME") from error
    except UnicodeDecodeError as error:
        raise UsageError("the recipe is not text in UTF-8", str(path)) from error
