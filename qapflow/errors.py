"""The one error hierarchy. Every message says what is wrong, where, and what to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class QapflowError(Exception):
    """Anything a user can act on.

    `what` is one sentence, `at` names the place (file, layer, key) and `hint` the way out.
    `exit_code` is what the command line returns.
    """

    exit_code = 2

    def __init__(self, what: str, at: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.at = at
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.what]
        if self.at:
            lines.append(f"  at: {self.at}")
        if self.hint:
            lines.append(f"  try: {self.hint}")
        return "\n".join(lines)


class CheckFailed(QapflowError):
    """A verification mismatch, a broken rule of the network, or a budget that is not met."""

    exit_code = 1


class UsageError(QapflowError):
    """Wrong arguments, files, boards or configuration keys."""

    exit_code = 2


class ToolMissing(QapflowError):
    """A program or Python package that this step needs is not installed."""

    exit_code = 3


class ToolFailed(QapflowError):
    """A program started by qapflow crashed, was killed, or ran out of time."""

    exit_code = 5


@dataclass(frozen=True)
class Unsupported:
    """One thing in a model that cannot be turned into firmware exactly."""

    layer: str
    class_name: str
    reason: str
    hint: str = ""


class ModelUnsupported(QapflowError):
    """The model cannot be built; `items` lists every reason at once."""

    exit_code = 4

    def __init__(self, items: Sequence[Unsupported], at: str = "") -> None:
        self.items = tuple(items)
        count = len(self.items)
        super().__init__(f"{count} thing{'s' * (count != 1)} in this model cannot be built", at)

    def __str__(self) -> str:
        lines = [self.what]
        if self.at:
            lines.append(f"  at: {self.at}")
        for item in self.items:
            lines.append(f"  - {item.layer} ({item.class_name}): {item.reason}")
            if item.hint:
                lines.append(f"      try: {item.hint}")
        return "\n".join(lines)
