"""Rewrites of the network that never change what it computes.

A pass is a pure function. For every network and every input,
`interpret(rewrite(net)) == interpret(net)`.
"""

from __future__ import annotations

from collections.abc import Callable

from qapflow.ir.net import Net
from qapflow.passes.drop_dead import drop_dead
from qapflow.passes.drop_noop_quantize import drop_noop_quantize

Pass = Callable[[Net], Net]

PASSES: tuple[Pass, ...] = (
    drop_noop_quantize,
    drop_dead,
)
