"""Bad recipes and bad data on the command line: exit 2, key and fix named, nothing written."""

import numpy as np
import pytest

pytest.importorskip("pydantic")
pytest.importorskip("sklearn")

from qapflow.cli.main import main

X = np.random.default_rng(0).normal(0, 1, (60, 4)).astype(np.float32)
Y = np.arange(60) % 3
MISSING = X.copy()
MISSING[8, 3] = np.nan

RECIPES = {
    "trainig: {epochs: 3}": ("there is no setting trainig", "did you mean 'training'"),
    "pruning: {method: polynomial, until_epoch: 90}": (
        "pruning ends after training: epoch 90 of 60",
        "at: pruning.until_epoch",
        "try: give at most 60, or more training.epochs",
    ),
    "pruning: {sparsity: 1.0}": ("pruning.sparsity is 1.0, it must be less than 1",),
    "quantization: {weights: 0}": ("quantization.weights is 0, it must be at least 1",),
    "quantization: {weights: 40}": ("quantization.weights is 40, it must be at most 32",),
    "pruning: {method: iterative}\nquantization: {weight_quantizer: binary}": (
        "binary turns every pruned weight into +1 or -1",
        "try: use quantized_bits or ternary",
    ),
    "name: a/b": ("'a/b' is no name of a file", "at: name"),
    "seed: [": ("the recipe is not YAML",),
}
DATA = {
    "labels out of range": (
        {"x": X, "y": Y, "classes": ["a", "b"]},
        "the label of row 2 (from 0) is 2, but there are 2 classes",
    ),
    "NaN": ({"x": MISSING, "y": Y}, "x is nan in row 8 (from 0), column x[3]"),
    "lengths": ({"x": X, "y": Y[:9]}, "x holds 60 samples, their labels are 9"),
    "no labels": ({"x": X}, "the array y is missing"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("qapflow.cli.train.EXTRA", ())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    found = {path.relative_to(folder): path for path in folder.rglob("*")}
    return {name: path.is_file() and path.read_bytes() for name, path in found.items()}


def refused(capsys, folder, *arguments):
    before = contents(folder)
    assert main(["train", *arguments, "-o", "model.h5"]) == 2
    assert contents(folder) == before
    return capsys.readouterr().err


@pytest.mark.parametrize("text", RECIPES)
def test_recipes(text, folder, capsys):
    (folder / "recipe.yaml").write_text(text)
    message = refused(capsys, folder, "recipe.yaml")
    for words in RECIPES[text]:
        assert words in message


@pytest.mark.parametrize("case", DATA)
def test_data(case, folder, capsys):
    arrays, words = DATA[case]
    np.savez(folder / "data.npz", **arrays)
    message = refused(capsys, folder, "--preset", "digits-qap", "--data", "data.npz")
    assert words in message


def test_samples_without_the_shape_of_the_first_layer(folder, capsys):
    np.savez(folder / "data.npz", x=X, y=Y)
    (folder / "recipe.yaml").write_text("model: {layers: [{kind: conv2d}]}\ndata: {shape: [4]}")
    message = refused(capsys, folder, "recipe.yaml", "--data", "data.npz")
    assert "conv2d takes samples of shape (rows, columns, channels), these have (4,)" in message
    message = refused(capsys, folder, "--preset", "mnist-conv", "--data", "data.npz")
    assert "data.shape [28, 28, 1] has 784 values, a sample has 4" in message
