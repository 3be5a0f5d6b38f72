"""Both ways to build a constant matrix compute the interpreter's sums."""

import re
import subprocess
import sys

import numpy as np
import pytest

from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Const, Conv, Dense
from qapflow.rtl.kernels import Kernel, kernels_of, plain_kernel, shared_kernel

EVALUATE = """
import sys
from pyosys import libyosys as ys
design = ys.Design()
ys.run_pass("read_verilog " + " ".join(sys.argv[3:]), design)
ys.run_pass(f"hierarchy -check -top {sys.argv[1]}", design)
ys.run_pass("proc", design)
ys.run_pass("flatten", design)
for value in sys.argv[2].split():
    ys.run_pass(f"eval -set x {value} -show y", design)
"""


def evaluate(folder, name, files, rows, source, width, outputs):
    """Return y [n, outputs] that Yosys computes from the Verilog for x [n, k]."""
    for path, content in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    mask = (1 << source.width) - 1
    words = [sum((int(v) & mask) << (i * source.width) for i, v in enumerate(r)) for r in rows]
    bits = source.width * rows.shape[1]
    values = " ".join(f"{bits}'b{word:0{bits}b}" for word in words)
    command = [sys.executable, "-c", EVALUATE, name, values, *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
    found = re.findall(r"^Eval result: \\y = \d+'([01]+)\.$", done.stdout, re.MULTILINE)
    assert len(found) == len(rows)
    result = np.zeros((len(rows), outputs), np.int64)
    for row, text in enumerate(found):
        for j in range(outputs):
            part = text[len(text) - (j + 1) * width : len(text) - j * width]
            result[row, j] = int(part, 2) - ((part[0] == "1") << width)
    return result


def corners(source, k, rng):
    rows = rng.integers(source.lo, source.hi + 1, (12, k))
    return np.concatenate([rows, [[source.lo] * k, [source.hi] * k, [0] * k]])


@pytest.mark.needs_yosys
@pytest.mark.needs_alkaid
@pytest.mark.parametrize(
    ("source", "bits", "zeros"),
    [
        (Fixed(True, 8, 0), 6, 0.5),
        (Fixed(False, 4, 0), 3, 0.0),
        (Fixed(True, 1, 0), 8, 0.3),
        (Fixed(False, 1, 0), 1, 0.0),
    ],
)
def test_both_compute_the_sums(tmp_path, source, bits, zeros):
    rng = np.random.default_rng(0)
    high = 1 << (bits - 1)
    codes = rng.integers(-high, high, (5, 4)) * (rng.random((5, 4)) >= zeros)
    codes[:, 1] = 0  # an output that is always zero
    codes[2] = 0  # an input that nothing reads
    codes[:, 3] *= 4  # sums on a coarser grid
    kernel = Kernel("k", "dense", codes, source, 1)
    rows = corners(source, 5, rng)
    plain = {"a.v": plain_kernel(kernel, "a")}
    _, shared = shared_kernel(kernel, "b")
    for name, files in (("a", plain), ("b", shared)):
        found = evaluate(tmp_path, name, files, rows, source, kernel.width, 4)
        assert np.array_equal(found, rows @ codes), name


@pytest.mark.needs_yosys
@pytest.mark.needs_alkaid
def test_a_matrix_of_zeros(tmp_path):
    kernel = Kernel("k", "dense", np.zeros((2, 2), np.int64), Fixed(True, 3, 0), 1)
    rows = np.array([[1, -4], [3, 0]])
    plain = {"a.v": plain_kernel(kernel, "a")}
    _, shared = shared_kernel(kernel, "b")
    for name, files in (("a", plain), ("b", shared)):
        found = evaluate(tmp_path, name, files, rows, kernel.source, kernel.width, 2)
        assert not found.any()


def test_matrices_are_those_of_the_layers():
    rng = np.random.default_rng(1)
    kind, small = Fixed(True, 5, 2), Fixed(True, 4, 3)
    builder = NetBuilder()
    builder.add_input("x", (6, 4), kind)
    for groups, filters in ((1, 3), (2, 6), (4, 4)):
        codes = rng.integers(-8, 8, (3, 4 // groups, filters))
        op = Conv(Const(codes, small), None, (1,), ((0, 0),), (1,), groups)
        builder.add(f"conv{groups}", op, "x")
    builder.add("dense", Dense(Const(rng.integers(-8, 8, (4, 2)), small)), "x")
    net = builder.finish(("conv1", "conv2", "conv4", "dense"))
    x = rng.integers(kind.lo, kind.hi + 1, (7, 6, 4))
    outputs = interpret(net, {"x": x})
    kernels = {kernel.layer: kernel for kernel in kernels_of(net)}
    assert [kernel.places for kernel in kernels.values()] == [4, 4, 4, 6]
    windows = np.stack([x[:, i : i + 3].reshape(7, 12) for i in range(4)], axis=1)
    for groups in (1, 2, 4):
        name = f"conv{groups}"
        assert np.array_equal(windows @ kernels[name].codes, outputs[name])
    assert np.array_equal(x @ kernels["dense"].codes, outputs["dense"])
    sums = windows @ kernels["conv1"].codes
    assert int(sums.max()).bit_length() < kernels["conv1"].width


def test_width_holds_the_largest_sum():
    kernel = Kernel("k", "d", np.array([[7, 1], [7, -1]]), Fixed(True, 4, 0), 1)
    assert (kernel.width, 2**7) == (8, 128)  # -8 * 14 = -112
    unsigned = Kernel("k", "d", np.array([[1]]), Fixed(False, 3, 0), 1)
    assert unsigned.width == 4
