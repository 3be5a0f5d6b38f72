"""Find the boards and templates, in an installed wheel or beside a checkout.

An editable install does not map the top-level folders into the package, so the checkout is the
fallback.
"""

from __future__ import annotations

from pathlib import Path

from qapflow.errors import UsageError

_PACKAGE = Path(__file__).resolve().parent


def templates_dir() -> Path:
    """Return the folder of the Jinja2 templates and HLS headers."""
    return _data_dir("templates", "templates")


def boards_dir() -> Path:
    """Return the folder of the board files."""
    return _data_dir("boards_data", "boards")


def _data_dir(packaged: str, checkout: str) -> Path:
    candidates = (_PACKAGE / packaged, _PACKAGE.parent / checkout)
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise UsageError(
        f"qapflow's {checkout} folder is missing",
        at=", ".join(map(str, candidates)),
        hint="install qapflow again: pip install --force-reinstall qapflow",
    )
