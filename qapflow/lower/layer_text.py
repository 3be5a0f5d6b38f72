"""What hls4ml made of one layer: compared with what was asked, then taken as text."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from qapflow.errors import CheckFailed
from qapflow.ir.fixed import Codes, Fixed
from qapflow.lower.program import Layer, Step

# Above, g++ takes long for the assignments: 195,000 in ten layers took it 171 s and 1.6 GB.
PRINTED_WINDOW_VALUES = 2_000
WINDOW_HEADER = "nnet_utils/qapflow_window.h"


@dataclass(frozen=True, eq=False)
class Weights:
    """One weight array as the kernel reads it."""

    name: str
    c_type: str
    codes: Codes
    type: Fixed


@dataclass(frozen=True, eq=False)
class LayerText:
    """What hls4ml prints for one layer."""

    index: int
    config: str
    call: str
    includes: tuple[str, ...]
    typedefs: tuple[str, ...]
    weights: tuple[Weights, ...]
    generated: tuple[str, ...]


def check_layer(node: Any, step: Step, layer: Layer) -> None:
    """Compare what hls4ml holds with what was asked.

    Raises:
        CheckFailed: a type, the strategy or the reuse factor is another one.
    """
    weight, bias = node.weights["weight"], node.weights["bias"]
    facts = [
        ("accumulator type", node.get_attr("accum_t").precision, layer.accumulator),
        ("output type", node.get_output_variable().type.precision, layer.accumulator),
        ("weight type", weight.type.precision, layer.weight),
        ("bias type", bias.type.precision, layer.bias or Fixed(False, 1, 0)),
    ]
    for what, precision, wanted in facts:
        modes = (precision.rounding_mode.name, precision.saturation_mode.name)
        found = Fixed(precision.signed, precision.width, precision.width - precision.integer)
        if found != wanted or modes != ("TRN", "WRAP"):
            raise CheckFailed(f"hls4ml changed the {what} from {wanted} to {found}", step.node)
    built = (node.get_attr("strategy"), int(node.get_attr("reuse_factor")))
    if built != (layer.strategy, layer.reuse_factor):
        raise CheckFailed(
            f"hls4ml changed {layer.strategy} with reuse factor {layer.reuse_factor} to "
            f"{built[0]} with {built[1]}",
            step.node,
            f"set reuse factor {built[1]} for this layer",
        )


def print_layer(node: Any) -> LayerText:
    """Take configuration, call and weights of one layer of hls4ml's graph."""
    wires = {node.get_output_variable().type.name}
    kinds = node.get_layer_precision()
    arrays = []
    for variable in node.get_weights():
        precision = variable.type.precision
        frac = precision.width - precision.integer
        kind = Fixed(precision.signed, precision.width, frac)
        codes = np.ldexp(np.asarray(variable.data, np.float64), frac).reshape(-1)
        arrays.append(Weights(variable.name, variable.type.name, codes.astype(np.int64), kind))
    config, includes = node.get_attr("config_cpp"), tuple(node.get_attr("include_header"))
    printed = f"nnet::fill_buffer_{node.index}<"
    if not node.code and printed in config:
        form = "2d" if "in_height" in node.attributes else "1d"
        config = config.replace(printed, f"qapflow::window_{form}<")
        includes += (WINDOW_HEADER,)
    return LayerText(
        index=node.index,
        config=config,
        call=node.get_attr("function_cpp"),
        includes=includes,
        typedefs=tuple(kinds[name].definition_cpp() for name in kinds if name not in wires),
        weights=tuple(arrays),
        generated=tuple(str(code) for code in node.code.values()),
    )


def window_values(node: Any) -> int:
    """Return how many inputs all positions of a convolution's kernel read."""
    sizes = ("out_height", "out_width", "filt_height", "filt_width", "n_chan")
    return prod(int(node.get_attr(name, 1)) for name in sizes)
