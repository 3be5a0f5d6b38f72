"""Run the compiled C simulation of a project on integer codes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ToolFailed, UsageError
from qapflow.ir.fixed import Codes
from qapflow.ir.net import Edge, Net
from qapflow.verify.compile_csim import PROGRAM, compile_csim
from qapflow.verify.process import Finished, Runner, cores, last_line

__all__ = ["compile_csim", "run_csim", "traced_edges"]

TRACE = "csim/trace.json"
SMALLEST_CHUNK = 64  # samples a process is worth starting for
CODE = np.dtype("<i8")


def run_csim(
    project: Path,
    net: Net,
    inputs: Mapping[str, Codes],
    *,
    trace: bool = False,
    jobs: int | None = None,
    timeout: float = 1800.0,
) -> dict[str, Codes]:
    """Run the compiled program on codes [n, *shape] and return codes by edge.

    Returns the output edges, and every traced edge too if `trace` is set. Samples are spread over
    `jobs` processes (default: all cores).

    Raises:
        ToolFailed: the program crashed, ran out of time, or wrote another size than it should.
        UsageError: it was never compiled, or an edge is wider than the 64 bits of its files.
    """
    project = project.resolve()
    program = project / PROGRAM
    if not program.is_file():
        raise UsageError(
            "the C simulation is not compiled", str(program), "run `qapflow build` again"
        )
    _require_int64(net)
    packed = pack(net, inputs)
    traced = traced_edges(project, net) if trace else ()
    job = Job(project, program, net, traced, timeout)
    count = max(1, min(jobs or cores(), ceil(len(packed) / SMALLEST_CHUNK)))
    parts = job.runner.map(job.run, np.array_split(packed, count), count)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def traced_edges(project: Path, net: Net) -> tuple[str, ...]:
    """Return the edges the program can trace, in the order it writes them.

    Raises:
        UsageError: `csim/trace.json` is missing or does not belong to this network.
    """
    path = project / TRACE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        sizes = [(str(row["edge"]), int(row["size"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"the list of traced edges cannot be read ({error!r})", str(path)
        ) from error
    for name, size in sizes:
        if name not in net.by_name or prod(net.edge(name).shape) != size:
            raise UsageError(
                f"the traced edge {name!r} of size {size} is not one of this network",
                str(path),
                "build the project again",
            )
    return tuple(name for name, _ in sizes)


def _require_int64(net: Net) -> None:
    for name in [*(node.name for node in net.inputs), *net.outputs]:
        kind = net.edge(name).type
        if kind.width - kind.signed > 63:
            raise UsageError(
                f"{name!r} is {kind.width} bits wide, the files of the C simulation hold 64",
                name,
                "quantize this edge in the model",
            )


def pack(net: Net, inputs: Mapping[str, Codes]) -> NDArray[np.int64]:
    """Concatenate all inputs of each sample: [n, total]."""
    columns = []
    for node in net.inputs:
        codes = np.asarray(inputs[node.name])
        if codes.shape[1:] != node.out.shape:
            raise UsageError(
                f"input {node.name!r} has shape {codes.shape[1:]}, not {node.out.shape}", node.name
            )
        columns.append(codes.reshape(len(codes), prod(node.out.shape)).astype(CODE))
    if len({len(column) for column in columns}) > 1:
        raise UsageError("the inputs have different numbers of samples")
    return np.ascontiguousarray(np.concatenate(columns, axis=1))


def _unpack(path: Path, names: Sequence[str], net: Net, samples: int) -> dict[str, Codes]:
    edges: list[tuple[str, Edge]] = [(name, net.edge(name)) for name in names]
    total = sum(prod(edge.shape) for _, edge in edges)
    size = path.stat().st_size if path.is_file() else 0
    if size != samples * total * CODE.itemsize:
        raise ToolFailed(
            f"the C simulation wrote {size} bytes instead of {samples * total * CODE.itemsize} "
            f"({samples} samples of {total} values)",
            path.name,
            "the project does not belong to this network; build it again",
        )
    data = np.fromfile(path, CODE).reshape(samples, total).astype(np.int64)
    result, start = {}, 0
    for name, edge in edges:
        stop = start + prod(edge.shape)
        result[name] = data[:, start:stop].reshape(samples, *edge.shape)
        start = stop
    return result


@dataclass(frozen=True)
class Job:
    """A program, the network it simulates, and how to run it."""

    project: Path
    program: Path
    net: Net
    traced: tuple[str, ...]
    timeout: float
    runner: Runner = field(default_factory=Runner)

    def run(self, samples: NDArray[np.int64]) -> dict[str, Codes]:
        """Run one process on samples [n, total]."""
        with tempfile.TemporaryDirectory(prefix="qapflow-csim-") as name:
            folder = Path(name)
            self.execute(samples, folder, *(["trace.bin"] if self.traced else []))
            result = _unpack(folder / "out.bin", self.net.outputs, self.net, len(samples))
            if self.traced:
                rows = _unpack(folder / "trace.bin", self.traced, self.net, len(samples))
                result = {**rows, **result}
        return result

    def execute(self, samples: NDArray[np.int64], folder: Path, *more: str) -> None:
        """Run the program on samples [n, total]; it writes `out.bin` and `more` into `folder`."""
        samples.tofile(folder / "in.bin")
        command = [str(self.program), str(folder / "in.bin"), str(folder / "out.bin")]
        command += [str(len(samples)), *(str(folder / name) for name in more)]
        try:
            done = self.runner.run(
                command, log=folder / "log", cwd=self.project, timeout=self.timeout
            )
        except OSError as error:
            raise ToolFailed(
                f"the C simulation cannot be started ({error.strerror})", str(self.program)
            ) from error
        self._judge(done)

    def _judge(self, done: Finished) -> None:
        place = str(self.program)
        if done.timed_out:
            raise ToolFailed(
                f"the C simulation did not finish in {self.timeout:g} s",
                place,
                "verify fewer samples (--vectors) or raise --timeout",
            )
        if done.killed:
            raise ToolFailed(
                "the C simulation was killed, most likely because memory ran out",
                place,
                "verify on a machine with more memory",
            )
        if done.returncode:
            cause = f"signal {-done.returncode}" if done.returncode < 0 else "exit code"
            code = "" if done.returncode < 0 else f" {done.returncode}"
            detail = last_line(done.text)
            raise ToolFailed(
                f"the C simulation crashed ({cause}{code})" + (f": {detail}" if detail else ""),
                place,
            )
