"""What doctor finds, in this environment and in made-up ones."""

import stat

import pytest

from qapflow.cli.doctor import diagnose

GOOD = {
    "numpy": "1.26.4",
    "h5py": "3.14.0",
    "hls4ml": "1.3.0",
    "tensorflow": "2.21.0",
    "tf-keras": "2.21.0",
    "qkeras": "0.9.0",
    "tensorflow-model-optimization": "0.8.1",
    "pyparsing": "3.3.3",
}


def judge(**changes):
    versions = {**GOOD, **{key.replace("_", "-"): value for key, value in changes.items()}}
    return {f.name: f for f in diagnose(lambda name: versions.get(name, ""))}


@pytest.fixture(autouse=True)
def nothing_on_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("VIVADO", "VITIS_HLS", "VIVADO_HLS", "VITIS_RUN", "VPP", "CXX"):
        monkeypatch.delenv(name, raising=False)


def test_a_good_environment_has_no_conflict():
    found = judge()
    assert [f.name for f in found.values() if f.status == "conflict"] == []
    assert found["tensorflow"].version == "2.21.0"


def test_everything_missing_says_what_it_adds_and_how_to_get_it():
    found = judge(**dict.fromkeys((name.replace("-", "_") for name in GOOD), ""))
    missing = [f for f in found.values() if f.status == "missing"]
    assert len(missing) >= 12
    assert all(f.adds and f.fix and f.version is None for f in missing)
    assert found["qkeras"].fix == 'pip install "qapflow[train]"'


@pytest.mark.parametrize(
    ("changes", "name", "fix"),
    [
        ({"tf_keras": ""}, "tensorflow without tf-keras", 'pip install "tf-keras~=2.21.0"'),
        ({"tf_keras": ""}, "pruning without tf-keras", "qapflow[train]"),
        ({"tf_keras": "2.20.1"}, "tf-keras and tensorflow differ", "tf-keras~=2.21.0"),
        ({"pyparsing": ""}, "qkeras without pyparsing", 'pip install "pyparsing>=3"'),
        ({"tensorflow": "2.14.1", "tf_keras": ""}, "hls4ml[qkeras] pins", "qapflow[train]"),
        ({"h5py": "2.10.0"}, "h5py", 'pip install "h5py>=3.10"'),
        ({"numpy": "1.21.0"}, "numpy", 'pip install "numpy>=1.26"'),
    ],
)
def test_combinations_that_install_and_then_fail(changes, name, fix):
    found = judge(**changes)[name]
    assert found.status == "conflict"
    assert fix in found.fix


def test_numpy_2_is_fine_with_a_word_about_hls4ml():
    found = judge(numpy="2.2.0")["numpy 2 with hls4ml 1.3"]
    assert found.status == "ok"
    assert "np.product" in found.adds


def fake(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_programs_are_found_with_their_versions(tmp_path):
    fake(tmp_path, "vivado_hls", "Vivado(TM) HLS - from C, C++ and OpenCL v2020.1 (64-bit)")
    fake(tmp_path, "vitis-run", "****** vitis-run v2022.2 (64-bit)")
    fake(tmp_path, "yosys", "Yosys 0.23 (git sha1 7ce5011c24b)")
    found = judge()
    assert (found["vivado_hls"].status, found["vivado_hls"].version) == ("ok", "2020.1")
    assert found["vitis-run"].status == "conflict"
    assert "needs vitis-run (2023.1 on)" in found["vitis-run"].adds
    assert found["yosys"].version == "0.23"
    assert found["v++"].status == "missing"


def test_a_wrong_variable_is_a_conflict(monkeypatch):
    monkeypatch.setenv("VIVADO", "/absent/vivado")
    assert judge()["vivado"].status == "conflict"
    assert "VIVADO names /absent/vivado" in judge()["vivado"].fix


def test_a_version_in_the_folder_name_is_enough(tmp_path, monkeypatch):
    folder = tmp_path / "Vivado" / "2019.2" / "bin"
    folder.mkdir(parents=True)
    fake(folder, "vivado_hls", "never started")
    monkeypatch.setenv("PATH", str(folder))
    assert judge()["vivado_hls"].version == "2019.2"


def test_a_wrong_yosys_is_a_conflict(monkeypatch):
    monkeypatch.setenv("YOSYS", "/absent/yosys")
    assert judge()["yosys"].status == "conflict"
    assert "YOSYS names /absent/yosys" in judge()["yosys"].fix


def test_no_yosys_names_the_package(monkeypatch):
    monkeypatch.setattr("qapflow.synth.open.engines._find", lambda kind, env: None)
    assert judge()["yosys"].fix == "pip install pyosys"
