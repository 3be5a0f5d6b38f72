"""Building, compiling and running the C simulation of a network, and comparing every edge."""

import json
import os
import subprocess

import numpy as np
import pytest

from qapflow.ir.interpret import interpret
from qapflow.lower.project import lower
from qapflow.plan import Plan
from qapflow.target import Resources, Target

TOTALS = Resources(lut=1182240, ff=2364480, dsp=6840, bram18=4320, uram=960)
TARGET = Target("t", "xcvu9p-flga2104-2l-e", (), "virtex-ultrascale+", "", 5.0, TOTALS, 3, "", True)


def make_plan(io_type="io_parallel", backend="vitis", choices=()):
    return Plan(backend, io_type, 5.0, 12.5, dict(choices))


def corner_codes(net, count, seed=1):
    """All lowest, all highest, zero and random codes of every input."""
    rng = np.random.default_rng(seed)
    found = {}
    for node in net.inputs:
        kind = node.out.type
        codes = rng.integers(kind.lo, kind.hi, (count, *node.out.shape), endpoint=True)
        codes[0], codes[1], codes[2] = kind.lo, kind.hi, 0
        found[node.name] = codes
    return found


def compiled(files, folder):
    files.write(folder)
    sources = json.loads((folder / "csim/sources.json").read_text())
    includes = [f"-I{name}" for name in sources["include_dirs"]]
    command = [os.environ.get("CXX", "g++"), *sources["flags"], *includes, *sources["units"]]
    subprocess.run([*command, "-o", "csim/run"], cwd=folder, check=True)
    return folder / "csim/run"


def split(rows, sizes):
    ends = np.cumsum(sizes)[:-1]
    return np.split(rows, ends, axis=1)


@pytest.fixture
def target():
    return TARGET


@pytest.fixture
def plan():
    return make_plan


@pytest.fixture
def simulate(tmp_path):
    """Return edges whose codes differ from the interpreter's, and how many edges were seen."""

    def run(net, plan, count=40):
        inputs = corner_codes(net, count)
        program = compiled(lower(net, plan, TARGET, "top"), tmp_path)
        flat = [inputs[node.name].reshape(count, -1) for node in net.inputs]
        np.concatenate(flat, axis=1).astype("<i8").tofile(tmp_path / "in.bin")
        arguments = ["in.bin", "out.bin", str(count), "trace.bin"]
        done = subprocess.run(
            [program, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        assert done.stdout == "", "a stream was not emptied"
        expected = interpret(net, inputs, keep="all")
        traced = json.loads((tmp_path / "csim/trace.json").read_text())
        rows = np.fromfile(tmp_path / "trace.bin", "<i8").reshape(count, -1)
        found = dict(
            zip(
                (entry["edge"] for entry in traced),
                split(rows, [entry["size"] for entry in traced]),
                strict=True,
            )
        )
        rows = np.fromfile(tmp_path / "out.bin", "<i8").reshape(count, -1)
        sizes = [int(np.prod(net.edge(name).shape)) for name in net.outputs]
        for port, codes in enumerate(split(rows, sizes)):
            found[f"output {port}"] = codes
            expected[f"output {port}"] = expected[net.outputs[port]]
        wrong = [
            name
            for name, codes in found.items()
            if not np.array_equal(codes, expected[name].reshape(count, -1))
        ]
        return wrong, len(found)

    return run
