"""Curves of a run as a picture: learning, and accuracy against cost."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from qapflow.errors import ToolMissing

Rows = Sequence[Mapping[str, Any]]


def draw_curves(histories: Sequence[Rows], rows: Rows) -> bytes:
    """Return a PNG: validation accuracy and sparsity by epoch, test accuracy by BOPs.

    `histories` hold one row an epoch, by fold; `rows` one a saved model.

    Raises:
        ToolMissing: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ToolMissing("curves need matplotlib", hint="pip install 'qapflow[train]'") from error
    figure = Figure(figsize=(11, 4), layout="constrained")
    FigureCanvasAgg(figure)
    learning, cost = figure.subplots(1, 2)
    for number, history in enumerate(histories):
        epochs = range(1, len(history) + 1)
        color = f"C{number % 10}"
        learning.plot(epochs, [row["val_accuracy"] for row in history], color=color)
        if history and "sparsity" in history[-1]:
            shares = [row.get("sparsity", 0.0) for row in history]
            learning.plot(epochs, shares, color=color, linestyle=":")
    learning.set(xlabel="epoch", ylabel="validation accuracy; dotted: sparsity", ylim=(0, 1.02))
    for fold in sorted({row["fold"] for row in rows}):
        own = [row for row in rows if row["fold"] == fold]
        x = [row["cost_bops_input_own"] for row in own]
        cost.plot(x, [row["accuracy"] for row in own], "o-", color=f"C{fold % 10}", label=str(fold))
    cost.set(xlabel="BOPs (input at its own bits)", ylabel="test accuracy", xscale="log")
    cost.legend(title="fold")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": ""})
    return stream.getvalue()
