"""Activation layers."""

from __future__ import annotations

from qapflow.frontend.layers.work import Work, activation_layer


def activation(work: Work) -> str:
    """Translate Activation and QActivation."""
    return work.activate(work.input, work.config.get("activation"), suffix="")


def from_layer(work: Work) -> str:
    """Translate ReLU, LeakyReLU, ELU and ThresholdedReLU."""
    found = activation_layer({"class_name": work.spec.class_name, "config": work.config})
    assert found is not None, work.spec.class_name
    return work.keras_activate(work.input, *found)


def prelu(work: Work) -> str:
    """Translate PReLU: a learned slope for each element, or shared over axes."""
    return work.keras_activate(work.input, "relu", {"negative_slope": work.array("alpha")})


def softmax(work: Work) -> str:
    """Translate Softmax over the last axis."""
    axis = work.config.get("axis", -1)
    if axis not in (-1, len(work.shape())):
        raise work.misfit(f"softmax over axis {axis}", "take softmax over the last axis")
    return work.keras_activate(work.input, "softmax", {})
