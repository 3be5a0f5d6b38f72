"""Which samples train, validate and test; and labels made wrong on purpose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolMissing, UsageError
from qapflow.train.recipes.recipe import DataRecipe
from qapflow.train.samples.labels import Labels

Rows = NDArray[np.int64]

# Test samples and folds must not depend on the seed of a run: models of different seeds are
# compared on the same test samples, and the folds of one partition are trained by several runs.
SPLIT_SEED = 0
NOISE_STREAM = 1  # keeps the draws of wrong labels apart from others of the same seed


def split_test(y: Labels, fraction: float, at: str) -> tuple[Rows, Rows]:
    """Return rows to train on and rows to test on; classes keep their shares."""
    return _split(y, fraction, SPLIT_SEED, "data.test_fraction", at)


def split_validation(
    y: Labels, recipe: DataRecipe, seed: int, fold: int, at: str
) -> tuple[Rows, Rows]:
    """Return rows to train on and to validate on: a share drawn by `seed`, or one fold."""
    if recipe.folds == 1:
        return _split(y, recipe.validation_fraction, seed, "data.validation_fraction", at)
    try:
        from sklearn.model_selection import StratifiedKFold
    except ModuleNotFoundError as error:
        raise _missing() from error
    fewest = int(np.bincount(y).min())
    if fewest < recipe.folds:
        what = (
            f"class {int(np.argmin(np.bincount(y)))} has {fewest} samples for {recipe.folds} folds"
        )
        raise UsageError(what, at, f"give data.folds of at most {fewest}, or more samples")
    folds = StratifiedKFold(recipe.folds, shuffle=True, random_state=SPLIT_SEED)
    train, validation = list(folds.split(np.zeros(len(y)), y))[fold]
    return train.astype(np.int64), validation.astype(np.int64)


def noisy(y: Labels, share: float, classes: int, seed: int) -> Labels:
    """Replace a share of the labels by classes drawn at random (which may be the same again).

    As in Hawks et al., Front. AI 4:676564 (2021), so that with 1.0 one label in `classes` is right.
    """
    random = np.random.default_rng([seed, NOISE_STREAM])
    rows = random.permutation(len(y))[: round(share * len(y))]
    labels = y.copy()
    labels[rows] = random.integers(0, classes, len(rows))
    return labels


def _split(y: Labels, fraction: float, seed: int, key: str, at: str) -> tuple[Rows, Rows]:
    try:
        from sklearn.model_selection import train_test_split
    except ModuleNotFoundError as error:
        raise _missing() from error
    try:
        first, second = train_test_split(
            np.arange(len(y)), test_size=fraction, stratify=y, random_state=seed
        )
    except ValueError as error:
        what = f"{len(y)} samples cannot be split: {error}"
        raise UsageError(
            what, f"{key}: {fraction}, {at}", "give more samples of each class"
        ) from error
    if missing := sorted(set(np.unique(y).tolist()) - set(y[first].tolist())):
        what = f"{len(y)} samples cannot be split: class {missing[0]} has none left to train on"
        raise UsageError(what, f"{key}: {fraction}, {at}", "give more samples of each class")
    return np.sort(first).astype(np.int64), np.sort(second).astype(np.int64)


def _missing() -> ToolMissing:
    return ToolMissing(
        "splitting samples needs scikit-learn", "data", "pip install 'qapflow[train]'"
    )
