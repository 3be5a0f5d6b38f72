"""Rendering of the Jinja2 templates in `templates/rtl`."""

from __future__ import annotations

from typing import Any

from qapflow.templates import environment


def render(name: str, /, **values: Any) -> bytes:
    """Render one template file."""
    return environment("rtl").get_template(name).render(**values).encode()
