"""Rich renderables to plain text, the same text every time."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.console import Console, RenderableType


def to_text(parts: Iterable[RenderableType], *, color: bool = False, width: int = 100) -> str:
    """Return the parts below each other, at most `width` columns wide, with colours if asked."""
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in stream.getvalue().split("\n"))
