"""The lock of a run: what it holds, and what it refuses."""

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pydantic")

from qapflow.cli.train import chosen_recipe
from qapflow.errors import UsageError
from qapflow.train.recipes.lock import (
    check_lock,
    lock_differences,
    locked_recipe,
    make_lock,
    read_lock,
    write_lock,
)
from qapflow.train.recipes.recipe import DataRecipe, ModelRecipe, PruningRecipe, Recipe
from qapflow.train.samples.data import load_data

RECIPE = Recipe(seed=3, pruning=PruningRecipe(method="iterative"))
LOCK = make_lock(RECIPE, "ab" * 32)


@pytest.fixture
def path(tmp_path):
    write_lock(tmp_path / "model.lock.json", LOCK)
    return tmp_path / "model.lock.json"


def test_lock_holds_all_a_result_depends_on(path):
    assert LOCK.packages["numpy"] == np.__version__
    assert LOCK.recipe["seed"] == 3
    assert read_lock(path) == replace(LOCK, recipe=json.loads(json.dumps(LOCK.recipe)))
    assert locked_recipe(read_lock(path)) == RECIPE
    check_lock(path, LOCK)
    assert [item.name for item in path.parent.iterdir()] == [path.name]  # no temporary file


CHANGES = {
    "data was abababababababababab..., is cdcdcdcdcdcdcdcdcdcd...": make_lock(RECIPE, "cd" * 32),
    "fold was 0, is 2": make_lock(RECIPE, "ab" * 32, fold=2),
    "recipe.seed was 3, is 4": make_lock(RECIPE.model_copy(update={"seed": 4}), "ab" * 32),
    "recipe.pruning.method was iterative, is none": make_lock(Recipe(seed=3), "ab" * 32),
    "packages.numpy was ": replace(LOCK, packages={**LOCK.packages, "numpy": "0.1"}),
    "packages.qkeras was nothing, is 0.1": replace(
        LOCK, packages={**LOCK.packages, "qkeras": "0.1"}
    ),
    "python was ": replace(LOCK, python="2.7"),
    "qapflow was ": replace(LOCK, qapflow="0.0"),
    "machine was ": replace(LOCK, machine="Other"),
}


@pytest.mark.parametrize("words", CHANGES)
def test_a_run_begun_with_something_else_does_not_go_on(words, path):
    if "was nothing" in words:
        without = {key: value for key, value in LOCK.packages.items() if key != "qkeras"}
        write_lock(path, replace(LOCK, packages=without))
    with pytest.raises(UsageError, match="the lock file names something else") as caught:
        check_lock(path, CHANGES[words])
    assert words in str(caught.value)
    assert str(caught.value).count("\n  - ") == 1
    assert "restore that, or train anew" in str(caught.value)


def test_every_difference_is_named():
    other = make_lock(Recipe(seed=9, name="x"), "cd" * 32)
    assert len(lock_differences(LOCK, other)) == 4  # data, name, seed, pruning.method
    assert lock_differences(LOCK, LOCK) == ()


def test_moved_files_are_the_same_if_their_content_is(tmp_path):
    recipes = []
    for name in ("a", "b"):
        (tmp_path / f"{name}.h5").write_bytes(b"weights")
        data = DataRecipe(source=f"{name}/x.npz")
        recipes.append(Recipe(data=data, model=ModelRecipe(file=tmp_path / f"{name}.h5")))
    one, two = (make_lock(recipe, "ab") for recipe in recipes)
    assert lock_differences(one, two) == ()
    (tmp_path / "b.h5").write_bytes(b"other weights")
    changed = lock_differences(one, make_lock(recipes[1], "ab"))
    assert len(changed) == 1
    assert changed[0].startswith("model was ")
    (tmp_path / "b.h5").unlink()
    with pytest.raises(UsageError, match="the model file cannot be read: No such file"):
        make_lock(recipes[1], "ab")


def test_broken_locks(tmp_path):
    path = tmp_path / "lock.json"
    for content in ("", "{", "[]", "{}", '{"qapflow": 1}'):
        path.write_text(content)
        with pytest.raises(UsageError, match="the lock file cannot be read"):
            read_lock(path)
    with pytest.raises(UsageError, match=r"the lock file cannot be read: .*No such file"):
        read_lock(tmp_path / "none.json")


def test_recipes_of_other_versions_are_refused():
    with pytest.raises(UsageError, match=r"of another version of qapflow(.|\n)*install qapflow"):
        locked_recipe(replace(LOCK, recipe={**LOCK.recipe, "sed": 1}))


def options(**values):
    defaults = dict.fromkeys(("recipe", "preset", "data", "target", "seed"))
    return argparse.Namespace(**{**defaults, **values})


def test_a_lock_file_trains_the_same_or_nothing(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr("qapflow.cli.train.EXTRA", ())
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", x=np.ones((30, 2)) * len(name), y=np.arange(30) % 2)
    recipe = Recipe(data=DataRecipe(source=str(tmp_path / "a.npz")))
    path = tmp_path / "m.lock.json"
    write_lock(path, make_lock(recipe, load_data(recipe.data).digest))
    assert chosen_recipe(options(recipe=path))[0] == recipe
    assert chosen_recipe(options(recipe=path, seed=5))[0].seed == 5
    moved, _ = chosen_recipe(options(recipe=path, data=str(tmp_path / "b.npz")))
    assert moved.data.source == str(tmp_path / "b.npz")
    np.savez(tmp_path / "a.npz", x=np.zeros((30, 2)), y=np.arange(30) % 2)
    with pytest.raises(UsageError, match="the lock file names something else:\n  - data was"):
        chosen_recipe(options(recipe=path))


def test_data_given_by_option_is_absolute_in_the_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr("qapflow.cli.train.EXTRA", ())
    monkeypatch.chdir(tmp_path)
    changed, text = chosen_recipe(options(preset="jets-qap", data="x.csv", target="label"))
    assert changed.data.source == str(tmp_path / "x.csv")
    assert changed.data.target == "label"
    assert f"source: {tmp_path / 'x.csv'}" in text
    named, _ = chosen_recipe(options(preset="jets-qap", data="openml:other"))
    assert named.data.source == "openml:other"
