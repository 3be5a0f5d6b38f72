"""Classes that are part of no package, but have one known meaning wherever they occur.

BinaryDense and TernaryDense are those of the Keras port of BinaryNet (arXiv 1602.02830) and of
ternary weights (arXiv 1608.06902); NodeEdgeProjection is that of interaction networks for jets
(arXiv 2402.01876). A note says that the meaning was taken from the name.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.bias import layer_bias
from qapflow.frontend.layers.work import Work, number
from qapflow.ir.ops import Dense, Pad, Reduce, Reshape, Upsample

F32 = NDArray[np.float32]


def _tell(work: Work, meaning: str) -> None:
    work.notes.append(f"{work.spec.name}: {work.spec.class_name} taken as {meaning}")


def binary_dense(work: Work) -> str:
    """Translate BinaryDense: H where the weight is positive, else -H."""
    _tell(work, "BinaryNet's, weights H and -H")

    def binarize(scaled: F32) -> F32:
        half = np.clip((scaled + np.float32(1)) / np.float32(2), 0, 1)
        return np.asarray(2 * np.rint(half) - 1, np.float32)

    kernel, scale = _scaled(work)
    return _product(work, scale * binarize(kernel / scale))


def ternary_dense(work: Work) -> str:
    """Translate TernaryDense: H above H / 2, -H from -H / 2 down, else 0."""
    _tell(work, "the layer with weights H, 0 and -H")
    kernel, scale = _scaled(work)
    scaled = kernel / scale
    steps = np.where(scaled > 0.5, 1, np.where(scaled <= -0.5, -1, 0))
    return _product(work, scale * steps.astype(np.float32))


def _scaled(work: Work) -> tuple[F32, np.float32]:
    scale = np.float32(number(work.config.get("H"), 1.0))
    if not scale > 0:
        raise work.refuse(f"H={scale} is not positive", "save the model again")
    return work.array("kernel").astype(np.float32), scale


def _product(work: Work, kernel: F32) -> str:
    weight = work.fold_kernel(kernel, "")
    return work.finish(work.add(Dense(weight, layer_bias(work, weight, work.input))))


def node_edge_projection(work: Work) -> str:
    """Translate NodeEdgeProjection: nodes to the edges of a full graph, or edges summed at nodes.

    The edges are all pairs (receiver, sender) of different nodes in order. Multiplying by the
    adjacency matrix that is stored with the layer only moves and adds.
    """
    rows, channels = work.shape()
    receiving = bool(work.config.get("receiving", True))
    to_edges = bool(work.config.get("node_to_edge", True))
    nodes = rows if to_edges else (1 + round((1 + 4 * rows) ** 0.5)) // 2
    edges = nodes * (nodes - 1)
    if nodes < 2 or (not to_edges and rows != edges):
        raise work.misfit(f"{rows} are not the edges of a full graph")
    wanted = np.zeros((edges, nodes))
    for index, pair in enumerate(permutations(range(nodes), 2)):
        wanted[index, pair[not receiving]] = 1
    stored = work.array("adjacency_matrix")
    if not np.array_equal(stored.reshape(stored.shape[1:]), wanted if to_edges else wanted.T):
        raise work.refuse("its adjacency matrix is not that of a full graph")
    _tell(work, "that of interaction networks")
    if to_edges:
        made = _receivers(work, nodes) if receiving else _senders(work, nodes, channels)
    elif receiving:
        made = work.add(Reshape((nodes, nodes - 1, channels)))
        made = work.add(Reduce("sum", (1,)), made)
    else:
        made = _sum_at_senders(work, nodes, channels)
    return made


def _receivers(work: Work, nodes: int) -> str:
    return work.add(Upsample((nodes - 1,)))


def _senders(work: Work, nodes: int, channels: int) -> str:
    """All nodes for each node, without the diagonal: every (nodes + 1)-th of the rows in a line."""
    edge = work.add(Reshape((1, nodes, channels)), suffix="all")
    edge = work.add(Upsample((nodes, 1)), edge, suffix="all")
    edge = work.add(Reshape((nodes * nodes, channels)), edge, suffix="all")
    edge = work.add(Pad(((-1, 0), (0, 0))), edge, suffix="others")
    edge = work.add(Reshape((nodes - 1, nodes + 1, channels)), edge, suffix="others")
    edge = work.add(Pad(((0, 0), (0, -1), (0, 0))), edge, suffix="others")
    return work.add(Reshape((nodes * (nodes - 1), channels)), edge)


def _sum_at_senders(work: Work, nodes: int, channels: int) -> str:
    """Put zeros back on the diagonal and sum over receivers."""
    edge = work.add(Reshape((nodes - 1, nodes, channels)), suffix="others")
    edge = work.add(Pad(((0, 0), (0, 1), (0, 0))), edge, suffix="all")
    edge = work.add(Reshape((nodes * nodes - 1, channels)), edge, suffix="all")
    edge = work.add(Pad(((1, 0), (0, 0))), edge, suffix="all")
    edge = work.add(Reshape((nodes, nodes, channels)), edge, suffix="all")
    return work.add(Reduce("sum", (0,)), edge)
