"""How well a network tells classes apart, and how much of its states it uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolMissing, UsageError

Output = Literal["logits", "softmax", "sigmoid"]
Real = NDArray[np.float64]
Numbers = NDArray[Any]


@dataclass(frozen=True)
class Scores:
    """Figures of one set of samples. A class that does not occur there (or alone) has None.

    `auc` and `background_efficiency` are means over the classes that have a figure.
    """

    samples: int
    accuracy: float
    auc: float | None
    auc_by_class: Mapping[str, float | None]
    background_efficiency: float | None
    background_efficiency_by_class: Mapping[str, float | None]


@dataclass(frozen=True, eq=False)
class States:
    """Which neurons of a layer were on: one row of packed bits for each observation."""

    units: int
    packed: NDArray[np.uint8]


@dataclass(frozen=True)
class NeuralEfficiency:
    """Efficiency of each layer and of the network, with what it was counted on.

    `entropy_bits` of a layer cannot exceed log2 of its `observations`: figures of different
    numbers of samples must not be compared.
    """

    samples: int
    observations: Mapping[str, int]
    entropy_bits: Mapping[str, float]
    by_layer: Mapping[str, float]
    network: float


def measure(
    outputs: Numbers, labels: Numbers, classes: Sequence[str], output: Output = "logits"
) -> Scores:
    """Return every figure of outputs [n, classes] (two classes: [n] or [n, 1]) and labels [n].

    Raises:
        UsageError: outputs that are NaN, or do not fit labels and classes.
        ToolMissing: scikit-learn is not installed.
    """
    ranks = class_scores(outputs, len(classes), output)
    _check_labels(labels, len(ranks), len(classes))
    auc = {name: area_under_curve(ranks[:, k], labels == k) for k, name in enumerate(classes)}
    background = {
        name: background_efficiency(ranks[:, k], labels == k) for k, name in enumerate(classes)
    }
    return Scores(
        samples=len(labels),
        accuracy=float(np.mean(predicted_classes(outputs, len(classes), output) == labels)),
        auc=_mean(auc.values()),
        auc_by_class=auc,
        background_efficiency=_mean(background.values()),
        background_efficiency_by_class=background,
    )


def predicted_classes(outputs: Numbers, classes: int, output: Output = "logits") -> Numbers:
    """Return the most probable class of each sample [n]; of equal ones the first, as Keras does."""
    rows = _rows(outputs, classes)
    if classes == 2 and rows.shape[1] == 1:
        return np.asarray(rows[:, 0] > (0.5 if output == "sigmoid" else 0.0)).astype(np.int64)
    return np.asarray(np.argmax(rows, axis=1))


def class_scores(outputs: Numbers, classes: int, output: Output = "logits") -> Real:
    """Return [n, classes]: in each column, samples in the order of that class's probability.

    For logits z this is the logit of the softmax, z_c - log(sum of exp(z_k), k != c), which orders
    samples as the softmax does, but does not round to 0 or 1.
    """
    rows = _rows(outputs, classes)
    if rows.shape[1] == 1:
        return np.concatenate([-rows, rows], axis=1)
    if output != "logits":
        return rows
    scores = np.empty_like(rows)
    for k in range(classes):
        scores[:, k] = rows[:, k] - np.logaddexp.reduce(np.delete(rows, k, axis=1), axis=1)
    return scores


def area_under_curve(scores: Real, signal: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve of one class against the rest (scikit-learn).

    It is the probability that a sample of the class scores above one of the rest, ties counted
    half (Hanley and McNeil, Radiology 143:29, 1982).
    """
    if signal.all() or not signal.any():
        return None
    return float(_sklearn().roc_auc_score(signal, scores))


def background_efficiency(
    scores: Real, signal: NDArray[np.bool_], signal_efficiency: float = 0.5
) -> float | None:
    """Return the share of the rest that passes where `signal_efficiency` of a class does.

    Interpolated linearly between the points of the ROC curve, one for each distinct score; where
    a point has exactly that signal efficiency, the one of highest threshold counts. As in Hawks et
    al., Front. AI 4:676564 (2021); lower is better, its inverse is the background rejection.
    """
    if signal.all() or not signal.any():
        return None
    passed, kept, _ = _sklearn().roc_curve(signal, scores, drop_intermediate=False)
    after = int(np.searchsorted(kept, signal_efficiency, side="left"))
    if kept[after] == signal_efficiency or after == 0:
        return float(passed[after])
    share = (signal_efficiency - kept[after - 1]) / (kept[after] - kept[after - 1])
    return float(passed[after - 1] + share * (passed[after] - passed[after - 1]))


def observe_states(values: Numbers) -> States:
    """Return the states of a layer from values before its activation, [n, ..., units].

    A neuron is on where its value is above 0. Every position of a feature map is one observation.
    """
    if values.ndim < 2:
        raise UsageError(f"values of a layer have shape {values.shape}", hint="give (n, units)")
    rows = values.reshape(-1, values.shape[-1])
    return States(rows.shape[1], np.packbits(rows > 0, axis=1))


def join_states(parts: Sequence[States]) -> States:
    """Return the states of several batches as those of one."""
    return States(parts[0].units, np.concatenate([part.packed for part in parts]))


def neural_efficiency(states: Mapping[str, States], samples: int) -> NeuralEfficiency:
    """Return how much of the states that its neurons could take a network takes.

    For layer l with N_l neurons and p_s the observed share of state s:
    H_l = -sum_s p_s log2 p_s, eta_l = H_l / N_l, and eta = (product of eta_l)^(1/L) over L layers
    (Schaub and Hotaling, "Assessing intelligence in artificial neural networks",
    arXiv:2006.02909). H_l is at most log2 of the number of observations.
    """
    if not states:
        raise UsageError("no layer was observed", hint="give the states of at least one")
    entropy = {name: _entropy_bits(item.packed) for name, item in states.items()}
    by_layer = {name: entropy[name] / states[name].units for name in states}
    return NeuralEfficiency(
        samples=samples,
        observations={name: len(item.packed) for name, item in states.items()},
        entropy_bits=entropy,
        by_layer=by_layer,
        network=float(np.prod(list(by_layer.values())) ** (1 / len(by_layer))),
    )


def artificial_intelligence_quotient(
    efficiency: float, accuracy: float, beta: float = 2.0
) -> float:
    """Return aIQ = (eta * accuracy^beta)^(1 / (beta + 1)) (same source as `neural_efficiency`).

    Hawks et al. (2021) give the AUC for the accuracy; which of them was used belongs to the figure.
    """
    return float((efficiency * accuracy**beta) ** (1 / (beta + 1)))


def _entropy_bits(packed: NDArray[np.uint8]) -> float:
    rows = np.ascontiguousarray(packed).view(f"V{packed.shape[1]}").ravel()
    _, counts = np.unique(rows, return_counts=True)
    shares = counts / len(rows)
    return max(0.0, float(-np.sum(shares * np.log2(shares))))


def _rows(outputs: Numbers, classes: int) -> Real:
    rows = np.asarray(outputs, np.float64)
    if rows.ndim == 1:
        rows = rows[:, None]
    fits = (classes,) if classes != 2 else (1, 2)
    if rows.ndim != 2 or rows.shape[1] not in fits:
        what = f"outputs have shape {np.shape(outputs)}, there are {classes} classes"
        raise UsageError(what, hint="give (n, classes), or (n, 1) for two classes")
    if np.isnan(rows).any():
        row = int(np.argwhere(np.isnan(rows))[0, 0])
        what = f"the output of sample {row} (from 0) is NaN"
        raise UsageError(what, hint="training diverged: lower training.learning_rate")
    return rows


def _check_labels(labels: Numbers, samples: int, classes: int) -> None:
    if np.shape(labels) != (samples,) or not samples:
        what = f"labels have shape {np.shape(labels)}, there are {samples} outputs"
        raise UsageError(what, hint="give one class number for each output")
    if labels.min() < 0 or labels.max() >= classes:
        what = f"labels are {labels.min()} to {labels.max()}, there are {classes} classes"
        raise UsageError(what, hint="class numbers count from 0")


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _sklearn() -> Any:
    try:
        from sklearn import metrics
    except ModuleNotFoundError as error:
        hint = "pip install 'qapflow[train]'"
        raise ToolMissing("metrics need scikit-learn", hint=hint) from error
    return metrics
