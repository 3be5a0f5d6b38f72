"""The lock of a run: what it holds, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pydantic")

from qapflow.errors import UsageError
from qapflow.train.lock import (
    check_lock,
    lock_differences,
    locked_recipe,
    make_lock,
    read_lock,
    write_lock,
)
from qapflow.train.recipe import DataRecipe, ModelRecipe, PruningRecipe, Recipe

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
    with pytest.raises(UsageError, match="this run was begun with something else") as caught:
        check_lock(path, CHANGES[words])
    assert words in str(caught.value)
    assert str(caught.value).count("\n  - ") == 1
    assert "restore it to go on, or train anew" in str(caught.value)


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
