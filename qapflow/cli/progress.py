"""Progress of long work: a live line on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self


class _Shown:
    """Starts and stops what rich shows, if anything."""

    _live: Any = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()


class Progress(_Shown):
    """Shows which step runs. `edited` collects what the steps say about files edited by hand."""

    def __init__(self, quiet: bool = False) -> None:
        self.edited: list[str] = []
        if not quiet and sys.stderr.isatty():
            from rich.console import Console

            self._console = Console(stderr=True)
            self._live = self._console.status("starting")

    def step(self, name: str, state: str) -> None:
        """Tell that a step is "running", "cached", "done" or how else it ended, or a note."""
        if state.startswith("note: "):
            self.edited.append(state.removeprefix("note: "))
        elif self._live:
            if state == "running":
                self._live.update(f"{name} ...")
            else:
                mark = {"cached": "[green]=[/]", "done": "[green]+[/]"}.get(state)
                self._console.print(f"{mark} {name}" if mark else f"[red]-[/] {name}: {state}")


class TrainProgress(_Shown):
    """Shows how far a training is: a bar by stage, the last epoch's figures, saved models."""

    def __init__(self, quiet: bool = False) -> None:
        self._task: Any = None
        self._fold = ""
        self._stages = 1
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
            from rich.progress import TimeRemainingColumn as Left

            words = TextColumn("{task.description}"), TextColumn("{task.fields[figures]}")
            columns = (words[0], BarColumn(), MofNCompleteColumn(), Left(), words[1])
            self._live = Progress(*columns, console=Console(stderr=True))
            self._task = self._live.add_task("reading", total=None, figures="")

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        """Hear "trial", "fold", "resumed", "epoch" or "point" with its facts."""
        if not self._live:
            return
        if name == "fold":
            self._stages = facts["stages"]
            self._fold = f"fold {facts['fold'] + 1}/{facts['folds']} " * (facts["folds"] > 1)
        elif name == "trial":
            self._live.console.print(f"trial {facts['trial'] + 1} of {facts['trials']}")
        elif name == "resumed":
            self._live.console.print(f"goes on after epoch {facts['epoch']}")
        elif name == "epoch":
            stage = f"stage {facts['stage'] + 1}/{self._stages}" if self._stages > 1 else "training"
            figures = f"accuracy {facts['val_accuracy']:.4f}"
            if "sparsity" in facts:
                figures += f", zeros {facts['sparsity']:.1%}"
            done, total = facts["epoch"] + 1, facts["epochs"]
            text = self._fold + stage
            self._live.update(
                self._task, description=text, completed=done, total=total, figures=figures
            )
        elif name == "point":
            self._live.console.print(f"{self._fold}{point_text(facts)}")


def point_text(row: Mapping[str, Any]) -> str:
    """Return one line about a saved model."""
    zeros = f", {row['sparsity']:.1%} zeros" if "sparsity" in row else ""
    return (
        f"{row['model']}: test accuracy {row['accuracy']:.4f} ({row['test_samples']} samples)"
        f"{zeros}, {row['cost_bops_input_own']:,.0f} BOPs, {row['cost_ebops']:,} EBOPs"
    )
