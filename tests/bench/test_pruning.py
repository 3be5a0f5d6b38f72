"""The comparison of pruning and quantization: recipes, points, tables, without training."""

import json

import numpy as np
import pytest

from bench.pruning.grid import Setting, recipe, slimmer_variants, variants
from bench.pruning.points import baseline, cheapest, float_bops, make_points
from bench.pruning.pretrained import best_order
from bench.pruning.table import render

SIZES = (16, 64, 32, 32, 5)
SETTING = Setting((64, 32, 32), (32, 6), "features", 8, 2, 15, 4, 512, 2e-3, (0.25,))


def rows(variant, losses):
    """Two folds; a step loses so much accuracy and a quarter of the weights."""
    return [
        {
            "fold": fold, "stage": stage, "model": f"{stage:02}.h5", "exact": variant.bits != 32,
            "accuracy": 0.9 - loss + 0.01 * fold, "val_accuracy": 0.91 - loss + 0.01 * fold,
            "test_samples": 400, "val_samples": 100, "cost_weights": 4256,
            "cost_nonzeros": 4256 * (4 - stage) // 4, "cost_bops_input_own": 1e5 / (1 + stage),
            "cost_bops_input_32": 2e5 / (1 + stage), "cost_ebops": 5000, "cost_csd_digits": 70,
            "estimate_lut": 1234.0,
        }
        for fold in range(2)
        for stage, loss in enumerate(losses)
    ]  # fmt: skip


def test_every_combination_is_a_recipe_that_qapflow_reads():
    pytest.importorskip("pydantic")
    from qapflow.train.recipes.check import check_recipe
    from qapflow.train.recipes.recipe import Recipe

    found = list(variants((32, 12, 4)))
    assert len(found) == len({variant.name for variant in found}) == 3 * 2 * 2 * 2
    slim = list(slimmer_variants((32, 4), (5,), (0.5,)))
    names = ["4b-tuned-bn-no-l1-in5-units50", "4b-ticket-bn-no-l1-in5-units50"]
    assert [v.name for v in slim if v.input_bits and v.neurons and not v.l1] == names
    assert len(slim) == len({v.name for v in slim}) == 12
    for variant in [*found, *slim]:
        check_recipe(Recipe.model_validate(recipe(variant, SETTING)))
    assert [v.name for v in variants((32, 4), "4b-ticket-bn-l1")] == ["4b-ticket-bn-l1"]


def test_float_networks_count_as_published():
    assert float_bops(SIZES, 4256) == 4_652_832  # Hawks et al. 2021, unpruned at 32 bits
    assert float_bops(SIZES, 0) < 4_652_832 / 10


def test_points_are_means_over_folds_and_the_cheapest_loses_nothing():
    wide, narrow = variants((32, 6), "tuned-bn-no-l1")
    points = make_points({wide: rows(wide, (0.0, 0.1)), narrow: rows(narrow, (0, 0, 0.2))}, SIZES)
    base = baseline(points)
    assert base.variant == wide
    assert base.stage == 0
    assert base.accuracy == pytest.approx(0.905)
    assert base.spread == pytest.approx(0.01 / 2**0.5)  # standard deviation of two folds
    best = cheapest(points, base)
    assert (best.variant, best.stage, best.kept) == (narrow, 1, 0.75)
    assert cheapest([p for p in points if p.stage == 2], base) is None
    assert baseline([p for p in points if p.variant == narrow]).variant == narrow
    text = render(points)
    assert "baseline: 32b-tuned-bn-no-l1, dense, 4,652,832 BOPs, accuracy 0.9050 +- 0.0071" in text
    assert "both, lottery ticket        none without loss" in text
    assert "93.1x      46.5x    0.9050   75.0%      50,000" in text


def test_rivals_stand_beside_the_point_and_hgq2_is_trained_once_for_each_fold(tmp_path):
    pytest.importorskip("sklearn")
    from bench.pruning.rivals import ebops_of, render_rivals, train_hgq2

    random = np.random.default_rng(0)
    x, y = random.random((40, 3), np.float32), np.arange(40) % 2
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    python = tmp_path / "python"
    row = {"epoch": 3, "ebops": 200.0, "validation_accuracy": 0.9, "test_accuracy": 0.8}
    kept = json.dumps({"rows": [row, {**row, "ebops": 20.0, "validation_accuracy": 0.5}]})
    python.write_text(f"#!/bin/sh\necho run >> {tmp_path}/log\necho '{kept}' > $3\n")
    python.chmod(0o755)
    for _ in range(2):
        found = train_hgq2(str(python), SETTING, tmp_path / "data.npz", tmp_path, 5, 1e-4, 0.85)
    assert (found.ebops, found.accuracy, found.spread) == (200.0, 0.8, 0.0)
    assert (tmp_path / "log").read_text() == "run\n" * 2  # two folds, once
    assert train_hgq2(str(python), SETTING, tmp_path / "data.npz", tmp_path, 5, 1e-4, 0.95) is None
    (variant,) = variants((6,), "tuned-bn-no-l1")
    own = {variant: [{**row, "cost_ebops_accumulation": 500.5} for row in rows(variant, (0, 0))]}
    point = make_points(own, SIZES)[1]
    text = render_rivals(point, [found], ebops_of(own, point))
    assert (
        "6b-tuned-bn-no-l1, step 1             0.9050  0.0071      0.9150      50,000      5,500"
        in text
    )
    assert (
        "HGQ2, 5 epochs                        0.8000  0.0000      0.9000           -        200"
        in text
    )


def test_a_failing_hgq2_says_so(tmp_path):
    pytest.importorskip("sklearn")
    from bench.pruning.rivals import train_hgq2

    x, y = np.zeros((40, 3), np.float32), np.arange(40) % 2
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no module named hgq >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(SystemExit, match=r"HGQ2 failed \(1\):\nno module named hgq"):
        train_hgq2(str(python), SETTING, tmp_path / "data.npz", tmp_path, 5, 1e-4, 0.85)


def test_the_order_of_classes_with_most_right_answers():
    y = np.array([0, 0, 1, 1, 2, 2, 2])
    assert best_order(y, y) == ([0, 1, 2], 1.0)
    guessed = np.array([0, 0, 2, 2, 1, 1, 0])  # outputs 1 and 2 mean each other's class
    assert best_order(guessed, y) == ([0, 2, 1], 6 / 7)
