"""Arguments of operations, as Keras 2 and Keras 3 write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qapflow.frontend.calls import Tensor
from qapflow.frontend.layers.work import Work

_KNOWN = """
    0 1 2 3 a adjoint_a adjoint_b alpha approximate axes axis b clip_value_max clip_value_min
    constant_values dtype features input input_tensor keepdims key logits mode negative_slope
    newshape pad_width paddings perm shape slice_spec squeeze_dims t tensor transpose_a transpose_b
    values x x1 x2 x_max x_min xs y
"""
KNOWN = frozenset(_KNOWN.split())
TEXTS = ("mode", "dtype")
IGNORED = frozenset({"name", "trainable", "function", "_operands", "_package"})
HINT = "replace the operation by a Keras layer, or do it outside the model"


@dataclass(frozen=True)
class Operands:
    """Arguments of an operation."""

    work: Work
    values: Mapping[str, Any]

    def get(self, position: int, *names: str, default: Any = None) -> Any:
        """Return an argument; a tensor becomes the name of its edge."""
        for key in (*names, str(position)):
            if key in self.values:
                value = self.values[key]
                if isinstance(value, str) and key not in TEXTS:
                    raise self.work.refuse(f"its argument {value!r} is not understood", HINT)
                return self._edges(value)
        return default

    def check_known(self) -> None:
        """Refuse arguments that no operation reads."""
        for name, value in self.values.items():
            if name not in KNOWN and value is not None and value is not False:
                raise self.work.refuse(f"its argument {name}={value!r} is not supported", HINT)

    def edge(self, position: int, *names: str) -> str:
        """Return an argument that must be a tensor."""
        found = self.get(position, *names)
        found = found[0] if isinstance(found, list) and len(found) == 1 else found
        if not isinstance(found, str):
            raise self.work.refuse("it is called without a tensor", HINT)
        return found

    def axes(self, edge: str, value: Any) -> tuple[int, ...]:
        """Return axes without the batch."""
        rank = len(self.work.shape(edge))
        given = [value] if isinstance(value, int) else value
        if not isinstance(given, list | tuple):
            raise self.work.refuse("it works on the batch too: no axis is given", HINT)
        axes = tuple(int(axis) + rank if axis < 0 else int(axis) - 1 for axis in given)
        if any(not 0 <= axis < rank for axis in axes):
            raise self.work.refuse(f"axis={value} is the batch, or not there", HINT)
        return axes

    def _edges(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.work.inputs[value.number]
        if isinstance(value, list | tuple):
            if any(isinstance(item, str) for item in value):
                raise self.work.refuse(f"its argument {value!r} is not understood", HINT)
            return [self._edges(item) for item in value]
        if isinstance(value, Mapping) and value.get("class_name") in ("__numpy__", "__tensor__"):
            return value["config"]["value"]
        return value


def read_operands(work: Work) -> Operands:
    """Return the arguments of an operation, of its call and of its configuration."""
    own = {key: value for key, value in work.config.items() if key not in IGNORED}
    if "function" in work.config:
        own.pop("dtype", None)  # that of the layer, not of the function
    values = {**own, **work.config.get("_operands", {})}
    values.pop("name", None)
    first = values.get("0")
    if isinstance(first, list) and len(first) == 1 and not isinstance(first[0], list):
        values["0"] = first[0]
    return Operands(work, values)
