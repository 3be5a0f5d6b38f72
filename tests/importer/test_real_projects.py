"""Projects that hls4ml itself wrote: the imported network equals hls4ml's C simulation."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qapflow.importer import import_project, read_project
from qapflow.ir.check import check
from qapflow.ir.interpret import interpret

ROOT = Path(__file__).parents[2]
NAMES = (
    "image_parallel",
    "image_stream",
    "encoded",
    "binary",
    "sequence_stream",
    "sequence_parallel",
    "vector_stream",
    "vector_parallel",
)
QUIET = {
    "TF_USE_LEGACY_KERAS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONPATH": str(ROOT),
}


def write(name, folder):
    command = [sys.executable, "-m", "tests.importer.real_projects", name, str(folder)]
    environment = os.environ | QUIET
    subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.needs_keras
@pytest.mark.needs_hls4ml
@pytest.mark.needs_gxx
@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_the_c_simulation(name, tmp_path):
    write(name, tmp_path)
    net = import_project(tmp_path).net
    assert check(net) == []
    (source,), (out,) = net.inputs, net.outputs
    codes = np.load(tmp_path / "inputs.npy")
    simulated = np.load(tmp_path / "outputs.npy").reshape(len(codes), -1)
    made = interpret(net, {source.name: codes.reshape(len(codes), *source.out.shape)})[out]
    assert len(np.unique(simulated)) > 20
    assert np.array_equal(net.edge(out).type.decode(made).reshape(len(codes), -1), simulated)
    assert len(read_project(tmp_path).plan.choices) == len(import_project(tmp_path).plan.choices)
