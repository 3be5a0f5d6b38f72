"""Jinja2 over the folder of templates: what is undefined is an error, the same bytes every time."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from qapflow.resources import templates_dir


@cache
def environment(folder: str) -> Environment:
    """Return the one environment of a folder in `templates/`, for text that is no HTML."""
    return Environment(
        loader=FileSystemLoader(templates_dir() / folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
