"""The wheel, a plain install and an editable install all find boards and templates."""

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROBE = (
    "import qapflow, pathlib;"
    "from qapflow.boards import list_targets;"
    "from qapflow.resources import templates_dir;"
    "from qapflow.report import render;"
    "print(len(list_targets()), (templates_dir() / 'hls').is_dir(), qapflow.__file__)"
)


def run(*command, cwd):
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_every_package_is_listed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "qapflow").rglob("__init__.py")
    }
    assert found == listed - {"qapflow.templates", "qapflow.boards_data"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_wheel_has_every_data_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder, packaged in (("boards", "boards_data"), ("templates", "templates")):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix != ".md":
                assert f"qapflow/{packaged}/{path.relative_to(ROOT / folder)}" in names, path


@pytest.mark.slow
def test_installed_wheel_runs_away_from_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel, cwd="/")
    code = f"import sys; sys.path.insert(0, {str(site)!r}); {PROBE}"
    count, templates, where = run(sys.executable, "-c", code, cwd=tmp_path).split()
    assert int(count) >= 24
    assert templates == "True"
    assert Path(where).is_relative_to(site)


@pytest.mark.slow
def test_editable_install_uses_the_checkout(tmp_path):
    run(sys.executable, "-m", "venv", "--system-site-packages", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-deps", "-e", ROOT, cwd=tmp_path)
    site = run(
        python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=tmp_path
    ).strip()
    assert any("qapflow" in path.name for path in Path(site).iterdir())
    probe = f"import sys; sys.path.insert(0, {site!r}); {PROBE}"
    outside = [path for path in sys.path if "numpy" in path]
    assert outside == []
    parents = str(Path(__import__("numpy").__file__).parent.parent)
    code = f"import sys; sys.path.append({parents!r}); {probe}"
    count, templates, where = run(python, "-c", code, cwd=tmp_path).split()
    assert int(count) >= 24
    assert templates == "True"
    assert Path(where) == ROOT / "qapflow" / "__init__.py"
