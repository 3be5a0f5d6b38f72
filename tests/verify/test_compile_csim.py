import importlib.util
import json
import os
import time
from pathlib import Path

import pytest

from qapflow.errors import ToolFailed, ToolMissing, UsageError
from qapflow.verify.compile_csim import compile_csim, find_compiler

_SPEC = importlib.util.spec_from_file_location(
    "fake_gxx", Path(__file__).parent.parent / "tools" / "fake_gxx.py"
)
fake_gxx = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fake_gxx)


def project(folder, units=None, **more):
    units = {"csim/main.cpp": "int main() { return 0; }\n"} if units is None else units
    for name, text in units.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    names = [name for name in units if name.endswith(".cpp")]
    data = {"units": names, "include_dirs": ["firmware"], "flags": ["-std=c++11"], **more}
    (folder / "csim").mkdir(exist_ok=True)
    (folder / "csim" / "sources.json").write_text(json.dumps(data))
    return folder


@pytest.fixture
def broken(tmp_path, monkeypatch):
    def make(kind):
        monkeypatch.setenv("CXX", fake_gxx.fake_compiler(tmp_path / "bin", kind))
        return project(tmp_path / "project")

    return make


def test_no_compiler_is_said_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match=r"no C\+\+ compiler: g\+\+ is not on PATH") as error:
        compile_csim(project(tmp_path / "project"))
    assert error.value.exit_code == 3
    for way in ("apt install g++", "dnf install gcc-c++", "brew install"):
        assert way in error.value.hint


def test_a_wrong_cxx_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    with pytest.raises(ToolMissing, match="no-such-compiler -m64 is not on PATH"):
        compile_csim(project(tmp_path))


def test_cxx_may_carry_arguments(tmp_path, monkeypatch):
    path = fake_gxx.fake_compiler(tmp_path, "silent")
    monkeypatch.setenv("CXX", f"{path} -m64")
    assert find_compiler() == [path, "-m64"]


def test_a_compiler_that_is_no_program(tmp_path, monkeypatch):
    path = tmp_path / "g++"
    path.write_bytes(b"\x7fELF not really")
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    with pytest.raises(ToolMissing, match="the C\\+\\+ compiler cannot be started"):
        compile_csim(project(tmp_path / "project"))


def test_a_compiler_error_gives_its_first_line_and_the_log(broken):
    folder = broken("error")
    with pytest.raises(ToolFailed, match="'foo' was not declared in this scope") as error:
        compile_csim(folder)
    assert error.value.exit_code == 5
    assert "compiling csim/main.cpp" in error.value.what
    assert "second" in Path(error.value.at).read_text()


def test_a_silent_failure_gives_the_exit_code(broken):
    with pytest.raises(ToolFailed, match="failed: exit code 4"):
        compile_csim(broken("silent"))


@pytest.mark.parametrize("kind", ["killed", "killed-child"])
def test_a_killed_compiler_is_blamed_on_memory(broken, kind):
    with pytest.raises(ToolFailed, match="was killed, most likely because memory ran out"):
        compile_csim(broken(kind))


def test_a_compiler_that_writes_nothing(broken):
    with pytest.raises(ToolFailed, match="reported success but wrote nothing"):
        compile_csim(broken("writes-nothing"))


def test_a_hanging_compiler_is_ended_with_its_children(broken):
    folder = broken("hangs")
    start = time.monotonic()
    with pytest.raises(ToolFailed, match=r"did not finish in 0.3 s"):
        compile_csim(folder, timeout=0.3)
    assert time.monotonic() - start < 5
    child = int((folder / "child.pid").read_text())
    time.sleep(0.2)
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_one_failing_unit_stops_the_others(tmp_path, monkeypatch):
    script = tmp_path / "g++"
    script.write_text(
        '#!/bin/sh\ncase "$*" in *"-c slow.cpp"*) sleep 30;; esac\necho error: x; exit 1'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    folder = project(tmp_path / "p", {"bad.cpp": "", "slow.cpp": ""})
    start = time.monotonic()
    with pytest.raises(ToolFailed, match=r"compiling bad.cpp"):
        compile_csim(folder, jobs=2)
    assert time.monotonic() - start < 10


def test_a_project_without_sources(tmp_path):
    with pytest.raises(UsageError, match="the project has no C simulation"):
        compile_csim(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"units": 3}'])
def test_a_broken_list_of_sources(tmp_path, text):
    folder = project(tmp_path)
    (folder / "csim" / "sources.json").write_text(text)
    with pytest.raises(UsageError, match="the list of C simulation sources cannot be read"):
        compile_csim(folder)


def test_an_empty_list_of_sources(tmp_path):
    with pytest.raises(UsageError, match="the list of C simulation sources is empty"):
        compile_csim(project(tmp_path, {}))


def test_a_missing_source(broken):
    folder = broken("silent")
    (folder / "csim" / "main.cpp").unlink()
    with pytest.raises(UsageError, match="a C simulation source is missing"):
        compile_csim(folder)


@pytest.fixture
def counting(tmp_path, monkeypatch):
    """A real compiler that leaves a line for each call."""
    import shutil

    real, log = shutil.which("g++"), tmp_path / "calls"
    script = tmp_path / "counting-g++"
    script.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))

    def calls():
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [next((w for w in line.split() if w.endswith(".cpp")), "link") for line in lines]

    return calls


@pytest.mark.needs_gxx
def test_only_what_changed_is_compiled_again(tmp_path, counting):
    units = {
        "a dir/one.cpp": '#include "k.h"\nint one() { return K; }\n',
        "csim/main.cpp": "int one();\nint main() { return one(); }\n",
        "firmware/k.h": "#define K 0\n",
    }
    folder = project(tmp_path / "pro ject", units)
    program = compile_csim(folder)
    assert sorted(w.split("/")[-1] for w in counting()) == ["link", "main.cpp", "one.cpp"]
    before = program.read_bytes()
    compile_csim(folder)
    assert counting() == []
    (folder / "firmware" / "k.h").write_text("#define K 3\n")
    compile_csim(folder)
    assert [w.split("/")[-1] for w in counting()] == ["one.cpp", "link"]
    assert os.spawnv(os.P_WAIT, str(program), [str(program)]) == 3
    (folder / "csim" / "obj" / "csim_main_cpp.o").write_bytes(b"damaged")
    compile_csim(folder)
    assert [w.split("/")[-1] for w in counting()] == ["main.cpp"]
    program.write_bytes(b"damaged")
    compile_csim(folder)
    assert counting() == ["link"]
    (folder / "firmware" / "k.h").write_text("#define K 0\n")
    compile_csim(folder)
    assert program.read_bytes() == before
    leftovers = [p.name for p in (folder / "csim" / "obj").iterdir()]
    assert not [n for n in leftovers if n.endswith(".d") or str(os.getpid()) in n]


@pytest.mark.needs_gxx
def test_a_real_compiler_error_names_the_line(tmp_path):
    folder = project(tmp_path, {"csim/main.cpp": "int main() { return nothing; }\n"})
    with pytest.raises(ToolFailed, match=r"csim/main.cpp:1:\d+: error: .*nothing"):
        compile_csim(folder)


@pytest.mark.needs_gxx
def test_a_missing_function_is_reported_by_the_linker(tmp_path):
    folder = project(tmp_path, {"csim/main.cpp": "int f();\nint main() { return f(); }\n"})
    with pytest.raises(ToolFailed, match=r"linking: .*undefined reference"):
        compile_csim(folder)
