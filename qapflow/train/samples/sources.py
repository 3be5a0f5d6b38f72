"""Where samples come from: scikit-learn's digits, OpenML, and .npz, .csv, .parquet files."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolMissing, UsageError
from qapflow.train.recipes.recipe import DataRecipe

Array = NDArray[Any]
PAIR = ("x", "y")
SPLIT = ("x_train", "y_train", "x_test", "y_test")
HINT = "pip install 'qapflow[train]'"


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples [n, *shape] with labels [n], as they were read; test samples if they came apart."""

    x: Array
    labels: Array
    x_test: Array | None = None
    labels_test: Array | None = None
    classes: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None


def read_samples(recipe: DataRecipe) -> Samples:
    """Read the source that a recipe names.

    Raises:
        UsageError: the source is not there, of another kind, cannot be read or reached, or lacks an
            array or a column.
        ToolMissing: the package that reads it is not installed.
    """
    source = recipe.source
    if source == "digits":
        _refuse_target(recipe, "the digits of scikit-learn")
        return _digits()
    if source.startswith("openml:"):
        return _openml(source.removeprefix("openml:"), recipe.target)
    path = Path(source)
    kind = path.suffix.lower()
    if kind not in (".npz", ".csv", ".parquet"):
        what = f"{source!r} is no source of data"
        hint = "give digits, openml:NAME, or a .npz, .csv or .parquet file"
        raise UsageError(what, "data.source", hint)
    if not path.is_file():
        hint = "paths in a recipe are relative to it; --data FILE gives another"
        raise UsageError("the file of samples is not there", f"data.source: {source}", hint)
    if kind == ".npz":
        _refuse_target(recipe, "a .npz file")
        return _npz(path)
    return _table(path, kind, recipe.target)


def _refuse_target(recipe: DataRecipe, what: str) -> None:
    if recipe.target is not None:
        hint = "leave data.target out"
        raise UsageError(f"{what} has no column {recipe.target!r}", "data.target", hint)


def _digits() -> Samples:
    """1797 images of 8x8 pixels, 0 to 16 (scikit-learn's copy of the UCI test set, no network)."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ToolMissing("the digits need scikit-learn", "data.source", HINT) from error
    bunch = load_digits()
    return Samples(bunch.images, bunch.target, classes=tuple(map(str, range(10))))


def _npz(path: Path) -> Samples:
    at = str(path)
    try:
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                what = "this is one array, not an archive"
                raise UsageError(what, at, "name the arrays: np.savez")
            arrays = {name.lower(): archive[name] for name in archive.files}
            count = len(archive.files)
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        hint = "save numbers and texts with np.savez; Python objects are not read"
        raise UsageError(f"the file cannot be read: {error}", at, hint) from error
    if len(arrays) != count:
        what = "names of arrays differ in nothing but their case"
        raise UsageError(what, at, "keep one of each: x and y, or x_train, y_train ...")
    classes, features = (_names(arrays.get(name), name, at) for name in ("classes", "features"))
    if set(arrays) >= set(SPLIT):
        x, labels, x_test, labels_test = (arrays[name] for name in SPLIT)
        return Samples(x, labels, x_test, labels_test, classes, features)
    for pair in (SPLIT[:2], PAIR):
        wanted = SPLIT if "x_test" in arrays or "y_test" in arrays else pair
        if set(wanted) <= set(arrays):
            return Samples(arrays[pair[0]], arrays[pair[1]], classes=classes, features=features)
    wanted = SPLIT if set(arrays) & set(SPLIT) else PAIR
    missing = ", ".join(name for name in wanted if name not in arrays)
    what = f"the array {missing} is missing; the file holds {', '.join(arrays) or 'nothing'}"
    raise UsageError(what, at, "name the arrays x and y, or x_train, y_train, x_test and y_test")


def _names(array: Array | None, name: str, at: str) -> tuple[str, ...] | None:
    if array is None:
        return None
    if array.ndim != 1:
        raise UsageError(f"{name} has shape {array.shape}, it must be a list of names", at)
    return tuple(
        v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in array.tolist()
    )


def _table(path: Path, kind: str, target: str | None) -> Samples:
    at = str(path)
    try:
        import polars
    except ModuleNotFoundError as error:
        raise ToolMissing(f"{kind} files need polars", at, HINT) from error
    try:
        # All rows decide the type of a column, not the first hundred.
        table = (
            polars.read_csv(path, infer_schema_length=None)
            if kind == ".csv"
            else polars.read_parquet(path)
        )
    except (polars.exceptions.PolarsError, OSError) as error:
        problem = str(error).splitlines()[0]
        hint = "the first line names the columns, each further one is a sample"
        raise UsageError(f"the file cannot be read: {problem}", at, hint) from error
    target = _check_columns(table, target, at)
    names = tuple(name for name in table.columns if name != target)
    for name in names:
        kind_of = table.schema[name]
        if not (kind_of.is_numeric() or kind_of == polars.Boolean):
            what = f"the column {name!r} holds {kind_of}, no numbers"
            hint = f"remove it or encode it as numbers; its first value is {_first(table[name])}"
            raise UsageError(what, at, hint)
    labels = table[target]
    if missing := labels.null_count():
        row = int(np.flatnonzero(labels.is_null().to_numpy())[0])
        what = f"the label of row {row} (from 0) is missing, {missing} in all"
        raise UsageError(what, f"{at}, column {target}", "remove these rows")
    x = table.select(polars.col(name).cast(polars.Float64) for name in names).to_numpy()
    numbers = labels.dtype.is_numeric() or labels.dtype == polars.Boolean
    return Samples(
        np.asarray(x),
        labels.to_numpy() if numbers else np.array([str(v) for v in labels.to_list()]),
        features=names,
    )


def _check_columns(table: Any, target: str | None, at: str) -> str:
    """Return the name of the column of labels."""
    columns: Sequence[str] = table.columns
    shown = ", ".join(columns[:20]) + (" ..." if len(columns) > 20 else "")
    if target is None:
        what = "which column holds the labels is not said"
        raise UsageError(what, at, f"give data.target; the columns are {shown}")
    if target not in columns:
        what = f"there is no column {target!r}"
        raise UsageError(what, f"{at}, data.target", f"the columns are {shown}")
    if twice := [name for name in columns if "_duplicated_" in name]:
        name = twice[0].split("_duplicated_")[0]
        raise UsageError(f"two columns are called {name!r}", at, "give them different names")
    if len(columns) == 1:
        raise UsageError(f"there is no column but {target!r}", at, "add columns of features")
    return target


def _first(column: Any) -> str:
    values = column.drop_nulls()
    return repr(values[0])[:40] if len(values) else "missing"


def _openml(name: str, target: str | None) -> Samples:
    at = f"data.source: openml:{name}"
    try:
        from sklearn.datasets import fetch_openml
    except ModuleNotFoundError as error:
        raise ToolMissing("OpenML needs scikit-learn", at, HINT) from error
    which: dict[str, Any] = {"data_id": int(name)} if name.isdigit() else {"name": name}
    if target is not None:
        which["target_column"] = target
    try:
        with warnings.catch_warnings():  # retries and renewed caches: errors say what matters
            warnings.simplefilter("ignore")
            bunch = fetch_openml(**which, as_frame=False, parser="liac-arff", n_retries=1)
    except OSError as error:  # URLError, timeouts, refused connections
        what = f"OpenML cannot be reached: {getattr(error, 'reason', error)}"
        hint = "fetch it once online, then it is kept in ~/scikit_learn_data; or give --data FILE"
        raise UsageError(what, at, hint) from error
    except (ValueError, KeyError) as error:
        problem = str(error).splitlines()[0]
        hint = "see openml.org for names; a number is taken for an id"
        raise UsageError(f"OpenML has no such data: {problem}", at, hint) from error
    features = tuple(bunch.feature_names)
    for feature in features:
        if feature in (bunch.categories or {}):
            what = f"the column {feature!r} holds names, no numbers"
            raise UsageError(what, at, "encode it in a file of your own")
    x = bunch.data.toarray() if hasattr(bunch.data, "toarray") else bunch.data
    labels = np.asarray(bunch.target)
    if labels.dtype == object:
        labels = np.array([str(v) for v in labels.tolist()])
    return Samples(np.asarray(x, np.float64), labels, features=features)
