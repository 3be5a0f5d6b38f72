"""What a training run is told: one frozen tree of settings, read from YAML, every default in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

FLOAT_BITS = 32
"""Bits that mean "not quantized": the float32 of Keras."""

# Shares of what is left that each pruning iteration removes (Hawks et al., Front. AI 4:676564,
# 2021): 0.9, 0.8 ... 0.1, 0.033, 0.011 of the weights remain.
FRACTIONS = (0.10, 0.111, 0.125, 0.143, 0.166, 0.20, 0.25, 0.333, 0.50, 0.666, 0.666)

Bits = Annotated[int, Field(ge=1, le=FLOAT_BITS)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Epoch = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Pair = tuple[Count, Count]
# YAML's `alpha: 1` is a number.
Alpha = Annotated[Literal["1", "auto_po2"], BeforeValidator(lambda v: "1" if v == 1 else v)]
IntegerBits = Annotated[int, Field(ge=-FLOAT_BITS, le=FLOAT_BITS)]


class Part(BaseModel):
    """A part of a recipe: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataRecipe(Part):
    """Where samples come from and how they are split.

    `source` is "digits" (of scikit-learn), "openml:NAME", or a .npz, .csv or .parquet file;
    `target` names the label's column. npz files hold x and y, or x_train, y_train, x_test, y_test.
    `shape` is that of one sample, where the source holds its values in one row.
    `standardize` is fitted on the training samples only: per feature to mean 0 and deviation 1, to
    the range 0 to 1 of all training values, or not at all. With `folds`, each is the validation set
    once, and `validation_fraction` has no effect. `label_noise` is the share of labels that are
    replaced by a random class, of training and validation samples, never of test samples.
    """

    source: str = "digits"
    target: str | None = None
    shape: tuple[Count, ...] | None = None
    standardize: Literal["features", "range", "none"] = "features"
    test_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    folds: Count = 1
    label_noise: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0


class DenseRecipe(Part):
    """A fully connected layer with its activation."""

    kind: Literal["dense"] = "dense"
    units: Count


class ConvRecipe(Part):
    """A convolution over rows (conv1d) or images (conv2d, depthwise_conv2d)."""

    kind: Literal["conv1d", "conv2d", "depthwise_conv2d"]
    filters: Count = 1
    kernel: Count = 3
    stride: Count = 1
    padding: Literal["valid", "same"] = "valid"


class PoolRecipe(Part):
    """Pooling; `size` is also its stride."""

    kind: Literal["max_pool1d", "max_pool2d", "average_pool1d", "average_pool2d"]
    size: Count = 2


class FlattenRecipe(Part):
    """All values of a sample in one row."""

    kind: Literal["flatten", "global_average_pool"]


LayerRecipe = Annotated[
    DenseRecipe | ConvRecipe | PoolRecipe | FlattenRecipe, Field(discriminator="kind")
]


class ModelRecipe(Part):
    """The architecture: hidden layers in order, or a Keras model file to start from.

    The output layer is added: one unit a class (one in all for two classes), linear ("logits",
    exact in firmware, the loss applies the softmax) or with its activation. Batch normalization
    stands before each activation: folded into the weights while training ("fold"), as a layer of
    its own ("separate"), or not at all.
    """

    file: Path | None = None
    layers: tuple[LayerRecipe, ...] = (
        DenseRecipe(units=64), DenseRecipe(units=32), DenseRecipe(units=32),
    )  # fmt: skip
    batch_normalization: Literal["fold", "separate", "none"] = "fold"
    output: Literal["logits", "softmax", "sigmoid"] = "logits"


class LayerBits(Part):
    """Bits of one layer, where they differ from those of all."""

    weights: Bits | None = None
    biases: Bits | None = None
    activations: Bits | None = None


class QuantizationRecipe(Part):
    """Bits in all (sign included; 32 is float) and when they begin.

    Integer bits are chosen where quantization starts, by least squared error on the training
    samples, unless given, and again before every stage of iterative pruning, or (`formats: first`)
    only before its first: later stages then compile nothing anew, which is faster. From
    `weights_from_epoch` and `activations_from_epoch` on the forward pass is quantized.
    """

    weights: Bits = 6
    biases: Bits | None = None
    activations: Bits = 6
    input: Bits = 8
    weight_quantizer: Literal["quantized_bits", "quantized_po2", "binary", "ternary"] = (
        "quantized_bits"
    )
    alpha: Alpha = "1"
    weight_integer_bits: IntegerBits | None = None
    activation_integer_bits: IntegerBits | None = None
    formats: Literal["every_stage", "first"] = "every_stage"
    weights_from_epoch: Epoch = 0
    activations_from_epoch: Epoch = 0
    layers: dict[str, LayerBits] = {}

    def bits_of(self, own: LayerBits) -> tuple[int, int | None, int]:
        """Return bits of weights, biases and activations where a layer has `own` ones."""
        return (
            self.weights if own.weights is None else own.weights,
            self.biases if own.biases is None else own.biases,
            self.activations if own.activations is None else own.activations,
        )


class PruningRecipe(Part):
    """Which weights become zero, and when.

    "constant" and "polynomial" follow the schedules of tensorflow-model-optimization inside one
    training, from `from_epoch` until `until_epoch`, towards `sparsity`. "iterative" removes
    `fractions` of the weights that are left, smallest first over all layers, and trains again after
    each: from where it was (`rewind` "none": fine-tuning) or from the weights of the first epoch
    ("init") or epoch k (lottery ticket). `block` prunes tiles of a kernel, `m_by_n` leaves m zeros
    in every n. `neurons` and `activations` are shares of units that are removed from the saved
    layers.
    """

    method: Literal["none", "constant", "polynomial", "iterative"] = "none"
    sparsity: Share = 0.8
    from_epoch: Epoch = 0
    until_epoch: Epoch | None = None
    every_steps: Count = 100
    fractions: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = FRACTIONS
    rewind: Literal["none", "init"] | Count = "none"
    scope: Literal["global", "layer"] = "global"
    block: Pair | None = None
    m_by_n: Pair | None = None
    layers: tuple[str, ...] = ()
    neurons: Share = 0.0
    activations: Share = 0.0
    activations_from_epoch: Epoch = 0


class TrainingRecipe(Part):
    """Optimization. `l1` multiplies the sum of all absolute kernel weights in the loss.

    `epochs` is the most a training (each pruning iteration) takes; `early_stopping` ends it after
    so many epochs without a better validation loss. `recovery_epochs`, when given, replaces
    `epochs` by the last start of quantization or end of pruning plus that number, so that
    different orders recover equally long.
    """

    optimizer: Literal["adam", "sgd", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0)] = 1e-3
    batch_size: Count = 256
    epochs: Count = 60
    recovery_epochs: Count | None = None
    early_stopping: Count | None = 10
    l1: Annotated[float, Field(ge=0.0)] = 0.0


class SearchRecipe(Part):
    """Bayesian optimization of layer widths and bits (Optuna); no search without trials.

    `units` has one [low, high] for each dense layer (units) and convolution (filters; not
    depthwise), in order. No network of more than `max_bops` BOPs before pruning is trained.
    """

    trials: Annotated[int, Field(ge=0)] = 0
    units: tuple[Pair, ...] = ()
    bits: tuple[Bits, ...] = ()
    max_bops: Count | None = None


class Recipe(Part):
    """One training, whole."""

    name: str = "model"
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    data: DataRecipe = DataRecipe()
    model: ModelRecipe = ModelRecipe()
    quantization: QuantizationRecipe = QuantizationRecipe()
    pruning: PruningRecipe = PruningRecipe()
    training: TrainingRecipe = TrainingRecipe()
    search: SearchRecipe = SearchRecipe()
