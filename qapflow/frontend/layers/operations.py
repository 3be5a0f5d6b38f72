"""Operations that Keras records between layers, such as `x + y` or `x[:, 1:]`.

Keras 2 writes the name of a TensorFlow function, Keras 3 a class of `keras.ops`; arguments stand
in the call. Each is brought to one form here: operands by position or name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qapflow.frontend.layers.arithmetic import MERGES, combine, divided
from qapflow.frontend.layers.mean import divide
from qapflow.frontend.layers.operands import HINT, Operands, read_operands
from qapflow.frontend.layers.product import permute, reshape
from qapflow.frontend.layers.rearrange import concatenate, flip, item, pad, resized, stack
from qapflow.frontend.layers.work import Handler, Work
from qapflow.ir.ops import Affine, Clip, Const, MatMul, Merge, Reduce

Operation = Callable[[Work, Operands], str]


def tensorflow(work: Work) -> str:
    """Translate TFOpLambda and SlicingOpLambda."""
    name = str(work.config.get("function"))
    if name not in TENSORFLOW:
        raise work.refuse(f"the operation {name} is not supported", HINT)
    return _run(work, TENSORFLOW[name])


def keras_operation(operation: Operation) -> Handler:
    """Return the handler of a class of `keras.ops`."""
    return lambda work: _run(work, operation)


def _run(work: Work, operation: Operation) -> str:
    given = read_operands(work)
    given.check_known()
    return operation(work, given)


def _binary(kind: str) -> Operation:
    return lambda work, given: combine(work, kind, given.get(0, "x", "x1"), given.get(1, "y", "x2"))


def _divide(work: Work, given: Operands) -> str:
    return divided(work, given.edge(0, "x", "x1"), given.get(1, "y", "x2"))


def _activation(name: str, *settings: str) -> Operation:
    def run(work: Work, given: Operands) -> str:
        edge = given.edge(0, "features", "x", "logits", "input")
        values = {key: given.get(99, key) for key in settings}
        found = {key: value for key, value in values.items() if value is not None}
        return work.keras_activate(edge, name, found)

    return run


def _softmax(work: Work, given: Operands) -> str:
    edge = given.edge(0, "logits", "x")
    rank = len(work.shape(edge))
    axis = given.get(1, "axis", default=-1)
    if axis not in (None, -1, rank):
        raise work.refuse(f"softmax over axis {axis} is not supported", "take the last axis")
    return work.keras_activate(edge, "softmax", {})


def _reduction(kind: str) -> Operation:
    def run(work: Work, given: Operands) -> str:
        edge = given.edge(0, "input_tensor", "x")
        axes = given.axes(edge, given.get(1, "axis"))
        keep = bool(given.get(2, "keepdims", default=False))
        shape = work.shape(edge)
        if kind == "min":
            low = work.add(Reduce("max", axes, keep), _negative(work, edge), suffix="max")
            return _negative(work, low)
        if kind == "max":
            return work.add(Reduce("max", axes, keep), edge)
        total = work.add(Reduce("sum", axes, keep), edge)
        count = int(np.prod([shape[axis] for axis in axes]))
        return divide(work, total, np.asarray(count)) if kind == "mean" else total

    return run


def _negative(work: Work, edge: str) -> str:
    return work.add(Affine(Const.exact(-1.0)), edge, suffix="negative")


def _negate(work: Work, given: Operands) -> str:
    return _negative(work, given.edge(0, "x"))


def _absolute(work: Work, given: Operands) -> str:
    edge = given.edge(0, "x")
    return work.add(Merge("max"), edge, _negative(work, edge))


def _square(work: Work, given: Operands) -> str:
    edge = given.edge(0, "x")
    square = work.add(Merge("mul"), edge, edge, suffix="square")
    return work.add(Clip(Const.exact(0.0), None), square)


def _power(work: Work, given: Operands) -> str:
    exponent = given.get(1, "y", "x2")
    if exponent not in (1, 2):
        raise work.refuse(f"powers of {exponent} are not supported", "use powers of 2")
    return _square(work, given) if exponent == 2 else given.edge(0, "x", "x1")


def _clip(work: Work, given: Operands) -> str:
    low = given.get(1, "clip_value_min", "x_min")
    high = given.get(2, "clip_value_max", "x_max")
    if not all(isinstance(end, int | float) for end in (low, high)) or low > high:
        raise work.refuse(f"clipping to {low!r} and {high!r} is not supported", "use two numbers")
    ends = [Const.exact(float(np.float32(end))) for end in (low, high)]
    return work.add(Clip(*ends), given.edge(0, "t", "x"))


def _matmul(work: Work, given: Operands) -> str:
    edges = [given.edge(0, "a", "x1"), given.edge(1, "b", "x2")]
    for side, keys in enumerate((("transpose_a", "adjoint_a"), ("transpose_b", "adjoint_b"))):
        rank = len(work.shape(edges[side]))
        if rank < 2:
            raise work.misfit("it multiplies across the batch", "use Dot")
        if any(given.get(99, key) for key in keys):
            order = (*range(rank - 2), rank - 1, rank - 2)
            edges[side] = permute(work, edges[side], order)
    return work.add(MatMul(), *edges)


def _transpose(work: Work, given: Operands) -> str:
    order = given.get(1, "perm", "axes")
    if not isinstance(order, list) or not order or order[0] != 0:
        raise work.refuse(f"it moves the batch: {order}", "leave axis 0 where it is")
    return permute(work, given.edge(0, "a", "x"), tuple(int(axis) - 1 for axis in order[1:]))


def _reshape(work: Work, given: Operands) -> str:
    edge = given.edge(0, "tensor", "x")
    return reshape(work, edge, resized(work, edge, given.get(1, "shape", "newshape")))


def _expand(work: Work, given: Operands) -> str:
    edge, axis = given.edge(0, "input", "x"), given.get(1, "axis")
    shape = work.shape(edge)
    place = int(axis) + len(shape) + 1 if axis < 0 else int(axis) - 1
    if not 0 <= place <= len(shape):
        raise work.refuse(f"axis={axis} is before the batch", HINT)
    return reshape(work, edge, (*shape[:place], 1, *shape[place:]))


def _squeeze(work: Work, given: Operands) -> str:
    edge = given.edge(0, "input", "x")
    axes = given.axes(edge, given.get(1, "axis", "squeeze_dims"))
    shape = work.shape(edge)
    if any(shape[axis] != 1 for axis in axes):
        raise work.misfit(f"axes {axes} of {shape} are not 1")
    return reshape(work, edge, tuple(n for k, n in enumerate(shape) if k not in axes))


def _item(work: Work, given: Operands) -> str:
    return item(work, given.edge(0, "tensor", "x"), given.get(1, "slice_spec", "key"))


def _join(function: Callable[[Work, list[str], Any], str]) -> Operation:
    def run(work: Work, given: Operands) -> str:
        edges = given.get(0, "values", "xs", "x")
        edges = [edges] if isinstance(edges, str) else edges
        if not isinstance(edges, list) or not all(isinstance(edge, str) for edge in edges):
            raise work.refuse("it joins constants", HINT)
        return function(work, edges, given.get(1, "axis", default=0))

    return run


def _pad(work: Work, given: Operands) -> str:
    mode = str(given.get(2, "mode", default="constant")).lower()
    value = given.get(3, "constant_values", default=0)
    if mode != "constant" or value not in (0, None):
        raise work.refuse(f"padding with {mode} {value} is not supported", "pad with zeros")
    return pad(work, given.edge(0, "tensor", "x"), given.get(1, "paddings", "pad_width"))


def _flip(work: Work, given: Operands) -> str:
    edge = given.edge(0, "tensor", "x")
    return flip(work, edge, given.axes(edge, given.get(1, "axis")))


def _keep(work: Work, given: Operands) -> str:
    if given.get(1, "dtype", default="float32") not in ("float32", None):
        raise work.refuse(f"a cast to {given.get(1, 'dtype')} is not supported", HINT)
    return given.edge(0, "x", "input", "tensor")


ARITHMETIC: Mapping[str, Operation] = {
    **{name: _binary(name) for name in MERGES},
    "truediv": _divide,
}
_ELEMENTWISE = {
    "relu": "relu", "relu6": "relu6", "elu": "elu", "selu": "selu", "sigmoid": "sigmoid",
    "tanh": "tanh", "softplus": "softplus", "softsign": "softsign", "silu": "silu",
    "swish": "swish", "exp": "exponential", "hard_sigmoid": "hard_sigmoid", "mish": "mish",
}  # fmt: skip
TENSORFLOW: Mapping[str, Operation] = {
    "__operators__.add": ARITHMETIC["add"],
    "math.add": ARITHMETIC["add"],
    "math.subtract": ARITHMETIC["subtract"],
    "math.multiply": ARITHMETIC["multiply"],
    "math.maximum": ARITHMETIC["maximum"],
    "math.minimum": ARITHMETIC["minimum"],
    "math.truediv": _divide,
    "math.divide": _divide,
    **{f"nn.{name}": _activation(keras) for name, keras in _ELEMENTWISE.items()},
    **{f"math.{name}": _activation(keras) for name, keras in _ELEMENTWISE.items()},
    "nn.leaky_relu": _activation("leaky_relu", "alpha"),
    "nn.gelu": _activation("gelu", "approximate"),
    "nn.softmax": _softmax,
    **{f"math.reduce_{kind}": _reduction(kind) for kind in ("sum", "mean", "max", "min")},
    "math.negative": _negate,
    "math.abs": _absolute,
    "math.square": _square,
    "math.pow": _power,
    "clip_by_value": _clip,
    "linalg.matmul": _matmul,
    "transpose": _transpose,
    "compat.v1.transpose": _transpose,
    "reshape": _reshape,
    "expand_dims": _expand,
    "squeeze": _squeeze,
    "compat.v1.squeeze": _squeeze,
    "__operators__.getitem": _item,
    "concat": _join(concatenate),
    "stack": _join(stack),
    "pad": _pad,
    "compat.v1.pad": _pad,
    "reverse": _flip,
    "cast": _keep,
    "identity": _keep,
    "stop_gradient": _keep,
}
_KERAS: Mapping[str, Operation] = {
    "Add": ARITHMETIC["add"],
    "Subtract": ARITHMETIC["subtract"],
    "Multiply": ARITHMETIC["multiply"],
    "Maximum": ARITHMETIC["maximum"],
    "Minimum": ARITHMETIC["minimum"],
    "TrueDivide": _divide,
    "Divide": _divide,
    "Relu": _activation("relu"),
    "Relu6": _activation("relu6"),
    "Elu": _activation("elu", "alpha"),
    "Selu": _activation("selu"),
    "Sigmoid": _activation("sigmoid"),
    "Tanh": _activation("tanh"),
    "Softplus": _activation("softplus"),
    "Softsign": _activation("softsign"),
    "Silu": _activation("silu"),
    "Exp": _activation("exponential"),
    "HardSigmoid": _activation("hard_sigmoid"),
    "LeakyRelu": _activation("leaky_relu", "negative_slope"),
    "Gelu": _activation("gelu", "approximate"),
    "Softmax": _softmax,
    "Sum": _reduction("sum"),
    "Mean": _reduction("mean"),
    "Max": _reduction("max"),
    "Min": _reduction("min"),
    "Negative": _negate,
    "Absolute": _absolute,
    "Abs": _absolute,
    "Square": _square,
    "Power": _power,
    "Clip": _clip,
    "Matmul": _matmul,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "ExpandDims": _expand,
    "Squeeze": _squeeze,
    "GetItem": _item,
    "Concatenate": _join(concatenate),
    "Stack": _join(stack),
    "Pad": _pad,
    "Flip": _flip,
    "Cast": _keep,
    "Copy": _keep,
    "StopGradient": _keep,
}
KERAS: Mapping[str, Handler] = {f"ops>{k}": keras_operation(v) for k, v in _KERAS.items()}
