"""EinsumDense, where it is a dense layer over the last axes."""

from __future__ import annotations

from math import prod

import numpy as np

from qapflow.frontend.layers.bias import fold_bias
from qapflow.frontend.layers.product import reshape
from qapflow.frontend.layers.work import Work
from qapflow.ir.ops import Dense

HINT = "write it as a Dense layer, or as one over the last axes such as 'abc,cd->abd'"


def einsum_dense(work: Work) -> str:
    """Translate EinsumDense: the last axes of the input meet the first of the kernel."""
    equation = str(work.config.get("equation")).replace(" ", "")
    left, arrow, out = equation.partition("->")
    data, comma, kernel = left.partition(",")
    if not arrow or not comma:
        raise work.refuse(f"its equation {equation!r} is not understood", HINT)
    data, out = data.replace("...", ""), out.replace("...", "")
    summed = "".join(letter for letter in kernel if letter not in out)
    made = kernel[len(summed) :]
    kept = data[: len(data) - len(summed)]
    if not summed or kernel != summed + made or data != kept + summed or out != kept + made:
        raise work.refuse(f"its equation {equation!r} is not supported", HINT)
    weights = work.array("kernel")
    shape, size = work.shape(), prod(weights.shape[: len(summed)])
    if weights.ndim != len(kernel) or shape[-len(summed) :] != weights.shape[: len(summed)]:
        raise work.misfit(f"kernel {weights.shape} does not fit input {shape}")
    rows, ends = shape[: -len(summed)], weights.shape[len(summed) :]
    edge = reshape(work, work.input, (*rows, size))
    weight = work.fold_kernel(weights.reshape(size, -1), "")
    bias = None
    if axes := work.config.get("bias_axes"):
        if any(letter not in made for letter in axes):
            raise work.refuse(f"bias_axes={axes!r} is not supported", "give it the new axes only")
        values = np.einsum(f"{axes}->{''.join(x for x in made if x in axes)}", work.array("bias"))
        places = [n if x in axes else 1 for x, n in zip(made, ends, strict=True)]
        values = np.broadcast_to(values.reshape(places), ends).ravel()
        bias = fold_bias(work, values, weight, edge)
    edge = reshape(work, work.add(Dense(weight, bias), edge), (*rows, *ends))
    return work.finish(edge)
