"""Stop plans far beyond every wall, with the plan that works, before any tool is started."""

from __future__ import annotations

import math
from collections.abc import Mapping

from qapflow.errors import UsageError
from qapflow.ir.net import Net
from qapflow.plan import Choice, IoType
from qapflow.plan.reuse import parallel_multiplications

# Limits of our own, far above those at which `propose` plans otherwise: 64 times the
# multiplications that are unrolled, 16 times the values that become registers.
MOST_MULTIPLICATIONS = 262_144
MOST_REGISTERS = 65_536


def stop_absurd(
    net: Net,
    choices: Mapping[str, Choice],
    working: Mapping[str, Choice],
    io_type: IoType,
) -> None:
    """Refuse what is far beyond every limit; `working` has the choice to propose for each layer.

    Raises:
        UsageError: a layer unrolls, or io_parallel holds in registers, absurdly much.
    """
    for name, choice in choices.items():
        node = net.by_name[name]
        lanes = parallel_multiplications(node, choice)
        if lanes > MOST_MULTIPLICATIONS and choice.strategy != "distributed_arithmetic":
            better = working[name]
            fewer = parallel_multiplications(node, better)
            raise UsageError(
                f"{lanes} multiplications side by side, more than the {MOST_MULTIPLICATIONS} that "
                "qapflow unrolls in one layer",
                f"layer {node.origin or name}",
                f"for this layer strategy {better.strategy}, reuse factor {better.reuse_factor} "
                f"({fewer} at once); without --strategy and --reuse-factor such a plan is chosen",
            )
    if io_type == "io_parallel":
        for node in net.nodes:
            size = math.prod(node.out.shape)
            if size > MOST_REGISTERS:
                raise UsageError(
                    f"io_parallel needs a register for each of {size} values, more than the "
                    f"{MOST_REGISTERS} that qapflow puts into registers",
                    f"layer {node.origin or node.name}",
                    "use io_stream, which is chosen if no io type is given",
                )
