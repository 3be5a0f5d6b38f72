"""Rendering of the Jinja2 templates in `templates/rtl`."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from qapflow.resources import templates_dir


@cache
def environment() -> Environment:
    """Return the environment of `templates/rtl`."""
    return Environment(
        loader=FileSystemLoader(templates_dir() / "rtl"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(name: str, /, **values: Any) -> bytes:
    """Render one template file."""
    return environment().get_template(name).render(**values).encode()
