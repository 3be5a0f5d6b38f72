"""Which settings of a recipe contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from qapflow.errors import UsageError
from qapflow.train.recipes.errors import nearest
from qapflow.train.recipes.layers import kernel_names, layer_names, searched
from qapflow.train.recipes.recipe import (
    FLOAT_BITS,
    DenseRecipe,
    ModelRecipe,
    PruningRecipe,
    Recipe,
    SearchRecipe,
)
from qapflow.train.recipes.schedule import changes, pruning_end, total_epochs

Finding = tuple[str, str, str]  # key, what is wrong, the way out


def check_recipe(recipe: Recipe) -> None:
    """Refuse settings that contradict each other, all of them at once.

    Raises:
        UsageError: with key, value and way out of each.
    """
    found = [
        *_name(recipe.name),
        *_schedule(recipe),
        *_pruning_kind(recipe.pruning),
        *_lost_zeros(recipe),
        *_names(recipe),
        *_patterns(recipe),
        *_bits(recipe),
        *_model(recipe.model),
        *_search(recipe),
    ]
    if len(found) == 1:
        key, what, hint = found[0]
        raise UsageError(what, key, hint)
    if found:
        rows = [f"  - {key}: {what} ({hint})" for key, what, hint in found]
        raise UsageError("\n".join([f"{len(found)} settings contradict others:", *rows]), "recipe")


def _name(name: str) -> Iterator[Finding]:
    if not name.strip() or set(name) & set("/\\\0") or name.startswith("."):
        yield "name", f"{name!r} is no name of a file", "saved models are called by it: digits-qap"


def _schedule(recipe: Recipe) -> Iterator[Finding]:
    pruning, epochs = recipe.pruning, total_epochs(recipe)
    for key, epoch in changes(recipe):
        if key == "pruning.until_epoch" and epoch > epochs:
            what = f"pruning ends after training: epoch {epoch} of {epochs}"
            yield key, what, f"give at most {epochs}, or more training.epochs"
        elif key != "pruning.until_epoch" and epoch >= epochs and epoch:
            what = f"epoch {epoch} is never reached: there are {epochs}, counted from 0"
            yield key, what, f"give at most {epochs - 1}, or more training.epochs"
    if pruning.method in ("constant", "polynomial") and pruning.from_epoch >= epochs:
        what = f"pruning begins after training: epoch {pruning.from_epoch} of {epochs}"
        yield "pruning.from_epoch", what, f"give at most {epochs - 1}"
    elif pruning.method == "polynomial" and pruning_end(recipe) <= pruning.from_epoch:
        what = f"pruning ends in epoch {pruning_end(recipe)}, before it begins"
        yield (
            "pruning.until_epoch",
            what,
            f"give more than pruning.from_epoch, {pruning.from_epoch}",
        )
    elif pruning.method == "constant" and pruning_end(recipe) < pruning.from_epoch:
        what = f"pruning ends in epoch {pruning_end(recipe)}, before it begins"
        yield "pruning.until_epoch", what, f"give at least {pruning.from_epoch}, or leave it out"
    if isinstance(pruning.rewind, int) and pruning.rewind >= epochs:
        what = f"rewinding to the weights of epoch {pruning.rewind}, but training has {epochs}"
        yield "pruning.rewind", what, f"give at most {epochs - 1}, or init"


def _pruning_kind(pruning: PruningRecipe) -> Iterator[Finding]:
    method = pruning.method
    if method != "iterative" and pruning.rewind != "none":
        hint = "give pruning.method: iterative, or rewind: none"
        yield "pruning.rewind", f"method {method!r} has no iterations to rewind", hint
    if method == "iterative" and not pruning.fractions:
        yield "pruning.fractions", "iterative pruning without a step", "give at least one fraction"
    if method == "iterative" and pruning.until_epoch is not None:
        what = "iterative pruning prunes between trainings, not within their epochs"
        yield "pruning.until_epoch", what, "leave it out, or give method: polynomial"
    if method in ("constant", "polynomial") and pruning.sparsity == 0:
        yield "pruning.sparsity", "sparsity 0 prunes nothing", "give a share, or method: none"
    for key in ("block", "m_by_n", "layers"):
        if method == "none" and getattr(pruning, key):
            hint = "give pruning.method: constant or polynomial"
            yield f"pruning.{key}", f"{key} is given, but method is 'none'", hint


def _lost_zeros(recipe: Recipe) -> Iterator[Finding]:
    """Find quantizers without a level at zero: pruned weights would come back."""
    quantization, pruning = recipe.quantization, recipe.pruning
    if pruning.method == "none" and pruning.neurons == 0:
        return
    kind = quantization.weight_quantizer
    if kind in ("binary", "quantized_po2"):
        value = "+1 or -1" if kind == "binary" else "a power of two"
        what = f"{kind} turns every pruned weight into {value}: it has no zero"
        hint = "use quantized_bits or ternary, or pruning.method: none with neurons: 0"
        yield "quantization.weight_quantizer", what, hint
    elif kind == "quantized_bits":
        bits = {"weights": quantization.weights}
        pruned = pruning.layers or tuple(quantization.layers)
        for name in pruned:
            own = quantization.layers.get(name)
            if own is not None and own.weights is not None:
                bits[f"layers.{name}.weights"] = own.weights
        for key, width in bits.items():
            if width == 1:
                what = "with 1 bit, quantized_bits is +1 or -1: pruned weights come back"
                yield f"quantization.{key}", what, "give 2 bits, or weight_quantizer: ternary"


def _patterns(recipe: Recipe) -> Iterator[Finding]:
    pruning = recipe.pruning
    if pruning.block and pruning.m_by_n:
        what = "blocks and m-by-n are two patterns for the same zeros"
        yield "pruning.m_by_n", what, "give one of block and m_by_n"
    for key in ("block", "m_by_n"):
        if pruning.method == "iterative" and getattr(pruning, key):
            what = f"iterative pruning takes single weights over all layers, no {key}"
            yield f"pruning.{key}", what, "use method: polynomial or constant"
    if pruning.m_by_n:
        zeros, group = pruning.m_by_n
        if zeros >= group:
            what = f"{zeros} zeros in every {group} weights leave none"
            yield "pruning.m_by_n", what, "give less zeros than weights, such as [2, 4]"
        elif pruning.method == "polynomial":
            what = "m-by-n is one sparsity from the beginning, no schedule leads to it"
            yield "pruning.m_by_n", what, "use method: constant"
    if pruning.block and recipe.model.file is None:
        yield from _blocks(recipe, *pruning.block)


def _blocks(recipe: Recipe, height: int, width: int) -> Iterator[Finding]:
    named = recipe.pruning.layers or kernel_names(recipe.model)
    for name in named:
        if "conv" in name:
            what = f"blocks are tiles of matrices; the kernel of {name} is none"
            yield "pruning.block", what, "name the dense layers in pruning.layers, or use m_by_n"
            return
    units = [layer.units for layer in recipe.model.layers if isinstance(layer, DenseRecipe)]
    smallest = min(units, default=max(height, width))
    if not recipe.pruning.layers and max(height, width) > smallest:
        what = f"a block of {height}x{width} is larger than a layer"
        yield "pruning.block", what, f"give at most {smallest}, the smallest layer's units"


def _names(recipe: Recipe) -> Iterator[Finding]:
    """Find layers that the architecture does not have; those of a file are known later."""
    if recipe.model.file is not None:
        return
    for key, names, known in (
        ("quantization.layers", tuple(recipe.quantization.layers), layer_names(recipe.model)),
        ("pruning.layers", recipe.pruning.layers, kernel_names(recipe.model)),
    ):
        for name in names:
            if name not in known:
                yield key, f"the model has no layer {name!r}", nearest(name, known)


def _bits(recipe: Recipe) -> Iterator[Finding]:
    quantization = recipe.quantization
    kind, bits = quantization.weight_quantizer, quantization.weights
    if bits == FLOAT_BITS and kind != "quantized_bits":
        what = f"weights: {FLOAT_BITS} means float, which {kind} is not"
        yield "quantization.weight_quantizer", what, "give fewer bits, or quantized_bits"
    if kind == "quantized_po2" and bits == 1:
        what = "a power of two needs a bit for its sign and one for its exponent"
        yield "quantization.weights", what, "give at least 2"
    widths = [("activations", quantization.activations, quantization.activation_integer_bits)]
    if kind == "quantized_bits":
        widths.append(("weights", bits - 1, quantization.weight_integer_bits))
    for name, room, integer in widths:
        key = f"quantization.{name[:-1]}_integer_bits"
        if integer is not None and integer > room:
            what = f"{integer} integer bits do not fit {name} of {getattr(quantization, name)} bits"
            yield key, what, f"give at most {room}, or leave it out: then it is chosen"


def _model(model: ModelRecipe) -> Iterator[Finding]:
    if model.file is not None and model.layers != ModelRecipe().layers:
        what = "the architecture comes from the file; layers are given too"
        yield "model.layers", what, "leave out file or layers"
    if model.file is None and not model.layers:
        hint = "give at least one, such as {kind: dense, units: 32}"
        yield "model.layers", "there is no hidden layer", hint


def _search(recipe: Recipe) -> Iterator[Finding]:
    search: SearchRecipe = recipe.search
    if search.trials == 0:
        return
    if not search.units and not search.bits:
        hint = "give search.units, search.bits, or trials: 0"
        yield "search.trials", "a search over nothing: no units, no bits", hint
    for low, high in search.units:
        if low > high:
            yield "search.units", f"from {low} to {high} units is empty", f"give [{high}, {low}]"
    if recipe.model.file is not None:
        if search.units:
            hint = "leave out search.units or model.file"
            yield "search.units", "units of a model file are as they are", hint
        if search.max_bops is not None:
            hint = "leave out search.max_bops or model.file"
            yield "search.max_bops", "BOPs of a model file are not known before it is trained", hint
        return
    wide = sum(bool(key) for _, key in searched(recipe.model))
    if search.units and len(search.units) != wide:
        what = f"{len(search.units)} ranges of units for {wide} dense and convolution layers"
        yield "search.units", what, "give one [low, high] for each of them in order"
