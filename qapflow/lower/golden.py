"""Golden vectors of the test bench: decimal codes, one sample a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qapflow.ir.fixed import Codes
from qapflow.ir.net import Net
from qapflow.lower.files import Files


def golden_files(
    net: Net, inputs: Mapping[str, Codes], outputs: Mapping[str, Codes], limit: int = 1000
) -> Files:
    """Return `tb_data/in_<k>.txt` and `out_<k>.txt` of the first `limit` samples.

    `inputs` and `outputs` hold codes [n, *shape] by edge name.
    """
    files = {
        f"tb_data/in_{k}.txt": _lines(inputs[node.name][:limit])
        for k, node in enumerate(net.inputs)
    }
    files |= {
        f"tb_data/out_{k}.txt": _lines(outputs[name][:limit]) for k, name in enumerate(net.outputs)
    }
    return Files(files)


def _lines(codes: Codes) -> bytes:
    rows: Iterable[list[int]] = codes.reshape(len(codes), -1).tolist()
    return "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()
