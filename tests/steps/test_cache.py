"""The build folder: what runs again, what does not, and what survives."""

import json
import multiprocessing
import os
import signal
import time

import pytest

from qapflow.errors import UsageError
from qapflow.lower.files import Files
from qapflow.steps.cache import BuildFolder, Step, run_steps


class Recorder:
    """A chain double -> show; counts how often each step ran."""

    def __init__(self, folder, number=2, colour="red"):
        self.folder = folder
        self.number = number
        self.colour = colour
        self.ran = []

    def double(self, _):
        self.ran.append("double")
        return Files({"double.txt": str(self.number**2).encode()})

    def show(self, _):
        self.ran.append("show")
        text = self.folder.read("double.txt").decode() + self.colour
        return Files({"out/show.txt": text.encode()})

    def build(self):
        steps = (
            Step("double", (), lambda c: {"number": c.number}, self.double),
            Step("show", ("double",), lambda c: {"colour": c.colour}, self.show),
        )
        with self.folder.locked():
            return run_steps(steps, self, self.folder)


@pytest.fixture
def folder(tmp_path):
    return BuildFolder(tmp_path / "build")


def test_second_run_does_nothing(folder):
    Recorder(folder).build()
    again = Recorder(folder)
    results = again.build()
    assert again.ran == []
    assert [r.cached for r in results] == [True, True]
    assert folder.read("out/show.txt") == b"4red"


def test_a_setting_reruns_only_what_depends_on_it(folder):
    Recorder(folder).build()
    other = Recorder(folder, colour="blue")
    other.build()
    assert other.ran == ["show"]
    assert folder.read("out/show.txt") == b"4blue"


def test_equal_bytes_stop_the_ripple(folder):
    Recorder(folder, number=2).build()
    negative = Recorder(folder, number=-2)
    negative.build()
    assert negative.ran == ["double"]


def test_a_hand_edit_is_noticed_kept_and_repaired(folder):
    Recorder(folder).build()
    (folder.path / "out/show.txt").write_text("mine")
    again = Recorder(folder)
    results = again.build()
    assert again.ran == ["show"]
    assert results[1].edited == ("out/show.txt",)
    assert folder.read("out/show.txt") == b"4red"
    assert folder.read(".qapflow/edited/out/show.txt") == b"mine"


def test_a_file_no_longer_made_is_removed(folder):
    class Two(Recorder):
        def show(self, _):
            return Files({"other.txt": b"x"})

    Recorder(folder).build()
    Two(folder, colour="green").build()
    assert not (folder.path / "out/show.txt").exists()


def test_a_broken_record_means_everything_runs(folder):
    Recorder(folder).build()
    (folder.path / BuildFolder.STATE).write_text('{"double": ')
    again = Recorder(folder)
    again.build()
    assert again.ran == ["double", "show"]


def _hang(path, ready):
    class Hanging(Recorder):
        def show(self, _):
            ready.set()
            time.sleep(60)

    Hanging(BuildFolder(path)).build()


def test_a_killed_build_is_completed_and_two_builds_do_not_mix(folder):
    spawn = multiprocessing.get_context("fork")
    ready = spawn.Event()
    process = spawn.Process(target=_hang, args=(folder.path, ready))
    process.start()
    assert ready.wait(30)
    with pytest.raises(UsageError, match="another build is running in this folder"):
        Recorder(folder).build()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    leftover = folder.path / "out" / ".show.txt.abc.partial"
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_text("half")
    after = Recorder(folder)
    after.build()
    assert not leftover.exists()
    assert after.ran == ["show"]
    assert folder.read("out/show.txt") == b"4red"


def test_foreign_folders_and_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="holds files that no build made"):
        Recorder(BuildFolder(tmp_path)).build()
    with pytest.raises(UsageError, match="the output is a file"):
        Recorder(BuildFolder(tmp_path / "thesis.tex")).build()
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_unwritable_folder(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    folder = BuildFolder(tmp_path / "build")
    monkeypatch.setattr(Files, "write", full)
    with pytest.raises(UsageError, match="cannot be written: No space left on device"):
        Recorder(folder).build()
    monkeypatch.undo()
    Recorder(folder).build()
    assert folder.read("out/show.txt") == b"4red"


def test_the_record_names_every_file_by_digest(folder):
    Recorder(folder).build()
    state = json.loads(folder.read(BuildFolder.STATE))
    assert list(state) == ["double", "show"]
    assert len(state["show"]["outputs"]["out/show.txt"]) == 64
