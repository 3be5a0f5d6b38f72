"""The trainings of a comparison: one recipe for each variant, all on the same data and folds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

FLOAT = 32
L1 = 1e-5


@dataclass(frozen=True)
class Setting:
    """What all trainings of a comparison share."""

    widths: tuple[int, ...]
    bits: tuple[int, ...]
    standardize: str
    input_bits: int
    folds: int
    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    fractions: tuple[float, ...]


@dataclass(frozen=True)
class Variant:
    """One training: iterative pruning in one precision, by one method.

    `input_bits` 0 are those of the setting; `neurons` is the share of units that are removed from
    every layer half-way through the first training.
    """

    bits: int
    rewind: bool
    normalized: bool
    l1: bool
    input_bits: int = 0
    neurons: float = 0.0

    @property
    def name(self) -> str:
        """Name of the recipe and of its files."""
        parts = (
            f"{self.bits}b",
            "ticket" if self.rewind else "tuned",
            "bn" if self.normalized else "plain",
            "l1" if self.l1 else "no-l1",
            *([f"in{self.input_bits}"] if self.input_bits else []),
            *([f"units{1 - self.neurons:.0%}".rstrip("%")] if self.neurons else []),
        )
        return "-".join(parts)

    @property
    def method(self) -> str:
        """What the table calls it."""
        how = "lottery ticket" if self.rewind else "fine-tuning"
        extras = [name for name, on in (("BN", self.normalized), ("L1", self.l1)) if on]
        extras += [f"input {self.input_bits} bits"] if self.input_bits else []
        extras += [f"{1 - self.neurons:.0%} of the units"] if self.neurons else []
        return ", ".join([how, *extras])


def variants(bits: Sequence[int], only: str = "") -> Iterator[Variant]:
    """Yield every combination, the widest bits first; `only` keeps names that contain it."""
    for b, rewind, normalized, l1 in product(bits, (False, True), (True, False), (False, True)):
        variant = Variant(b, rewind, normalized, l1)
        if only in variant.name:
            yield variant


def slimmer_variants(
    bits: Sequence[int], inputs: Sequence[int], neurons: Sequence[float], only: str = ""
) -> Iterator[Variant]:
    """Yield quantized variants with batch normalization, narrower inputs and fewer units."""
    either = (False, True)
    for b, width, share, rewind, l1 in product(bits, (0, *inputs), (0.0, *neurons), either, either):
        variant = Variant(b, rewind, normalized=True, l1=l1, input_bits=width, neurons=share)
        if (width or share) and b != FLOAT and only in variant.name:
            yield variant


def recipe(variant: Variant, setting: Setting) -> Mapping[str, Any]:
    """Return the recipe of a variant, as YAML would hold it."""
    bits = variant.bits
    normalization = "none"
    if variant.normalized:  # a float layer of its own where nothing is quantized
        normalization = "separate" if bits == FLOAT else "fold"
    return {
        "name": variant.name,
        "data": {"standardize": setting.standardize, "folds": setting.folds},
        "model": {
            "layers": [{"kind": "dense", "units": units} for units in setting.widths],
            "batch_normalization": normalization,
        },
        "quantization": {
            "weights": bits,
            "activations": bits,
            "input": FLOAT if bits == FLOAT else variant.input_bits or setting.input_bits,
            "formats": "first",
        },
        "pruning": {
            "method": "iterative",
            "fractions": list(setting.fractions),
            "rewind": "init" if variant.rewind else "none",
            **_fewer_units(variant, setting),
        },
        "training": {
            "epochs": setting.epochs,
            "early_stopping": setting.patience,
            "batch_size": setting.batch_size,
            "learning_rate": setting.learning_rate,
            "l1": L1 if variant.l1 else 0.0,
        },
    }


def _fewer_units(variant: Variant, setting: Setting) -> Mapping[str, Any]:
    if not variant.neurons:
        return {}
    return {"neurons": variant.neurons, "from_epoch": setting.epochs // 2}
