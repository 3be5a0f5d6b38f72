"""What each step reads from outside its folder: the settings part of its key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qapflow.steps.context import BISECTION, OPEN_SYNTHESIS, Context, file_digest
from qapflow.versions import compiler_version, keras_versions, package_version


def load_settings(context: Context) -> dict[str, Any]:
    """Name what `load` reads from outside."""
    settings = context.settings
    return {
        "qapflow": package_version("qapflow"),
        "model": file_digest(settings.model),
        "weights": file_digest(settings.weights),
        "calibration": file_digest(settings.calibration),
        "input_types": dict(settings.input_types),
        "float_bits": settings.float_bits,
        "strip_softmax": settings.strip_softmax,
    }


def plan_settings(context: Context) -> dict[str, Any]:
    """Name what `plan` reads from outside."""
    settings = context.settings
    return {
        "qapflow": package_version("qapflow"),
        "target": asdict(context.target),
        "overrides": file_digest(settings.overrides),
        "backend": settings.backend,
        "io_type": settings.io_type,
        "clock_ns": settings.clock_ns,
        "clock_uncertainty_percent": settings.clock_uncertainty_percent,
        "strategy": settings.strategy,
        "reuse_factor": settings.reuse_factor,
    }


def lower_settings(context: Context) -> dict[str, Any]:
    """Name what `lower` reads from outside."""
    return {
        "target": asdict(context.target),
        "top": context.top,
        "hls4ml": package_version("hls4ml"),
        "qapflow": package_version("qapflow"),
    }


def vector_settings(context: Context) -> dict[str, Any]:
    """Name what `make_vectors` reads from outside."""
    settings = context.settings
    return {
        "inputs": file_digest(settings.inputs),
        "vectors": settings.vectors,
        "seed": settings.seed,
    }


def csim_settings(context: Context) -> dict[str, Any]:
    """Name what `simulate` reads from outside."""
    settings = context.settings
    return {
        "csim": settings.csim,
        "compiler": compiler_version(),
        "require": settings.require,
    }


def sanitize_settings(context: Context) -> dict[str, Any]:
    """Name what `sanitize` reads from outside."""
    asked = context.settings.sanitize
    return {"sanitize": asked, **(csim_settings(context) if asked else {})}


def keras_settings(context: Context) -> dict[str, Any]:
    """Name what `compare_keras` reads from outside."""
    settings = context.settings
    versions = keras_versions() if settings.keras != "no" else {}
    return {
        "keras": settings.keras,
        "versions": versions,
        "labels": file_digest(settings.labels),
        "strip_softmax": settings.strip_softmax,
    }


def synth_settings(context: Context) -> dict[str, Any]:
    """Name what `synthesise` reads from outside."""
    from qapflow.synth.tools import TOOLS, find_tool

    settings = context.settings
    found = [find_tool(tool) for tool in TOOLS] if settings.synth else []
    tools = [str(tool) for tool in found]
    return {"stage": settings.synth, "require": settings.require, "tools": tools}


def report_settings(context: Context) -> Mapping[str, Any]:
    """Name what `report` reads from outside."""
    from qapflow.estimate.calibration import VARIABLE, current

    settings = context.settings
    own = os.environ.get(VARIABLE)
    later = {"bisection": BISECTION, "open_synthesis": OPEN_SYNTHESIS}
    paths = {name: context.folder.path / path for name, path in later.items()}
    return {
        "qapflow": package_version("qapflow"),
        "model": settings.model.name,
        "target": asdict(context.target),
        "budgets": asdict(settings.budgets),
        "calibration": file_digest(Path(own)) if own else current().version,
        **{name: file_digest(path) if path.exists() else "" for name, path in paths.items()},
    }
