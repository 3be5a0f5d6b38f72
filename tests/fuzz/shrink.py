"""Make a failing recipe smaller while it fails in the same way."""

import copy
import time

BUDGET_S = 120.0


def shrink(recipe, fails, budget_s=BUDGET_S):
    """Return the smallest recipe found for which `fails(recipe)` still holds."""
    end = time.monotonic() + budget_s
    improved = True
    while improved and time.monotonic() < end:
        improved = False
        for smaller in candidates(recipe):
            if time.monotonic() >= end:
                break
            if fails(smaller):
                recipe, improved = smaller, True
                break
    return recipe


def candidates(recipe):
    """Yield simpler recipes, the boldest changes first."""
    names = [step["name"] for step in recipe["steps"]]
    for name in names[:-1]:
        if recipe["outputs"] != [name]:
            yield prune({**copy.deepcopy(recipe), "outputs": [name]})
    for output in recipe["outputs"]:
        if len(recipe["outputs"]) > 1:
            yield prune({**copy.deepcopy(recipe), "outputs": [output]})
    for name in reversed(names):
        if len(names) > 1:
            yield prune(without(recipe, name))
    for number, step in enumerate(recipe["steps"]):
        for key in step["arguments"]:
            smaller = copy.deepcopy(recipe)
            del smaller["steps"][number]["arguments"][key]
            yield smaller
        if step["style"] != "normal":
            smaller = copy.deepcopy(recipe)
            smaller["steps"][number]["style"] = "normal"
            yield smaller


def without(recipe, name):
    """Return the recipe with one step taken out; who read it reads its first source."""
    recipe = copy.deepcopy(recipe)
    gone = next(step for step in recipe["steps"] if step["name"] == name)
    recipe["steps"].remove(gone)
    for step in recipe["steps"]:
        step["from"] = [gone["from"][0] if n == name else n for n in step["from"]]
    made = {step["name"] for step in recipe["steps"]}
    renamed = [gone["from"][0] if n == name else n for n in recipe["outputs"]]
    kept = [n for n in dict.fromkeys(renamed) if n in made]
    recipe["outputs"] = kept or [recipe["steps"][-1]["name"]]
    return recipe


def prune(recipe):
    """Return the recipe without steps and inputs that no output needs."""
    needed = set(recipe["outputs"])
    for step in reversed(recipe["steps"]):
        if step["name"] in needed:
            needed.update(step["from"])
    recipe["steps"] = [step for step in recipe["steps"] if step["name"] in needed]
    recipe["inputs"] = [i for i in recipe["inputs"] if i[0] in needed] or recipe["inputs"][:1]
    return recipe
