"""Data: every source, every complaint, splits, noise, scaling."""

import json
import urllib.error

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

pytest.importorskip("pydantic")
pytest.importorskip("sklearn")
pytest.importorskip("polars")

import polars

from qapflow.errors import UsageError
from qapflow.ir.fixed import Fixed
from qapflow.train.recipes.recipe import (
    ConvRecipe,
    DataRecipe,
    DenseRecipe,
    ModelRecipe,
    PoolRecipe,
)
from qapflow.train.samples.data import fit_shape, load_data
from qapflow.train.samples.scaling import (
    Scaling,
    fit_scaling,
    input_meaning,
    meaning_summary,
    meaning_text,
    read_scaling,
    scale,
    write_scaling,
)

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(3.0, 2.0, (40, 3)).astype(np.float32)
Y = np.arange(40) % 4


def save(tmp_path, **arrays):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return path


def failure(source, seed=0, fold=0, **settings):
    with pytest.raises(UsageError) as caught:
        load_data(DataRecipe(source=str(source), **settings), seed, fold)
    return str(caught.value)


def test_digits_of_scikit_learn():
    data = load_data(DataRecipe(standardize="range"))
    assert data.x_train.shape == (1293, 8, 8)
    assert len(data.x_validation) == 144
    assert len(data.x_test) == 360
    assert data.x_train.dtype == np.float32
    assert data.y_test.dtype == np.int64
    assert data.classes == tuple("0123456789")
    assert data.features[9] == "x[1, 1]"
    assert data.scaling == Scaling("range", (0.0,), (16.0,))
    assert (data.x_test.min(), data.x_test.max()) == (0.0, 1.0)


def test_given_test_samples_are_kept_and_nothing_of_them_is_fitted(tmp_path):
    test = X[:6] * 100 + 1000
    path = save(tmp_path, x_train=X, y_train=Y, x_test=test, y_test=Y[:6], x=X, y=Y)
    data = load_data(DataRecipe(source=str(path)))
    assert len(data.x_train) + len(data.x_validation) == 40
    np.testing.assert_array_equal(data.y_test, Y[:6])
    # Fitted on the 36 training samples: mean 0 and deviation 1 exactly there, float32 apart.
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.x_train.std(axis=0), 1, atol=1e-6)
    expected = (test.astype(np.float64) - data.scaling.offset) / data.scaling.scale
    np.testing.assert_array_equal(data.x_test, expected.astype(np.float32))


def test_test_samples_are_the_same_for_every_seed_and_fold(tmp_path):
    path = save(tmp_path, x=X, y=Y)
    alone = DataRecipe(source=str(path), standardize="none")
    folds = alone.model_copy(update={"folds": 4})
    runs = [load_data(alone, 1), load_data(alone, 2), load_data(folds, 1, 3)]
    for run in runs:
        np.testing.assert_array_equal(run.x_test, runs[0].x_test)
        assert run.digest == runs[0].digest
        rows = np.concatenate([run.x_train, run.x_validation, run.x_test])
        assert len(np.unique(rows, axis=0)) == 40  # each sample in one set
        np.testing.assert_array_equal(np.bincount(run.y_test), [2, 2, 2, 2])
    assert not np.array_equal(runs[0].x_validation, runs[1].x_validation)


def test_folds_are_a_partition_whatever_the_seeds(tmp_path):
    path = save(tmp_path, x=X, y=Y)
    recipe = DataRecipe(source=str(path), folds=4, standardize="none")
    parts = [load_data(recipe, seed=fold * 7, fold=fold).x_validation for fold in range(4)]
    assert [len(part) for part in parts] == [8, 8, 8, 8]
    assert len(np.unique(np.concatenate(parts), axis=0)) == 32


def test_noise_replaces_a_share_of_labels_but_none_of_the_test(tmp_path):
    y = np.arange(4000) % 4
    x = np.stack([np.arange(4000), y], axis=1)
    path = save(tmp_path, x=x, y=y)

    def wrong(share, seed=0):
        recipe = DataRecipe(source=str(path), standardize="none", label_noise=share)
        data = load_data(recipe, seed)
        np.testing.assert_array_equal(data.x_test[:, 1], data.y_test)
        clean = np.concatenate([data.x_train, data.x_validation])[:, 1]
        labels = np.concatenate([data.y_train, data.y_validation])
        assert set(labels) == {0, 1, 2, 3}
        return clean != labels, data

    assert not wrong(0.0)[0].any()
    # All 3200 replaced: binomial, 3/4 of them wrong, deviation 24.5; five deviations.
    assert abs(wrong(1.0)[0].sum() - 2400) < 123
    assert abs(wrong(0.5)[0].sum() - 1200) < 123
    assert wrong(0.5)[1].digest == wrong(0.0)[1].digest
    np.testing.assert_array_equal(wrong(0.5, 3)[0], wrong(0.5, 3)[0])
    assert not np.array_equal(wrong(0.5, 3)[1].y_train, wrong(0.5, 4)[1].y_train)


def test_tables(tmp_path):
    table = polars.DataFrame(
        {"a": [*range(20)], "kind": ["q", "g"] * 10, "b": [0.5] * 19 + [-1.5], "c": [True] * 20}
    )
    table.write_csv(tmp_path / "t.csv")
    table.write_parquet(tmp_path / "t.parquet")
    recipes = [
        DataRecipe(source=str(tmp_path / name), target="kind", standardize="none")
        for name in ("t.csv", "t.parquet")
    ]
    one, other = map(load_data, recipes)
    assert one.features == ("a", "b", "c")
    assert one.classes == ("g", "q")
    assert one.digest == other.digest
    np.testing.assert_array_equal(one.x_train, other.x_train)
    np.testing.assert_array_equal(one.x_test[:, 0] % 2, 1 - one.y_test)


def test_labels_in_every_form_mean_the_same(tmp_path):
    forms = {
        "int": Y,
        "float": Y.astype(np.float32),
        "uint8 column": Y.astype(np.uint8)[:, None],
        "one-hot": np.eye(4)[Y],
        "text": np.array(list("abcd"))[Y],
        "bytes": np.array(list("abcd")).astype("S")[Y],
    }
    for labels in forms.values():
        data = load_data(DataRecipe(source=str(save(tmp_path, x=X, y=labels))))
        np.testing.assert_array_equal(
            data.y_train, load_data(DataRecipe(source=str(save(tmp_path, x=X, y=Y)))).y_train
        )
    named = save(tmp_path, x=X, y=np.array(list("abcd"))[Y], classes=list("dcba"))
    assert load_data(DataRecipe(source=str(named))).classes == ("d", "c", "b", "a")
    two = save(tmp_path, x=X, y=Y > 1)
    assert load_data(DataRecipe(source=str(two))).classes == ("0", "1")


def test_flat_images_take_the_given_shape(tmp_path):
    path = save(tmp_path, x_train=np.tile(X, 4), y_train=Y, x_test=np.tile(X, 4), y_test=Y)
    data = load_data(DataRecipe(source=str(path), shape=(3, 4, 1)))
    assert data.shape == (3, 4, 1)
    assert data.x_test.shape == (40, 3, 4, 1)
    assert "data.shape [5, 2] has 10 values, a sample has 12" in failure(path, shape=(5, 2))


def test_names_of_arrays_may_be_written_in_capitals(tmp_path):
    data = load_data(DataRecipe(source=str(save(tmp_path, X=X, Y=Y))))
    assert data.digest == load_data(DataRecipe(source=str(save(tmp_path, x=X, y=Y)))).digest


def test_digest_changes_with_every_value(tmp_path):
    def digest(**arrays):
        return load_data(DataRecipe(source=str(save(tmp_path, **arrays)))).digest

    other_x, other_y = X.copy(), Y.copy()
    other_x[7, 1] += 1e-5
    other_y[[3, 4]] = other_y[[4, 3]]
    found = {
        digest(x=X, y=Y),
        digest(x=other_x, y=Y),
        digest(x=X, y=other_y),
        digest(x=X, y=Y, features=list("abc")),
        digest(x=X, y=Y, classes=list("abcd")),
        digest(x_train=X, y_train=Y, x_test=X, y_test=Y),
        digest(x=X[:, :, None], y=Y),
    }
    assert len(found) == 7
    assert digest(x=X.astype(np.float64), y=Y.astype(np.uint8)) in found


NAN = X.copy()
NAN[5, 2] = np.nan
INFINITE = X.astype(np.float64)
INFINITE[[3, 9], [1, 0]] = np.inf, 1e300
ARRAYS = {
    "nan": (
        {"x": NAN, "y": Y},
        "x is nan in row 5 (from 0), column x[2]; 1 value in all",
        "fill in or remove",
    ),
    "infinite": (
        {"x": INFINITE, "y": Y, "features": list("abc")},
        "x is inf in row 3 (from 0), column b; 2 values in all",
    ),
    "nan in test": (
        {"x_train": X, "y_train": Y, "x_test": NAN, "y_test": Y},
        "x_test is nan in row 5",
    ),
    "fractional": (
        {"x": X, "y": np.where(np.arange(40) == 7, 0.5, Y)},
        "the label of row 7 (from 0) is 0.5, no class number",
        "regression",
    ),
    "nan label": (
        {"x": X, "y": np.where(np.arange(40) == 7, np.nan, Y)},
        "the label of row 7 (from 0) is nan",
    ),
    "negative": (
        {"x": X, "y": Y * 2 - 1},
        "the label of row 0 (from 0) is -1",
        "class numbers count from 0",
    ),
    "huge": ({"x": X, "y": Y + 1e300}, "class 0 has no sample to train on"),
    "beyond the classes": (
        {"x": X, "y": Y, "classes": ["a", "b", "c"]},
        "the label of row 3 (from 0) is 3, but there are 3 classes",
    ),
    "test beyond": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1},
        "the label of row 3 (from 0) is 4, but there are 4 classes",
        "test",
    ),
    "from one": ({"x": X, "y": Y + 1}, "class 0 has no sample to train on", "without gaps"),
    "gap": ({"x": X, "y": Y * 2}, "class 1 has no sample to train on"),
    "named gap": (
        {"x": X, "y": Y, "classes": list("abcde")},
        "class 4 ('e') has no sample to train on",
    ),
    "one class": ({"x": X, "y": Y * 0}, "all labels are the same"),
    "unknown name": (
        {"x_train": X, "y_train": list("ab" * 20), "x_test": X, "y_test": list("ac" * 20)},
        "the label 'c' of row 1 (from 0) is no known class",
        "classes are a, b",
    ),
    "two hot": ({"x": X, "y": np.ones((40, 4))}, "row 0 (from 0) of the labels is no class: [1.0"),
    "cube of labels": ({"x": X, "y": np.zeros((40, 2, 2))}, "the labels have shape (40, 2, 2)"),
    "complex labels": ({"x": X, "y": Y * 1j}, "the labels are complex128, no numbers or names"),
    "one label": ({"x": X, "y": 1}, "the labels of x are one value", "one for each sample"),
    "lengths": ({"x": X, "y": Y[:30]}, "x holds 40 samples, their labels are 30"),
    "shapes": (
        {"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y},
        "test samples have shape (2,), training samples (3,)",
    ),
    "flat": ({"x": X[:, 0], "y": Y}, "x has shape (40,), a sample has at least one feature"),
    "empty": ({"x": X[:0], "y": Y[:0]}, "x holds nothing: its shape is (0, 3)"),
    "text": ({"x": X.astype("U"), "y": Y}, "x is <U32, no real numbers"),
    "feature names": (
        {"x": X, "y": Y, "features": ["a"]},
        "features holds 1 names, a sample has 3 values",
    ),
    "classes of shape": ({"x": X, "y": Y, "classes": np.eye(4)}, "classes has shape (4, 4)"),
    "no labels": ({"x": X}, "the array y is missing; the file holds x"),
    "no test labels": (
        {"x_train": X, "y_train": Y, "x_test": X},
        "the array y_test is missing; the file holds x_train, y_train, x_test",
    ),
    "two cases": ({"x": X, "X": X, "y": Y}, "names of arrays differ in nothing but their case"),
    "nothing": ({}, "the array x, y is missing; the file holds nothing"),
    "objects": (
        {"x": np.array([{}] * 40), "y": Y},
        "the file cannot be read: Object arrays cannot be loaded",
        "Python objects are not read",
    ),
    "too few to test": (
        {"x": X[:8], "y": Y[:8]},
        "8 samples cannot be split: The test_size = 2",
        "data.test_fraction: 0.2",
    ),
    "lonely": (
        {"x": X, "y": np.where(np.arange(40) == 0, 1, 0)},
        "40 samples cannot be split: The least populated class",
    ),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_wrong_arrays_name_what_and_where(case, tmp_path):
    arrays, *parts = ARRAYS[case]
    message = failure(save(tmp_path, **arrays))
    for part in (*parts, "data.npz"):
        assert part in message


def test_too_few_samples_for_validation_or_folds(tmp_path):
    y = np.where(np.arange(40) < 3, 1, 0)
    path = save(tmp_path, x_train=X, y_train=y, x_test=X, y_test=y)
    assert "class 1 has 3 samples for 4 folds" in failure(path, folds=4)
    assert "there is no fold 2: data.folds is 2, folds count from 0" in failure(
        path, folds=2, fold=2
    )
    path = save(tmp_path, x_train=X[:4], y_train=[0, 0, 1, 1], x_test=X, y_test=y)
    assert "data.validation_fraction: 0.1" in failure(path)
    path = save(tmp_path, x_train=X, y_train=np.arange(40) // 38, x_test=X, y_test=y)
    message = failure(path, validation_fraction=0.9)
    assert "40 samples cannot be split: class 1 has none left to train on" in message


TABLES = {
    "": ("the file cannot be read: empty CSV", "the first line names the columns"),
    "a,l\n1,2,3\n": ("the file cannot be read: found more fields",),
    "a,b\n1,0\n2,1\n": ("there is no column 'l'", "the columns are a, b"),
    "l\n0\n1\n": ("there is no column but 'l'",),
    "a,a,l\n1,2,0\n": ("two columns are called 'a'",),
    "a,b,l\n1,x,0\n2,,1\n": ("the column 'b' holds String, no numbers", "its first value is 'x'"),
    "a,b,l\n1,2,0\n1,,1\n": ("x is nan in row 1 (from 0), column b",),
    "a,b,l\n1,2,0\n1,1,\n": ("the label of row 1 (from 0) is missing, 1 in all", "column l"),
    "a,l\n": ("the column 'a' holds String", "its first value is missing"),
}


@pytest.mark.parametrize("text", TABLES)
def test_wrong_tables_name_what_and_where(text, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    message = failure(path, target="l")
    for part in (*TABLES[text], "t.csv"):
        assert part in message


def test_wrong_sources(tmp_path):
    assert "'digit' is no source of data" in failure("digit")
    assert "the file of samples is not there" in failure(tmp_path / "no.npz")
    assert "the digits of scikit-learn has no column 'l'" in failure("digits", target="l")
    assert "a .npz file has no column 'l'" in failure(save(tmp_path, x=X, y=Y), target="l")
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,0\n")
    assert "which column holds the labels is not said" in failure(path)
    (tmp_path / "t.parquet").write_bytes(b"no")
    assert "the file cannot be read" in failure(tmp_path / "t.parquet", target="l")
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 broken")
    assert "the file cannot be read" in failure(tmp_path / "a.npz")
    np.save(tmp_path / "one.npy", X)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    assert "this is one array, not an archive" in failure(tmp_path / "one.npz")


KINDS = st.sampled_from(["<f8", "<f4", "<f2", "<i8", "|u1", "|i1", "|b1", "<c8", "<U2", "|S1"])
ARRAY = KINDS.flatmap(
    lambda kind: arrays(kind, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9))
)
NAMES = st.sampled_from(["x", "y", "x_train", "y_train", "x_test", "y_test", "classes", "features"])
SMALL = st.builds(
    lambda x, y, more: {"x": x, "y": y, **more},
    arrays("<f4", (30, 2), elements=st.floats(-4, 4, width=32)),
    st.permutations([0, 1, 2] * 10),
    st.dictionaries(NAMES, ARRAY, max_size=2),
)


@given(st.dictionaries(NAMES, ARRAY) | SMALL)
@settings(
    max_examples=150,
    derandomize=True,  # the same arrays in every run: a change is to blame for a failure
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_arrays_are_sound_data_or_a_message(tmp_path, content):
    path = save(tmp_path, **content)
    try:
        data = load_data(DataRecipe(source=str(path)))
    except UsageError:
        return
    for x, y in (
        (data.x_train, data.y_train),
        (data.x_validation, data.y_validation),
        (data.x_test, data.y_test),
    ):
        assert len(x) == len(y) > 0
        assert np.isfinite(x).all()
        assert y.min() >= 0
        assert y.max() < len(data.classes)
    assert set(data.y_train) == set(range(len(data.classes)))


class Bunch:
    """What fetch_openml returns."""

    def __init__(self, categories=()):
        self.data = X
        self.target = np.array(list("gqtw"), object)[Y]
        self.feature_names = ["a", "b", "c"]
        self.categories = {name: ["u", "v"] for name in categories}


def test_openml(monkeypatch):
    asked = []

    def fetch(**options):
        asked.append(options)
        return Bunch()

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    data = load_data(DataRecipe(source="openml:jets"))
    assert data.features == ("a", "b", "c")
    assert data.classes == ("g", "q", "t", "w")
    load_data(DataRecipe(source="openml:42468", target="l"))
    assert asked[0]["name"] == "jets"
    assert asked[1]["data_id"] == 42468
    assert asked[1]["target_column"] == "l"


def test_openml_offline_unknown_or_with_names(monkeypatch):
    def raising(error):
        def fetch(**options):
            raise error

        monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
        return failure("openml:jets")

    message = raising(urllib.error.URLError("Name or service not known"))
    assert "OpenML cannot be reached: Name or service not known" in message
    assert "fetch it once online" in message
    assert "OpenML cannot be reached: timed out" in raising(TimeoutError("timed out"))
    message = raising(ValueError("No active dataset jets found."))
    assert "OpenML has no such data: No active dataset jets found." in message
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: Bunch(["b"]))
    assert "the column 'b' holds names, no numbers" in failure("openml:jets")


def test_samples_take_the_shape_of_the_first_layer():
    data = load_data(DataRecipe(standardize="none"))
    dense = fit_shape(data, ModelRecipe(layers=(DenseRecipe(units=3),)))
    assert dense.x_test.shape == (360, 64)
    np.testing.assert_array_equal(dense.x_test[7].reshape(8, 8), data.x_test[7])
    for first in (ConvRecipe(kind="conv2d"), PoolRecipe(kind="max_pool2d")):
        assert fit_shape(data, ModelRecipe(layers=(first,))).shape == (8, 8, 1)
    assert fit_shape(data, ModelRecipe(layers=(ConvRecipe(kind="conv1d"),))).shape == (8, 8)
    row = ModelRecipe(layers=(ConvRecipe(kind="conv1d"),))
    assert fit_shape(dense, row).shape == (64, 1)
    assert fit_shape(data, ModelRecipe(file="m.h5")).shape == (8, 8)
    with pytest.raises(
        UsageError, match=r"conv2d takes .* \(rows, columns, channels\), these have \(64,\)"
    ):
        fit_shape(dense, ModelRecipe(layers=(ConvRecipe(kind="conv2d"),)))


def test_output_must_fit_the_classes(tmp_path):
    two = load_data(DataRecipe(source=str(save(tmp_path, x=X, y=Y % 2))))
    ten = load_data(DataRecipe())
    with pytest.raises(UsageError, match="sigmoid tells two classes apart, there are 10"):
        fit_shape(ten, ModelRecipe(output="sigmoid"))
    with pytest.raises(UsageError, match="one output, whose softmax is always 1"):
        fit_shape(two, ModelRecipe(output="softmax"))
    fit_shape(two, ModelRecipe(output="sigmoid"))
    fit_shape(ten, ModelRecipe(output="softmax"))


def test_scaling_by_features_range_and_none():
    x = np.array([[1.0, 5.0], [3.0, 5.0]])
    assert fit_scaling(x, "features") == Scaling("features", (2.0, 5.0), (1.0, 1.0))
    assert fit_scaling(x * 2, "features").scale == (2.0, 1.0)  # never changes: 1
    assert fit_scaling(x, "range") == Scaling("range", (1.0,), (4.0,))
    assert fit_scaling(x * 0, "range") == Scaling("range", (0.0,), (1.0,))
    np.testing.assert_array_equal(scale(x, fit_scaling(x, "none")), x.astype(np.float32))
    scaled = scale(x, fit_scaling(x, "range"))
    np.testing.assert_array_equal(scaled, np.float32([[0, 1], [0.5, 1]]))
    assert scaled.dtype == np.float32
    with pytest.raises(UsageError, match="a sample has 3 values, the scaling 2"):
        scale(X, fit_scaling(x, "features"))


def test_scaling_in_many_chunks_is_that_of_one(monkeypatch):
    whole = fit_scaling(X, "features")
    monkeypatch.setattr("qapflow.train.samples.scaling.CHUNK_VALUES", 7)
    parts = fit_scaling(X, "features")
    # Means of parts are merged in another order: float64 rounding apart.
    np.testing.assert_allclose(parts.offset, whole.offset, rtol=1e-14)
    np.testing.assert_allclose(parts.scale, whole.scale, rtol=1e-14)
    expected = (X.astype(np.float64) - whole.offset) / whole.scale
    np.testing.assert_array_equal(scale(X, whole), expected.astype(np.float32))


def test_what_an_input_type_means_in_raw_units(tmp_path):
    scaling = Scaling("features", (100.0, 0.0), (8.0, 0.5))
    kind = Fixed.parse("s4.1")  # -4 to 3.5 in steps of 0.5
    scaled = np.float32([[3.5, 0], [3.75, 0], [3.76, 0], [-4.25, 0], [-4.26, 1]])
    meanings = input_meaning(scaling, kind, scaled, ("mass", "c1"))
    mass, c1 = meanings
    assert (mass.feature, mass.step, mass.low, mass.high) == ("mass", 4.0, 68.0, 128.0)
    # 3.75 rounds to even, code 8, beyond 7; -4.25 to code -8, which fits.
    assert mass.clipped == 3 / 5
    assert (c1.step, c1.low, c1.high, c1.clipped) == (0.25, -2.0, 1.75, 0.0)
    _, saturated = kind.encode(scaled)
    assert saturated == 3  # the same as the network's own encoding
    text = meaning_text(kind, meanings)
    assert "mass  step 4 " in text
    assert "clipped 60.00%" in text
    assert "and 1 more that clip no more often" in meaning_text(kind, meanings, most=1)
    path = tmp_path / "scaling.json"
    write_scaling(path, scaling, ("mass", "c1"), kind, meanings)
    content = json.loads(path.read_text())
    assert content["input_meaning"][0]["clipped"] == 0.6
    assert content["input_type"] == "s4.1"


def test_summary_of_an_input_type(tmp_path):
    path, kind = tmp_path / "s.json", Fixed.parse("s4.1")
    scaling = Scaling("features", (0.0, 0.0), (8.0, 0.5))
    write_scaling(path, scaling, ("mass", "c1"))
    assert meaning_summary(path) == ""
    scaled = np.float32([[1, 1], [9, 1], [1, 1], [1, 1]])
    write_scaling(
        path, scaling, ("mass", "c1"), kind, input_meaning(scaling, kind, scaled, ("mass", "c1"))
    )
    assert meaning_summary(path) == (
        "input s4.1: steps of 0.25 (c1) to 4 (mass) raw units; "
        "mass saturates most, in 25.00% of training samples"
    )
    scaling = Scaling("range", (0.0,), (16.0,))
    write_scaling(
        path, scaling, ("a", "b"), kind, input_meaning(scaling, kind, scaled[:1], ("a", "b"))
    )
    assert meaning_summary(path) == (
        "input s4.1: steps of 8 raw units; no training value saturates"
    )
    for content in ("", "[]", '{"input_meaning": [1]}', '{"input_meaning": 1}'):
        path.write_text(content)
        with pytest.raises(UsageError, match="the scaling cannot be read"):
            meaning_summary(path)


def test_stored_scaling_is_the_same_to_the_last_bit(tmp_path):
    scaling = fit_scaling(X, "features")
    write_scaling(tmp_path / "s.json", scaling, ("a", "b", "c"))
    assert read_scaling(tmp_path / "s.json") == scaling
    for content in ("", "[]", "{}"):
        (tmp_path / "s.json").write_text(content)
        with pytest.raises(UsageError, match="the scaling cannot be read"):
            read_scaling(tmp_path / "s.json")
    with pytest.raises(UsageError, match="the scaling cannot be read"):
        read_scaling(tmp_path / "no.json")


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("name", "shape", "sizes"),
    [("jets", (16,), (540, 60, 400)), ("nslkdd", (118,), (22672, 2520, 22544))],
)
def test_real_data(name, shape, sizes, shared):
    path = shared / "data" / f"{name}.npz"
    if not path.is_file():
        pytest.skip("no such data")
    data = load_data(DataRecipe(source=str(path)))
    assert data.shape == shape
    assert (len(data.x_train), len(data.x_validation), len(data.x_test)) == sizes
