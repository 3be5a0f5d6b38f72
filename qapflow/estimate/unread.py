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
