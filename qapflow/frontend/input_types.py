"""The type of a network input.

In this order: what the user says; the numbers of the rows that all readers look up; the whole
numbers that the model itself declares; the type of
the quantizer that all readers apply to the input, so that real values encode to exactly what Keras
computes from them; 16 bits around the calibration samples; and `fixed<16,6>`, the convention of the
field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qapflow.errors import UsageError
from qapflow.frontend.model import LayerSpec, LoadOptions
from qapflow.frontend.quantizers import Quantizer
from qapflow.frontend.readers import Readers
from qapflow.ir.fixed import Fixed

DEFAULT = Fixed(True, 16, 10)
WHOLE = {
    "uint8": Fixed(False, 8, 0),
    "int8": Fixed(True, 8, 0),
    "uint16": Fixed(False, 16, 0),
    "bool": Fixed(False, 1, 0),
}


@dataclass(frozen=True)
class InputType:
    """A type and what to tell about the choice."""

    type: Fixed
    notes: tuple[str, ...] = ()


def choose_input_type(layer: LayerSpec, options: LoadOptions, readers: Readers) -> InputType:
    """Choose the type of an input by the rule above.

    Raises:
        UsageError: a type with a fraction for an input of whole numbers.
    """
    given = options.input_types.get(layer.name, options.input_types.get(""))
    dtype = str(layer.config.get("dtype") or "float32")
    rows = [_rows(reader) for reader in readers.readers[layer.name]]
    if given is None and rows and min(rows) > 0:
        kind = Fixed(False, max((max(rows) - 1).bit_length(), 1), 0)
        return InputType(kind, (f"input {layer.name!r} has {kind}: it numbers rows of a table",))
    if not dtype.startswith(("int", "uint", "bool")):
        return _choose_real(layer, options, readers) if given is None else InputType(given)
    if given is None:
        kind = WHOLE.get(dtype, Fixed(True, 16, 0))
        return InputType(kind, (f"input {layer.name!r} has {kind}, as its dtype is {dtype}",))
    if given.frac > 0:
        raise UsageError(
            f"the type {given} has a fraction, but the model takes {dtype}",
            f"input {layer.name!r}",
            "give it a type of whole numbers, such as fixed<16,16>",
        )
    return InputType(given)


def _rows(layer: LayerSpec) -> int:
    """Return how many rows an Embedding has, 0 for other layers."""
    rows = layer.config.get("input_dim") if layer.class_name == "Embedding" else 0
    return rows if isinstance(rows, int) else 0


def _choose_real(layer: LayerSpec, options: LoadOptions, readers: Readers) -> InputType:
    kinds = {_grid(quantizer) for quantizer in readers.quantizers(layer.name)}
    if len(kinds) == 1 and (kind := kinds.pop()) is not None:
        return InputType(kind, (f"input {layer.name!r} has the type of its quantizer: {kind}",))
    samples = options.calibration.get(layer.name, options.calibration.get(""))
    if samples is not None and samples.size:
        peak = float(np.abs(samples).max())
        integer = max(int(np.ceil(np.log2(peak * (1 + 2**-12)))) if peak else 0, 0)
        signed = bool(samples.min() < 0)
        chosen = Fixed(signed, 16, 16 - signed - integer)
        why = f"input {layer.name!r} has {chosen}, by the calibration samples"
        return InputType(chosen, (why,))
    return InputType(DEFAULT, (f"input {layer.name!r} has fixed<16,6> by default (--input-type)",))


def _grid(quantizer: Quantizer | None) -> Fixed | None:
    """Type of the codes that a plain quantizer can give; symmetric ones lack the lowest code."""
    if quantizer is None or quantizer.kind != "quantized_bits":
        return None
    keep, bits = bool(quantizer["keep_negative"]), int(quantizer["bits"])
    alpha = quantizer["alpha"]
    if quantizer["symmetric"] or bits - keep < 1 or alpha not in (None, 1, 1.0):
        return None
    return Fixed(keep, bits, bits - keep - int(quantizer["integer"]))
