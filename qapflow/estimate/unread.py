"""Outputs of a layer that no later layer reads: the tools leave out all that makes them."""

from __future__ import annotations

import numpy as np

from qapflow.estimate.kernel import Mask
from qapflow.ir.net import Net, Node
from qapflow.ir.ops import Affine, Clip, Conv, Dense, Leaky, Quantize, Table, Threshold

_ELEMENTWISE = (Affine, Clip, Leaky, Quantize, Table, Threshold)


def unread_outputs(net: Net, node: Node) -> Mask:
    """Return which channels of a node [channels] meet only zero weights; None if all are read."""
    channels = node.out.shape[-1] if node.out.shape else 1
    mask = np.ones(channels, bool)
    if node.name in net.outputs or not net.consumers[node.name]:
        return None
    for reader in net.consumers[node.name]:
        found = _unread_by(net, reader, channels)
        if found is None:
            return None
        mask &= found
    return mask if mask.any() else None


def _unread_by(net: Net, reader: Node, channels: int) -> Mask:
    op = reader.op
    if isinstance(op, Dense) and op.weight.codes.shape[0] == channels:
        return np.asarray(~op.weight.codes.astype(bool).any(axis=1))
    if isinstance(op, Conv) and op.groups == 1:
        codes = op.weight.codes.astype(bool)
        return np.asarray(~codes.any(axis=(*range(codes.ndim - 2), codes.ndim - 1)))
    if isinstance(op, _ELEMENTWISE) and len(reader.inputs) == 1:
        return unread_outputs(net, reader) if reader.out.shape[-1:] == (channels,) else None
    return None


def live_share(net: Net, node: Node) -> float:
    """Return the share of a node's channels that are read, and are no constants.

    An output of a layer whose weights are all zero is its bias: the tools compute what follows.
    """
    channels = node.out.shape[-1] if node.out.shape else 1
    unread, constant = unread_outputs(net, node), _constant(net, node, channels)
    dead = np.zeros(channels, bool)
    for mask in (unread, constant):
        dead = dead if mask is None else dead | mask
    return float(1 - dead.mean())


def _constant(net: Net, node: Node, channels: int) -> Mask:
    """Return which channels of a node [channels] depend on no input; None if all may do."""
    while isinstance(node.op, _ELEMENTWISE) and len(node.inputs) == 1:
        node = net.by_name[node.inputs[0]]
    op = node.op
    if not isinstance(op, Dense) or op.weight.codes.shape[1:] != (channels,):
        return None
    return np.asarray(~op.weight.codes.astype(bool).any(axis=0))
