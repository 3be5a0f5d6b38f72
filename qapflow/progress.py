"""Progress of long work: a live line on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType


class Progress:
    """Shows which step runs. `edited` collects what the steps say about files edited by hand."""

    def __init__(self, quiet: bool = False) -> None:
        self.edited: list[str] = []
        self._status = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console

            self._console = Console(stderr=True)
            self._status = self._console.status("starting")

    def __enter__(self) -> Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status:
            self._status.stop()

    def step(self, name: str, state: str) -> None:
        """Tell that a step is "running", "cached" or "done", or a note about it."""
        if state.startswith("note: "):
            self.edited.append(state.removeprefix("note: "))
        elif self._status:
            if state == "running":
                self._status.update(f"{name} ...")
            else:
                self._console.print(f"[green]{'=' if state == 'cached' else '+'}[/] {name}")
