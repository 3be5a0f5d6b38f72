"""Stop plans far beyond every wall, with the plan that works, before any tool is started."""

from __future__ import annotations

import math
from collections.abc import Mapping

from qapflow.errors import UsageError
from qapflow.ir.net import Net
from qapflow.plan import Choice, IoType
from qapflow.plan.reuse import parallel_multiplications

# Side by side in one layer: 64 times what Vitis HLS unrolls, and 20 times the DSPs of any board.
MOST_MULTIPLICATIONS = 262_144
MOST_REGISTERS = 65_536  # values of one array; the tools stop at 4096


def stop_absurd(
    net: Net,
    choices: Mapping[str, Choice],
    working: Mapping[str, Choice],
    io_type: IoType,
) -> None:
    """Refuse what no tool finishes; `working` has the choice to propose for each layer.

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
                f"{lanes} multiplications side by side; no tool finishes more than "
                f"{MOST_MULTIPLICATIONS}",
                f"layer {node.origin or name}",
                f"for this layer strategy {better.strategy}, reuse factor {better.reuse_factor} "
                f"({fewer} at once); without --strategy and --reuse-factor that is chosen",
            )
    if io_type == "io_parallel":
        for node in net.nodes:
            size = math.prod(node.out.shape)
            if size > MOST_REGISTERS:
                raise UsageError(
                    f"io_parallel needs a register for each of {size} values; no tool finishes "
                    f"more than {MOST_REGISTERS}",
                    f"layer {node.origin or node.name}",
                    "use io_stream, which is chosen if no io type is given",
                )
