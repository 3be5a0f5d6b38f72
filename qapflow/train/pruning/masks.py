"""Masks of weights: beside the layers, not in them, and inside every forward pass.

While masks are attached, a layer computes with `mask * kernel` in place of its kernel, whatever
quantizes or folds that kernel afterwards. A pruned weight therefore gets no gradient; its value and
the optimizer's moments become zero when its mask does, and stay zero, also within one execution of
many steps (`steps_per_execution`). Nothing of this is saved with a model: its kernels hold zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.train.leaves import named_leaves
from qapflow.train.libraries import load_keras
from qapflow.train.quantization.switching import retrace

Array = NDArray[Any]

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel")
QUANTIZERS = {
    "kernel": "kernel_quantizer_internal",
    "depthwise_kernel": "depthwise_quantizer_internal",
    "pointwise_kernel": "pointwise_quantizer_internal",
    "recurrent_kernel": "recurrent_quantizer_internal",
}
# Scales that start above zero and divide: without a gradient they move no weight.
KEPT_SLOTS = ("accumulator",)


@dataclass(frozen=True)
class MaskedKernel:
    """A kernel and its mask: a variable of zeros and ones of the kernel's shape.

    `layer` computes with it: of a recurrent layer the cell. `owner` is the name of the layer.
    """

    layer: Any
    owner: str
    attribute: str
    mask: Any

    @property
    def name(self) -> str:
        """The layer's name, with the attribute where a layer has several kernels."""
        plain = self.attribute == "kernel"
        return self.owner if plain else f"{self.owner}.{self.attribute}"

    @property
    def variable(self) -> Any:
        """The trained float kernel."""
        return vars(self.layer)[self.attribute]


Masks = tuple[MaskedKernel, ...]


def attach_masks(model: Any, layers: Sequence[str] = ()) -> Masks:
    """Give the kernels of `layers` masks of ones, or find those they have already.

    Without names: every kernel but those of depthwise convolutions, which hold few weights and
    which tensorflow-model-optimization leaves alone too. A model with new masks is traced anew.

    Raises:
        UsageError: a layer does not exist or holds no kernel, or its quantizer turns zero into
            another value (binary, bipolar, powers of two), so that pruning would be undone.
    """
    chosen = list(_choose(model, layers))
    for name, layer, attribute in chosen:
        _refuse_lost_zeros(name, layer, attribute)
    before = len(attached_masks(model))
    masks = tuple(_attach(*one) for one in chosen)
    if len(attached_masks(model)) > before:
        retrace(model)
    return masks


def attached_masks(model: Any) -> Masks:
    """Return all masks that a model has."""
    return tuple(
        item
        for layer in named_leaves(model).values()
        for item in vars(layer).get("_qapflow_masks", {}).values()
    )


def detach_masks(model: Any) -> None:
    """Write masks into the kernels as zeros and give every layer its own `call` back."""
    for layer in named_leaves(model).values():
        for item in vars(layer).pop("_qapflow_masks", {}).values():
            item.variable.assign(item.variable * item.mask)
            vars(layer).pop("call", None)
    retrace(model)


def set_masks(masks: Masks, values: Sequence[Array], optimizer: Any = None) -> None:
    """Set masks (arrays of zeros and ones) and zero what they prune: kernels and moments.

    Shapes are those of the kernels. `optimizer` is the one that trains them, if there is one yet.
    """
    for item, value in zip(masks, values, strict=True):
        item.mask.assign(np.asarray(value, np.float32))
        item.variable.assign(item.variable * item.mask)
        for slot in _slots(optimizer, item.variable):
            slot.assign(slot * item.mask)


def read_masks(masks: Masks) -> list[Array]:
    """Return the masks as arrays."""
    return [np.asarray(item.mask) for item in masks]


def quantized_kernel(item: MaskedKernel) -> Array:
    """Return the kernel as the forward pass uses it: masked, then quantized."""
    values = item.variable * item.mask
    own = getattr(item.layer, "quantized_kernel", None)
    if callable(own):
        return np.asarray(own())
    quantizer = getattr(item.layer, QUANTIZERS[item.attribute], None)
    return np.asarray(quantizer(values) if callable(quantizer) else values)


def sparsity(masks: Masks) -> dict[str, float]:
    """Share of zeros by layer and over all (key ""), counted on the quantized weights."""
    kernels = {item.name: quantized_kernel(item) for item in masks}
    zeros = {name: int(np.sum(kernel == 0)) for name, kernel in kernels.items()}
    total = sum(kernel.size for kernel in kernels.values())
    shares = {name: zeros[name] / kernel.size for name, kernel in kernels.items()}
    return {**shares, "": sum(zeros.values()) / max(total, 1)}


def _choose(model: Any, names: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    leaves = named_leaves(model)
    having = {
        owner: [name for name in KERNELS if vars(layer).get(name) is not None]
        for owner, layer in leaves.items()
    }
    for name in names:
        if not having.get(name):
            known = ", ".join(name for name, kernels in having.items() if kernels)
            what = "holds no kernel" if name in having else "does not exist"
            raise UsageError(
                f"the layer {name!r} {what}", at="pruning.layers", hint=f"layers are {known}"
            )
    for owner, layer in leaves.items():
        if not names or owner in names:
            for kernel in having[owner]:
                if names or kernel != "depthwise_kernel":
                    yield owner, layer, kernel


def _refuse_lost_zeros(name: str, layer: Any, attribute: str) -> None:
    quantizer = getattr(layer, QUANTIZERS[attribute], None)
    if not callable(quantizer):
        return
    shape = vars(layer)[attribute].shape
    outcome = np.asarray(quantizer(load_keras().tf.zeros(shape)))
    if np.any(outcome != 0):
        kind = getattr(quantizer, "__name__", type(quantizer).__name__)
        raise UsageError(
            f"{kind} turns a pruned weight into {outcome.flat[np.argmax(outcome != 0)]:g}",
            at=f"layer {name}",
            hint="quantized_bits and ternary keep zeros; or leave the layer out of pruning.layers",
        )


def _attach(owner: str, layer: Any, attribute: str) -> MaskedKernel:
    tf = load_keras().tf
    attached: dict[str, MaskedKernel] = vars(layer).setdefault("_qapflow_masks", {})
    if not attached:
        vars(layer)["call"] = _masking_call(layer, layer.call, attached)
    if attribute not in attached:
        kernel = vars(layer)[attribute]
        mask = tf.Variable(np.ones(kernel.shape, np.float32), trainable=False)
        attached[attribute] = MaskedKernel(layer, owner, attribute, mask)
    return attached[attribute]


def _masking_call(
    layer: Any, call: Callable[..., Any], attached: dict[str, MaskedKernel]
) -> Callable[..., Any]:
    """Return a `call` during which the layer's kernels are masked tensors.

    The attributes are exchanged in the layer's dictionary: its own __setattr__ would take the
    tensors for weights.
    """
    tf = load_keras().tf

    def masked_call(*arguments: Any, **options: Any) -> Any:
        own = {name: vars(layer)[name] for name in attached}
        for name, item in attached.items():
            vars(layer)[name] = own[name] * tf.cast(item.mask, own[name].dtype)
        try:
            return call(*arguments, **options)
        finally:
            vars(layer).update(own)

    return masked_call


def _slots(optimizer: Any, variable: Any) -> list[Any]:
    """Every value of the variable's shape that an optimizer keeps about it."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if hasattr(inner, "get_slot_names"):  # tf_keras.optimizers.legacy
        named = [(name, inner.get_slot(variable, name)) for name in inner.get_slot_names()]
    elif hasattr(inner, "_index_dict"):
        place = inner._index_dict.get(inner._var_key(variable))
        count = len(inner._index_dict)
        lists = [(k, v) for k, v in vars(inner).items() if isinstance(v, list) and len(v) == count]
        named = [(name, values[place]) for name, values in lists] if place is not None else []
    else:
        named = []
    return [
        slot
        for name, slot in named
        if getattr(slot, "shape", None) == variable.shape
        and hasattr(slot, "assign")
        and not name.strip("_").startswith(KEPT_SLOTS)
    ]
