"""Runs by recipe from the command line: files, rows, going on, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from qapflow.cli.main import main
from qapflow.errors import ToolMissing
from qapflow.train.saving.points import choose, read_rows, standard_error, write_row

RECIPE = """
name: small
data: {source: digits, standardize: range}
model:
  layers: [{kind: dense, units: 8}, {kind: dense, units: 8}]
quantization: {weights: 6, activations: 5, input: 5}
pruning: {method: iterative, fractions: [0.5], rewind: init}
training: {learning_rate: 1.0e-2, batch_size: 64, epochs: 3}
"""


def row(stage, bops, accuracy, fold=0):
    return {"fold": fold, "stage": stage, "cost_bops_input_own": bops,
            "val_accuracy": accuracy, "val_samples": 100}  # fmt: skip


def test_the_cheapest_model_without_loss_is_chosen():
    rows = [row(0, 900.0, 0.90), row(1, 500.0, 0.91), row(2, 300.0, 0.89), row(3, 100.0, 0.87)]
    assert standard_error(0.91, 100) == pytest.approx(0.0286, abs=1e-4)
    assert choose(rows) == rows[2]


def test_rows_are_kept_once_by_fold_and_stage(tmp_path):
    path = tmp_path / "rows.jsonl"
    for made in (row(1, 2.0, 0.5), row(0, 1.0, 0.5, fold=1), row(1, 3.0, 0.6)):
        write_row(path, made)
    assert [(r["fold"], r["stage"], r["cost_bops_input_own"]) for r in read_rows(path)] == [
        (0, 1, 3.0),
        (1, 0, 1.0),
    ]


@pytest.mark.needs_keras
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_recipe_becomes_a_proved_model(tmp_path, capsys):
    recipe, output = tmp_path / "small.yaml", tmp_path / "small.h5"
    recipe.write_text(RECIPE)
    command = ["train", str(recipe), "-o", str(output), "--board", "pynq-z2"]
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    rows = said["rows"]
    assert [r["stage"] for r in rows] == [0, 1]
    assert all(r["exact"] and r["mismatches"] == 0 and r["test_samples"] == 360 for r in rows)
    assert rows[1]["cost_nonzeros"] <= 0.5 * rows[0]["cost_weights"]
    assert rows[1]["sparsity"] >= 0.5
    assert rows[0]["estimate_lut"] > rows[1]["estimate_lut"] > 0
    folder = tmp_path / "small.train"
    chosen = folder / "fold_0" / said["chosen"]["model"]
    assert output.read_bytes() == chosen.read_bytes()
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "small.scaling.json").read_text())["kind"] == "range"
    assert (tmp_path / "small.lock.json").exists()
    state = (folder / "fold_0" / "state.npz").read_bytes()

    assert main(command) == 0  # nothing left to train
    assert "bit-exact on 360 test samples" in capsys.readouterr().out
    assert (folder / "fold_0" / "state.npz").read_bytes() == state
    assert main([*command, "--seed", "1"]) == 2
    assert "recipe.seed was 0, is 1" in capsys.readouterr().err


@pytest.mark.needs_keras
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name one recipe"),
        (["x.yaml", "--preset", "digits-qap"], "a recipe and a preset are two"),
        (["--preset", "digits-qap", "-o", "model.keras"], "models are saved as .h5"),
        (["--preset", "digits-qap", "-o", "nowhere/model.h5"], "folder of the model file"),
        (["--preset", "digits-qap", "--data", "absent.npz"], "absent.npz"),
    ],
)
def test_what_cannot_be_trained_leaves_nothing_behind(
    tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs_keras
def test_folds_have_a_mean_and_a_spread():
    from qapflow.cli.train import _means
    from qapflow.train.run import TrainResult

    rows = tuple(
        {**row(0, bops, 0.9, fold), "accuracy": accuracy, "model": "00.h5"}
        for fold, (bops, accuracy) in enumerate([(1000.0, 0.90), (2000.0, 0.94)])
    )
    result = TrainResult(rows, rows[0], Path("x.h5"), Path("x.train"))
    assert _means(result) == ["2 folds, 00.h5: accuracy 0.9200 +- 0.0283, 1,500 BOPs"]


@pytest.mark.needs_keras
def test_presets_are_listed_and_printed(capsys):
    assert main(["train", "--preset", "list"]) == 0
    assert "digits-qap" in capsys.readouterr().out
    assert main(["train", "--preset", "digits-qap", "--print-recipe", "--seed", "7"]) == 0
    assert "seed: 7" in capsys.readouterr().out


def test_missing_packages_are_named(monkeypatch, capsys):
    monkeypatch.setattr("qapflow.cli.train.EXTRA", ("tensorflow_of_another_world",))
    assert main(["train", "--preset", "digits-qap"]) == ToolMissing.exit_code
    assert "needs the Python package tensorflow_of_another_world" in capsys.readouterr().err


@pytest.mark.needs_keras
def test_units_are_pruned_by_weights_and_by_values():
    from qapflow.train.libraries import load_keras
    from qapflow.train.pruning.masks import attached_masks
    from qapflow.train.pruning.units import find_units, prune_units

    libraries = load_keras()
    keras, qkeras = libraries.keras, libraries.qkeras
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    x = qkeras.QConv2D(4, 3, kernel_quantizer="quantized_bits(4,0,alpha=1)", name="conv")(inputs)
    x = keras.layers.MaxPooling2D(2)(qkeras.QActivation("quantized_relu(4,2)")(x))
    x = qkeras.QDense(6, kernel_quantizer="quantized_bits(4,0,alpha=1)", name="hidden")(
        keras.layers.Flatten()(x)
    )
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(keras.layers.ReLU()(x)))
    assert [units.maker.name for units in find_units(model)] == ["conv", "hidden"]
    conv = model.get_layer("conv")
    kernel = conv.kernel.numpy()
    kernel[..., 2] = 0.01
    conv.kernel.assign(kernel)
    assert prune_units(model, 0.25, None) == {"conv": 1, "hidden": 2}
    masks = {item.name: np.asarray(item.mask) for item in attached_masks(model)}
    assert not np.any(masks["conv"][..., 2])
    assert np.all(np.delete(masks["conv"], 2, axis=-1))
    rows = masks["hidden"].reshape(-1, 4, 6)
    assert not np.any(rows[:, 2])
    dead = np.flatnonzero(~masks["hidden"].any(axis=0))
    assert len(dead) == 2
    assert not np.any(masks["last"][dead])
    samples = np.random.default_rng(0).normal(size=(16, 6, 6, 1)).astype("f")
    before = model.predict(samples, verbose=0)
    conv.bias.assign([0.0, 0.0, 5.0, 0.0])  # a dead unit's value is without effect
    assert np.array_equal(model.predict(samples, verbose=0), before)
    assert prune_units(model, 0.5, None, samples) == {"conv": 2, "hidden": 3}
    kept = np.asarray(attached_masks(model)[0].mask).any(axis=(0, 1, 2))
    assert kept.sum() == 2  # the one pruned before is among the two
    assert not kept[2]
