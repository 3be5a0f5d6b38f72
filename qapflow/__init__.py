"""qapflow: from a trained Keras or QKeras model to verified FPGA firmware with a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qapflow.api import build, verify_build
    from qapflow.frontend.load import load
    from qapflow.ir.interpret import interpret
    from qapflow.report.figures import Report
    from qapflow.target import Target

__version__ = "0.1.0"

__all__ = ["Report", "Target", "__version__", "build", "interpret", "load", "verify_build"]

_HOMES = {
    "build": "qapflow.api",
    "verify_build": "qapflow.api",
    "load": "qapflow.frontend.load",
    "interpret": "qapflow.ir.interpret",
    "Report": "qapflow.report.figures",
    "Target": "qapflow.target",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import qapflow` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'qapflow' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
