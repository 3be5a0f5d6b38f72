"""Sixty random networks: Keras = interpreter on all, = C simulation on every fourth.

`make fuzz N=1000` runs more of the same; `python -m tests.fuzz.run_networks --seed K` repeats one.
"""

import json
from pathlib import Path

import pytest

from tests.fuzz.run_networks import show, summarize
from tests.fuzz.shrink import candidates, shrink

KEPT = sorted((Path(__file__).parent / "kept").glob("*.json"))


@pytest.mark.needs_keras
@pytest.mark.needs_hls4ml
@pytest.mark.needs_gxx
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TensorFlow and QKeras warn about themselves
@pytest.mark.parametrize("first", [*range(0, 50, 10), 10_000])
def test_random_networks(first):
    from tests.fuzz import keras_models
    from tests.fuzz.judge import judge

    seeds = range(first, first + 10)
    rows = [judge(keras_models.random_recipe(seed), seed % 4 == 0) for seed in seeds]
    figures = summarize(rows)
    show(figures)
    assert figures["failures"] == []
    assert figures["exact"] >= 2
    assert figures["exact"] + figures["chosen"] >= 7


@pytest.mark.needs_keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_networks_that_once_failed(path):
    from tests.fuzz.judge import judge

    row = judge(json.loads(path.read_text())["recipe"], False)
    assert row["verdict"] in ("exact", "chosen", "refused"), row


@pytest.mark.needs_keras
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_network_is_found_and_made_smaller(monkeypatch):
    """A pooling that adds where it should take the largest must not pass."""
    from qapflow.frontend.layers import pool
    from qapflow.ir.ops import Pool
    from tests.fuzz import keras_models
    from tests.fuzz.judge import judge

    steps = [
        {"name": "e0", "class": "ReLU", "arguments": {}, "from": ["in0"]},
        {"name": "e1", "class": "MaxPooling1D", "arguments": {}, "from": ["e0"]},
    ]
    steps = [{**s, "layer": s["class"].lower(), "style": "normal"} for s in steps]
    recipe = {"seed": 1, "inputs": [["in0", [8, 2], "s8.4"]], "steps": steps, "outputs": ["e1"]}
    assert judge(recipe, False)["verdict"] == "exact"

    def wrong(*args):
        return Pool("sum", *args[1:])

    monkeypatch.setattr(pool, "Pool", wrong)
    row = judge(recipe, False)
    assert (row["verdict"], row["kind"]) == ("wrong", "differs from Keras")
    small = shrink(recipe, lambda r: any(s["class"] == "MaxPooling1D" for s in r["steps"]))
    assert [step["class"] for step in small["steps"]] == ["MaxPooling1D"]
    assert keras_models.build(small)


def test_smaller_recipes_are_whole():
    steps = [
        {"name": n, "class": "Add", "layer": n, "from": f, "arguments": {"x": 1}, "style": "ties"}
        for n, f in (("a", ["i"]), ("b", ["a", "j"]), ("c", ["b", "a"]))
    ]
    inputs = [["i", [2], "s8.4"], ["j", [2], "s8.4"]]
    found = list(candidates({"inputs": inputs, "steps": steps, "outputs": ["c"]}))
    assert len(found) > 8
    for recipe in found:
        known = {name for name, _, _ in recipe["inputs"]}
        for step in recipe["steps"]:
            assert set(step["from"]) <= known, recipe
            known.add(step["name"])
        assert set(recipe["outputs"]) <= known
