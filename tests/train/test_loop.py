"""A training that is killed and resumed ends with the weights of one that was not."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from qapflow.errors import UsageError
from qapflow.train.checkpoint import Checkpoint, Position, read_checkpoint, write_checkpoint
from qapflow.train.recipes.recipe import PruningRecipe, Recipe, TrainingRecipe
from qapflow.train.stages import plan_stages, rewind_epoch


def silent(event, facts):
    pass


def test_stages_of_iterative_pruning():
    pruning = PruningRecipe(method="iterative", fractions=(0.5, 0.2), rewind=2)
    recipe = Recipe(pruning=pruning, training=TrainingRecipe(epochs=7))
    stages = plan_stages(recipe)
    assert [(stage.number, stage.share, stage.rewind) for stage in stages] == [
        (0, 0.0, False),
        (1, 0.5, True),
        (2, 0.2, True),
    ]
    assert rewind_epoch(recipe) == 2
    assert len(plan_stages(Recipe())) == 1


def test_checkpoints_are_whole_or_refused(tmp_path):
    path = tmp_path / "state.npz"
    assert read_checkpoint(path) is None
    arrays = {"weights": [np.arange(3.0), np.ones((2, 2))], "masks": []}
    state = Checkpoint(Position(1, 2, 0.5, history=({"loss": 1.0},)), arrays, ("first",))
    write_checkpoint(path, state)
    again = read_checkpoint(path)
    assert again.position == state.position
    assert np.array_equal(again.arrays["weights"][1], np.ones((2, 2)))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UsageError, match="checkpoint cannot be read") as caught:
        read_checkpoint(path)
    assert "--fresh" in str(caught.value)


@pytest.mark.needs_keras
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stage", "epoch", "zeros"),
    [("iterative", 1, 0, [0, 66, 99]), ("delayed", 0, 1, None)],
)
def test_killed_and_resumed_is_the_same_training(tmp_path, name, stage, epoch, zeros):
    from qapflow.train.loop import run_job
    from tests.train.killed import RECIPES, make_job

    found = []
    for _ in run_job(job := make_job(RECIPES[name], tmp_path / "whole.npz"), silent):
        kernels = [layer.kernel.numpy() for layer in job.model.layers if hasattr(layer, "kernel")]
        found.append(132 - sum(map(np.count_nonzero, kernels)))
    assert found == zeros if zeros else found[0] >= 66  # and those of pruned units

    place = [str(tmp_path / "killed.npz"), str(stage), str(epoch)]
    command = [sys.executable, "-m", "tests.train.killed", name, *place]
    killed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    state = read_checkpoint(tmp_path / "killed.npz")
    assert (state.position.stage, state.position.epoch) == (stage, epoch + 1)
    heard = []
    resumed = make_job(RECIPES[name], tmp_path / "killed.npz")
    for _ in run_job(resumed, lambda event, facts: heard.append((event, facts.get("epoch")))):
        pass
    assert heard[0] == ("resumed", epoch + 1)
    whole, again = (read_checkpoint(tmp_path / name) for name in ("whole.npz", "killed.npz"))
    assert whole.position == again.position
    assert whole.quantizers == again.quantizers
    assert whole.arrays.keys() == again.arrays.keys()
    for group, arrays in whole.arrays.items():
        for first, second in zip(arrays, again.arrays[group], strict=True):
            assert np.array_equal(first, second), group
