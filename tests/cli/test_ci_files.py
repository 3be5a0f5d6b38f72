"""The CI files of `qapflow init`: sound YAML, commands that exist, nothing overwritten."""

import re
import shlex

import pytest
import yaml

from qapflow.cli.ci_files import render_ci
from qapflow.cli.main import main, make_parser
from qapflow.errors import UsageError


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_text(ci, golden):
    assert render_ci(ci, "models/jet tagger.h5", "xcvu9p") == golden


def scripts(ci):
    data = yaml.safe_load(render_ci(ci, "models/jet tagger.h5", "xcvu9p"))
    if ci == "github":
        assert set(data) == {"name", True, "defaults", "jobs"}  # YAML takes the key `on` for true
        assert data["defaults"]["run"]["shell"] == "bash"  # GitHub adds pipefail for this word only
        return [step["run"] for step in data["jobs"]["firmware"]["steps"] if "run" in step]
    job = data["firmware"]
    return [*job["before_script"], *job["script"]]


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_every_command_is_one_of_ours(ci):
    lines = "\n".join(scripts(ci))
    commands = re.findall(r"qapflow [a-z].*?(?= \|| >>| &&|$)", lines, re.MULTILINE)
    verbs = set()
    for command in commands:
        options = make_parser().parse_args(shlex.split(command)[1:])
        verbs.add(options.run.__name__.removeprefix("run_"))
    assert verbs == {"doctor", "build", "verify", "synth", "diff"} | (
        {"report"} if ci == "github" else set()
    )


def test_a_file_that_is_there_stays(tmp_path, capsys):
    init = ["init", "--ci", "github", "--folder", str(tmp_path), "--model", "m.h5"]
    assert main(init) == 0
    path = tmp_path / ".github" / "workflows" / "firmware.yml"
    path.write_text("mine")
    assert main(init) == 2
    assert "there is a CI file already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main([*init, "--force"]) == 0
    assert yaml.safe_load(path.read_text())["name"] == "firmware"


@pytest.mark.parametrize("model", ["a; rm -rf b", "${{ x }}", "a\nb", "$(x)", "-o", "", "a'b"])
def test_paths_that_a_shell_would_run_are_refused(model):
    with pytest.raises(UsageError, match="cannot stand in a CI file"):
        render_ci("gitlab", model, "xcvu9p")


def test_unknown_board_and_folder(tmp_path, capsys):
    with pytest.raises(UsageError, match="nope"):
        render_ci("github", "m.h5", "nope")
    assert main(["init", "--ci", "gitlab", "--folder", str(tmp_path / "no")]) == 2
    assert "no such folder" in capsys.readouterr().err
