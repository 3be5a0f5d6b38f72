"""Activation layers."""

from __future__ import annotations

from qapflow.frontend.layers.work import Work
from qapflow.ir.ops import Const, Leaky


def activation(work: Work) -> str:
    """Translate Activation and QActivation."""
    return work.activate(work.input, work.config.get("activation"), suffix="")


def relu(work: Work) -> str:
    """Translate ReLU."""
    config = work.config
    params = {
        "max_value": config.get("max_value"),
        "negative_slope": config.get("negative_slope", 0.0) or 0.0,
        "threshold": config.get("threshold", 0.0) or 0.0,
    }
    return work.keras_activate(work.input, "relu", params)


def leaky_relu(work: Work) -> str:
    """Translate LeakyReLU; its slope is called alpha in Keras 2, negative_slope in Keras 3."""
    slope = work.config.get("negative_slope", work.config.get("alpha", 0.3))
    if isinstance(slope, dict):
        slope = slope.get("config", slope).get("value", 0.3)
    return work.keras_activate(work.input, "relu", {"negative_slope": float(slope)})


def elu(work: Work) -> str:
    """Translate ELU."""
    return work.keras_activate(work.input, "elu", {"alpha": work.config.get("alpha", 1.0)})


def thresholded_relu(work: Work) -> str:
    """Translate ThresholdedReLU."""
    params = {"threshold": float(work.config.get("theta", 1.0))}
    return work.keras_activate(work.input, "relu", params)


def prelu(work: Work) -> str:
    """Translate PReLU: a learned slope for each element, or shared over axes."""
    slopes = work.array("alpha")
    slope = Const.exact(slopes)
    edge = work.add(Leaky(slope))
    if work.builder.edges[edge].type.width > 24:
        work.reasons.append("slopes are floats")
    return work.settle(edge)


def softmax(work: Work) -> str:
    """Translate Softmax over the last axis."""
    axis = work.config.get("axis", -1)
    if axis not in (-1, len(work.shape())):
        raise work.refuse(f"softmax over axis {axis}", "take softmax over the last axis")
    return work.keras_activate(work.input, "softmax", {})
