import json

import numpy as np
import pytest

from qapflow.errors import ToolFailed, UsageError
from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Clip, Concat, Input, Quantize
from qapflow.verify.compile_csim import compile_csim
from qapflow.verify.csim import run_csim

KIND = Fixed(True, 8, 4)

# y = a + 2 b for two inputs of 3, traced after the doubling: the protocol, nothing else.
MAIN = r"""
#include <cstdint>
#include <cstdio>
#include <cstdlib>
int main(int argc, char** argv) {
    FILE* in = fopen(argv[1], "rb");
    FILE* out = fopen(argv[2], "wb");
    FILE* trace = argc > 4 ? fopen(argv[4], "wb") : 0;
    for (long k = 0; k < atol(argv[3]); k++) {
        int64_t x[6], twice[3], y[3];
        if (fread(x, 8, 6, in) != 6) return 3;
        for (int i = 0; i < 3; i++) { twice[i] = 2 * x[3 + i]; y[i] = x[i] + twice[i]; }
        fwrite(y, 8, 3, out);
        if (trace) fwrite(twice, 8, 3, trace);
    }
    fclose(out);
    if (trace) fclose(trace);
    return 0;
}
"""


def net():
    edge = Edge((3,), KIND)
    return Net(
        (
            Node("a", Input(), (), edge, "a"),
            Node("b", Input(), (), edge, "b"),
            Node("twice", Clip(None, None), ("b",), edge, "twice"),
            Node("y", Quantize(KIND), ("twice",), edge, "y"),
        ),
        ("y",),
    )


def program(folder, body, size=3):
    """A project whose C simulation is a shell script."""
    (folder / "csim").mkdir(exist_ok=True)
    path = folder / "csim" / "csim"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    (folder / "csim" / "trace.json").write_text(json.dumps([{"edge": "twice", "size": size}]))
    return folder


def inputs(count):
    rng = np.random.default_rng(0)
    return {name: rng.integers(-128, 128, (count, 3)) for name in "ab"}


@pytest.mark.needs_gxx
@pytest.mark.parametrize("count", [1, 1000])
def test_codes_go_through_the_program_and_come_back(tmp_path, count):
    (tmp_path / "csim").mkdir()
    (tmp_path / "csim" / "main.cpp").write_text(MAIN)
    sources = {"units": ["csim/main.cpp"], "include_dirs": [], "flags": []}
    (tmp_path / "csim" / "sources.json").write_text(json.dumps(sources))
    (tmp_path / "csim" / "trace.json").write_text('[{"edge": "twice", "size": 3}]')
    compile_csim(tmp_path)
    codes = inputs(count)
    for jobs in (1, 3):
        got = run_csim(tmp_path, net(), codes, jobs=jobs)
        assert list(got) == ["y"]
        assert np.array_equal(got["y"], codes["a"] + 2 * codes["b"])
    got = run_csim(tmp_path, net(), codes, trace=True)
    assert np.array_equal(got["twice"], 2 * codes["b"])
    assert np.array_equal(got["y"], codes["a"] + 2 * codes["b"])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("echo weights missing; exit 3", r"crashed \(exit code 3\): weights missing"),
        ("kill -SEGV $$", r"crashed \(signal 11\)"),
        ("kill -9 $$", "was killed, most likely because memory ran out"),
        ("sleep 60", "did not finish in 0.3 s"),
        ("head -c 40 /dev/zero > $2", "wrote 40 bytes instead of 48"),
        ("exit 0", "wrote 0 bytes instead of 48"),
    ],
)
def test_every_way_to_fail_is_named(tmp_path, body, text):
    with pytest.raises(ToolFailed, match=text):
        run_csim(program(tmp_path, body), net(), inputs(2), timeout=0.3)


def test_a_program_that_cannot_start(tmp_path):
    program(tmp_path, "")
    (tmp_path / "csim" / "csim").write_bytes(b"\x7fELF")
    with pytest.raises(ToolFailed, match="the C simulation cannot be started"):
        run_csim(tmp_path, net(), inputs(2))


def test_a_project_that_was_not_compiled(tmp_path):
    with pytest.raises(UsageError, match="the C simulation is not compiled"):
        run_csim(tmp_path, net(), inputs(2))


def test_a_trace_of_another_network(tmp_path):
    with pytest.raises(UsageError, match="'twice' of size 4 is not one of this network"):
        run_csim(program(tmp_path, "", size=4), net(), inputs(2), trace=True)
    (tmp_path / "csim" / "trace.json").unlink()
    with pytest.raises(UsageError, match="the list of traced edges cannot be read"):
        run_csim(tmp_path, net(), inputs(2), trace=True)


def test_inputs_of_a_wrong_shape(tmp_path):
    program(tmp_path, "")
    with pytest.raises(UsageError, match=r"input 'a' has shape \(4,\), not \(3,\)"):
        run_csim(tmp_path, net(), {"a": np.zeros((2, 4)), "b": np.zeros((2, 3))})
    with pytest.raises(UsageError, match="different numbers of samples"):
        run_csim(tmp_path, net(), {"a": np.zeros((2, 3)), "b": np.zeros((1, 3))})


def test_an_edge_the_files_cannot_hold(tmp_path):
    program(tmp_path, "")
    wide = Node("a", Input(), (), Edge((3,), Fixed(False, 64, 0)), "a")
    both = Net((wide, Node("y", Concat(0), ("a",), wide.out, "y")), ("y",))
    with pytest.raises(UsageError, match="'a' is 64 bits wide, the files"):
        run_csim(tmp_path, both, {"a": np.zeros((1, 3), np.int64)})
