"""Recipes: read, checked, printed; every message names key, value and the way out."""

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pydantic")

from qapflow.errors import UsageError
from qapflow.train.recipes.check import check_recipe
from qapflow.train.recipes.file import list_presets, parse_recipe, print_recipe, read_recipe
from qapflow.train.recipes.layers import kernel_names, layer_names
from qapflow.train.recipes.lock import make_lock, write_lock
from qapflow.train.recipes.recipe import (
    DataRecipe,
    ModelRecipe,
    PruningRecipe,
    QuantizationRecipe,
    Recipe,
    SearchRecipe,
    TrainingRecipe,
)
from qapflow.train.recipes.schedule import last_change, pruning_end, total_epochs

PARTS = (DataRecipe, ModelRecipe, QuantizationRecipe, PruningRecipe, TrainingRecipe, SearchRecipe)


def failure(text, read=parse_recipe):
    with pytest.raises(UsageError) as caught:
        check_recipe(read(text))
    return str(caught.value)


def test_a_setting_alone_leaves_every_default():
    recipe = parse_recipe("seed: 3")
    assert recipe == Recipe(seed=3)


def test_values_arrive_as_written():
    recipe = parse_recipe(
        "training: {learning_rate: 1e-3, l1: 0}\n"
        "pruning: {method: iterative, rewind: 2, fractions: [0.5, 5E-1]}\n"
        "quantization: {layers: {dense_1: {weights: 3}}}\n"
        "model: {layers: [{kind: conv2d, filters: 4}, {kind: flatten}, {kind: dense, units: 7}]}\n"
    )
    assert recipe.training.learning_rate == 0.001
    assert recipe.training.l1 == 0.0
    assert recipe.pruning.rewind == 2
    assert recipe.pruning.fractions == (0.5, 0.5)
    assert recipe.quantization.layers["dense_1"].weights == 3
    assert [layer.kind for layer in recipe.model.layers] == ["conv2d", "flatten", "dense"]
    check_recipe(recipe)


@pytest.mark.parametrize("name", list_presets())
def test_presets_are_sound_described_and_survive_printing(name, tmp_path):
    recipe = read_recipe(name)
    assert recipe.name == name
    assert 20 < len(list_presets()[name]) < 100
    path = tmp_path / "recipe.yaml"
    path.write_text(print_recipe(recipe))
    again = read_recipe(path)
    if recipe.data.source == "nslkdd.npz":  # relative to the recipe that names it
        assert again.data.source == str(tmp_path / "nslkdd.npz")
        again = again.model_copy(update={"data": recipe.data})
    assert again == recipe


def test_printed_recipe_has_every_setting_and_what_it_means():
    text = print_recipe(Recipe())
    for part in Recipe.model_fields.values():
        for name in getattr(part.annotation, "model_fields", ()):
            assert f"\n  {name}: " in text
    assert "# training, from `from_epoch` until `until_epoch`, towards `sparsity`" in text
    assert "  layers: [{kind: dense, units: 64}, {kind: dense, units: 32}" in text
    assert "  until_epoch: null\n" in text
    assert parse_recipe(text) == Recipe()


def test_documentation_shows_every_setting_and_preset():
    text = (Path(__file__).parents[2] / "docs" / "train.md").read_text()
    assert print_recipe(Recipe()) in text
    for name, words in list_presets().items():
        assert f"| `{name}` | {words.rstrip('.')} |" in text


def test_the_lock_file_of_a_run_is_a_recipe(tmp_path):
    recipe = read_recipe("digits-lottery")
    write_lock(tmp_path / "digits.lock.json", make_lock(recipe, "ab"))
    assert read_recipe(str(tmp_path / "digits.lock.json")) == recipe
    (tmp_path / "other.json").write_text("{}")
    assert "the lock file cannot be read" in failure(tmp_path / "other.json", read_recipe)


def test_files_are_relative_to_the_recipe_wherever_it_is_printed(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "r.yaml").write_text("data: {source: x.csv}")
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe("in/r.yaml")
    (tmp_path / "printed.yaml").write_text(print_recipe(recipe))
    assert read_recipe("printed.yaml") == recipe
    assert recipe.data.source == str(tmp_path / "in" / "x.csv")


def test_files_are_relative_to_the_recipe(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("data: {source: sub/x.npz}\nmodel: {file: m.h5}\n")
    recipe = read_recipe(path)
    assert recipe.data.source == str(tmp_path / "sub/x.npz")
    assert recipe.model.file == tmp_path / "m.h5"
    assert read_recipe("digits-qap").data.source == "digits"


SETTINGS = {
    "sed: 1": ("there is no setting sed", "did you mean 'seed'", "recipe, line 1"),
    "pruning:\n  sparsty: 0.5": (
        "there is no setting pruning.sparsty",
        "did you mean 'sparsity'",
        "line 2",
    ),
    "zzzz: 1": ("known are name, seed, data",),
    "pruning: {sparsity: 1.0}": (
        "pruning.sparsity is 1.0, it must be less than 1",
        "the default is 0.8",
    ),
    "quantization: {weights: 0}": ("quantization.weights is 0, it must be at least 1",),
    "quantization: {weights: 40}": ("quantization.weights is 40, it must be at most 32",),
    "quantization: {layers: {dense_1: {wights: 3}}}": (
        "no setting quantization.layers.dense_1.wights",
        "did you mean 'weights'",
    ),
    "training: {learning_rate: 0}": ("learning_rate is 0, it must be more than 0",),
    "training: {learning_rate: .nan}": ("learning_rate is NaN, it must be a finite number",),
    "training: {epochs: true}": ("training.epochs is true, it must be a whole number",),
    "training: {epochs: 2.5}": ("training.epochs is 2.5, it must be a whole number",),
    "training: {epochs: '3'}": ('training.epochs is "3", it must be a whole number',),
    "training: {l1: none}": ('training.l1 is "none", it must be a number',),
    "name: 3": ("name is 3, it must be text",),
    "model: {file: 3}": ("model.file is 3, it must be text",),
    "training: 3": ("training is 3, it must be keys with values",),
    "quantization: {layers: 3}": ("quantization.layers is 3, it must be keys with values",),
    "model: {layers: 3}": ("model.layers is 3, it must be a list",),
    "model: {layers: [{units: 3}]}": ("model.layers[0] has no kind", "{kind: dense, units: 32}"),
    "model: {layers: [{kind: dens, units: 3}]}": (
        "model.layers[0] is \"dens\", it must be of one of the kinds 'dense', 'conv1d'",
        "did you mean 'dense'",
    ),
    "model:\n  layers:\n    - {kind: dense}": ("model.layers[0].units is missing", "line 3"),
    "model: {layers: [{kind: conv2d, filter: 3}]}": (
        "no setting model.layers[0].filter",
        "did you mean 'filters'",
    ),
    "pruning: {method: polinomial}": (
        "pruning.method is \"polinomial\", it must be 'none', 'constant', 'polynomial' or",
        "did you mean 'polynomial'",
    ),
    "pruning: {method: iterative, rewind: 0}": (
        "pruning.rewind is 0, it must be 'none' or 'init' or at least 1",
    ),
    "pruning: {rewind: no}": ("pruning.rewind is false, it must be 'none' or 'init' or a whole",),
    "pruning: {block: [2]}": ("pruning.block[1] is missing",),
    "pruning: {block: [2, 2, 2]}": ("pruning.block is [2, 2, 2], it must be a list of 2",),
    "quantization: {alpha: auto}": (
        "quantization.alpha is \"auto\", it must be '1' or 'auto_po2'",
        "stay multipliers in firmware",
    ),
    "quantization: {weight_integer_bits: 1000}": ("it must be at most 32",),
    "seed: 1\nseed: 2": ("the key 'seed' is already in line 1", "recipe, line 2"),
    "a: [": ("the recipe is not YAML: ", "line 1"),
    "a: &a [*a]": ("the recipe is not YAML: found unconstructable recursive",),
    "1: 2": ("the key 1 is no text: put it in quotes", "recipe, line 1"),
    "a: {2026-01-01: 2}": ("the key 2026-01-01 is no text",),
    "? [a]\n: 1": ("the key here is no text",),
    'name: "\\uD800"': ("the recipe is not text: ",),
    "seed: 1" + 5000 * "0": ("the recipe is not YAML: Exceeds the limit",),
    "- 1": ("a recipe is made of keys with values, this is a list", "write for example"),
    "": ("the recipe is empty", "every setting has a default"),
    "# nothing": ("the recipe is empty",),
    "a: !!python/object:os.system {}": ("the recipe is not YAML: could not determine",),
    "[" * 3000: ("the recipe is not YAML: it contains itself, or is nested too deep",),
}


@pytest.mark.parametrize("text", SETTINGS)
def test_wrong_settings_name_key_value_and_fix(text):
    message = failure(text)
    for part in SETTINGS[text]:
        assert part in message


def test_parts_of_recipes_can_be_shared_by_anchors():
    text = "data: &d {source: a.csv}\nmodel: {layers: [&l {kind: dense, units: 3}, {<<: *l}]}"
    assert parse_recipe(text).model.layers[1].units == 3


def test_alpha_may_be_the_number_one():
    assert parse_recipe("quantization: {alpha: 1}").quantization.alpha == "1"
    assert parse_recipe("quantization: {alpha: '1'}").quantization.alpha == "1"


def test_all_wrong_settings_are_named_at_once():
    message = failure("seed: -1\n\npruning:\n  sparsity: 1.0\n  metod: none\n")
    assert "3 settings of the recipe are wrong" in message
    assert "line 1: seed is -1, it must be at least 0 (the default is 0)" in message
    assert "line 4: pruning.sparsity is 1.0" in message
    assert "line 5: there is no setting pruning.metod (did you mean 'method'?)" in message


CONTRADICTIONS = {
    "pruning: {method: polynomial, until_epoch: 61}": (
        "pruning ends after training: epoch 61 of 60",
        "pruning.until_epoch",
        "at most 60",
    ),
    "pruning: {method: polynomial, from_epoch: 60, until_epoch: 60}": (
        "pruning begins after training: epoch 60 of 60",
        "at most 59",
    ),
    "pruning: {method: polynomial, from_epoch: 9, until_epoch: 9}": (
        "pruning ends in epoch 9, before it begins",
        "more than pruning.from_epoch, 9",
    ),
    "pruning: {method: constant, from_epoch: 9, until_epoch: 8}": (
        "pruning ends in epoch 8, before it begins",
        "at least 9",
    ),
    "quantization: {weights_from_epoch: 60}": (
        "epoch 60 is never reached: there are 60, counted from 0",
        "quantization.weights_from_epoch",
    ),
    "pruning: {activations: 0.5, activations_from_epoch: 70}": (
        "epoch 70 is never reached",
        "pruning.activations_from_epoch",
    ),
    "pruning: {neurons: 0.5, from_epoch: 60}": (
        "epoch 60 is never reached",
        "pruning.from_epoch",
    ),
    "pruning: {method: iterative, rewind: 60}": (
        "rewinding to the weights of epoch 60, but training has 60",
        "at most 59, or init",
    ),
    "pruning: {method: constant, rewind: init}": (
        "method 'constant' has no iterations to rewind",
        "pruning.method: iterative",
    ),
    "pruning: {method: iterative, fractions: []}": ("iterative pruning without a step",),
    "pruning: {method: iterative, until_epoch: 5}": ("prunes between trainings",),
    "pruning: {method: constant, sparsity: 0}": ("sparsity 0 prunes nothing",),
    "pruning: {block: [2, 2]}": ("block is given, but method is 'none'",),
    "pruning: {layers: [dense_1]}": ("layers is given, but method is 'none'",),
    "pruning: {method: constant}\nquantization: {weight_quantizer: binary}": (
        "binary turns every pruned weight into +1 or -1",
        "use quantized_bits or ternary",
    ),
    "pruning: {neurons: 0.5}\nquantization: {weight_quantizer: binary}": ("binary turns every",),
    "pruning: {method: iterative}\nquantization: {weight_quantizer: quantized_po2}": (
        "quantized_po2 turns every pruned weight into a power of two",
    ),
    "pruning: {method: constant}\nquantization: {weights: 1}": (
        "with 1 bit, quantized_bits is +1 or -1",
        "quantization.weights",
    ),
    "pruning: {method: constant}\nquantization: {layers: {dense_2: {weights: 1}}}": (
        "quantization.layers.dense_2.weights",
        "weight_quantizer: ternary",
    ),
    "pruning: {method: constant, block: [2, 2], m_by_n: [2, 4]}": ("two patterns",),
    "pruning: {method: iterative, block: [2, 2]}": ("single weights over all layers, no block",),
    "pruning: {method: constant, m_by_n: [4, 4]}": ("4 zeros in every 4 weights leave none",),
    "pruning: {method: polynomial, m_by_n: [2, 4]}": ("no schedule leads to it",),
    "pruning: {method: constant, block: [64, 1]}": (
        "a block of 64x1 is larger than a layer",
        "at most 32",
    ),
    "pruning: {method: constant, block: [2, 2]}\nmodel: {layers: [{kind: conv1d}]}": (
        "the kernel of conv1d_1 is none",
        "name the dense layers",
    ),
    "quantization: {layers: {dense_4: {weights: 3}}}": (
        "quantization.layers",
        "the model has no layer 'dense_4'",
        "did you mean 'dense_",
    ),
    "pruning: {method: constant, layers: [flatten_1]}\n"
    "model: {layers: [{kind: flatten}, {kind: dense, units: 3}]}": (
        "pruning.layers",
        "the model has no layer 'flatten_1'",
        "did you mean 'dense_1'",
    ),
    "quantization: {weights: 32, weight_quantizer: ternary}": ("32 means float, which ternary",),
    "quantization: {weights: 1, weight_quantizer: quantized_po2}": ("one for its exponent",),
    "quantization: {weights: 4, weight_integer_bits: 4}": (
        "4 integer bits do not fit weights of 4 bits",
        "quantization.weight_integer_bits",
        "at most 3",
    ),
    "quantization: {activations: 4, activation_integer_bits: 5}": (
        "5 integer bits do not fit activations of 4 bits",
    ),
    "model: {file: m.h5, layers: [{kind: dense, units: 3}]}": (
        "the architecture comes from the file; layers are given too",
    ),
    "model: {layers: []}": ("there is no hidden layer",),
    "search: {trials: 3}": ("a search over nothing",),
    "search: {trials: 3, units: [[9, 3], [1, 2], [1, 2]]}": ("from 9 to 3 units is empty",),
    "search: {trials: 3, units: [[1, 2]]}": (
        "1 ranges of units for 3 dense and convolution layers",
    ),
    "search: {trials: 3, units: [[1, 2]]}\nmodel: {file: m.h5}": ("units of a model file",),
    "search: {trials: 3, bits: [4], max_bops: 9}\nmodel: {file: m.h5}": (
        "BOPs of a model file",
        "search.max_bops",
    ),
}


@pytest.mark.parametrize("text", CONTRADICTIONS)
def test_contradictions_name_key_and_way_out(text):
    message = failure(text)
    for part in CONTRADICTIONS[text]:
        assert part in message


def test_all_contradictions_at_once():
    message = failure("model: {layers: []}\nsearch: {trials: 3}")
    assert "2 settings contradict others" in message
    assert "model.layers: there is no hidden layer" in message
    assert "search.trials: a search over nothing" in message


def test_what_is_allowed_beside_the_refused():
    for text in (
        "pruning: {method: polynomial, until_epoch: 60}",
        "pruning: {method: iterative, rewind: 59}",
        "pruning: {method: constant, block: [32, 1]}",
        "pruning: {activations: 0.5}\nquantization: {weight_quantizer: binary}",
        "pruning: {method: constant}\nquantization: {weights: 2, weight_quantizer: ternary}",
        "quantization: {weights: 4, weight_integer_bits: 3}",
        "quantization: {weights: 1}",
        "model: {file: m.h5}\npruning: {method: constant, layers: [its_own]}",
        "quantization: {layers: {output: {weights: 8}, dense_3: {activations: 3}}}",
        "pruning: {method: constant, block: [2, 2], layers: [dense_1]}\n"
        "model: {layers: [{kind: conv1d}, {kind: flatten}, {kind: dense, units: 4}]}",
        "search: {trials: 3, units: [[1, 2], [1, 2], [3, 3]], bits: [4, 6]}",
        "search: {trials: 3, units: [[1, 2], [3, 3]], max_bops: 9}\n"
        "model: {layers: [{kind: conv1d}, {kind: flatten}, {kind: dense, units: 4}]}",
    ):
        check_recipe(parse_recipe(text))


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.floats(),
    st.sampled_from(["none", "init", "dense", "polynomial", "iterative", "1", "", "digits"]),
)
KEYS = st.sampled_from(
    [
        *Recipe.model_fields,
        *(key for part in PARTS for key in part.model_fields),
        *("kind", "units", "dense_1", "nothing"),
    ]
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
@settings(max_examples=300, deadline=None)
def test_any_yaml_is_a_recipe_or_a_message(data):
    text = yaml.safe_dump(data)
    try:
        recipe = parse_recipe(text)
        check_recipe(recipe)
    except UsageError:
        return
    assert parse_recipe(print_recipe(recipe)) == recipe


@given(st.text("ab:{}[],- \n'\"&*!|>#%@`0", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_recipe_or_a_message(text):
    with contextlib.suppress(UsageError):
        parse_recipe(text)


def test_no_such_file_or_preset(tmp_path):
    assert "did you mean 'digits-qap'" in failure("digits-qab", read_recipe)
    assert "no preset is called 'digits-qab'" in failure("digits-qab", read_recipe)
    missing = failure(str(tmp_path / "a.yaml"), read_recipe)
    assert "the recipe cannot be read: No such file" in missing
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\xfa")
    assert "not text in UTF-8" in failure(tmp_path / "b.yaml", read_recipe)


def test_epochs_after_the_last_change_are_equal_for_every_order():
    orders = (
        "{weights_from_epoch: 5, activations_from_epoch: 8}",
        "{weights_from_epoch: 30}",
        "{}",
    )
    for order in orders:
        recipe = parse_recipe(
            f"quantization: {order}\npruning: {{method: polynomial, until_epoch: 20}}\n"
            "training: {recovery_epochs: 10}"
        )
        check_recipe(recipe)
        assert total_epochs(recipe) - last_change(recipe) == 10
    assert total_epochs(recipe) == 30
    assert total_epochs(Recipe()) == 60


def test_where_pruning_ends_unless_given():
    assert pruning_end(parse_recipe("pruning: {method: constant, from_epoch: 7}")) == 7
    assert pruning_end(parse_recipe("pruning: {method: polynomial}")) == 45
    assert pruning_end(parse_recipe("pruning: {method: polynomial, until_epoch: 9}")) == 9


@pytest.mark.needs_keras
def test_layers_are_called_as_in_the_model():
    from qapflow.train.architecture import build_model

    recipe = parse_recipe(
        "model: {layers: [{kind: conv2d, filters: 2}, {kind: average_pool2d}, {kind: conv2d},\n"
        "  {kind: flatten}, {kind: dense, units: 3}, {kind: dense, units: 2}]}"
    )
    model = build_model(recipe, (12, 12, 1), 3)
    made = [layer.name for layer in model.layers]
    assert set(layer_names(recipe.model)) <= set(made)
    having = tuple(layer.name for layer in model.layers if layer.trainable_weights)
    assert having == kernel_names(recipe.model)
