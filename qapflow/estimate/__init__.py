"""Latency and resources of a network before any tool has run, each with an interval and a stage."""

from __future__ import annotations

from qapflow.estimate.estimate import Estimates, Figures, estimate, is_hardware
from qapflow.estimate.interval import CSYNTH, POST_SYNTH

__all__ = ["CSYNTH", "POST_SYNTH", "Estimates", "Figures", "estimate", "is_hardware"]
