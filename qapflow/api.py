"""The Python interface: the same builds as the command line, from a file or a live model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qapflow.errors import UsageError
from qapflow.lower.files import write_file
from qapflow.steps.cache import BuildFolder, run_again, run_steps
from qapflow.steps.context import SETTINGS, Context, read_settings
from qapflow.steps.pipeline import STEPS
from qapflow.steps.settings import (
    Budgets,
    BuildSettings,
    KerasMode,
    check_settings,
    settings_to_json,
)

if TYPE_CHECKING:
    from qapflow.report.figures import Comparison, Report
    from qapflow.steps.open_synthesis import OpenSettings
    from qapflow.synth.flows import Stage
    from qapflow.synth.open.result import OpenSynthesis
    from qapflow.verify.bisection import Bisection

Listener = Callable[[str, str], None]


def _silent(name: str, state: str) -> None:
    """Tell nobody."""


def build(model: Any, board: str = "xcvu9p", **settings: Any) -> Report:
    """Build a model and return the report; `report.passed` tells whether every check holds.

    `model` is a path, or a Keras model in memory (saved to `<output>/model.h5` first, so that it
    takes the same way as a file). Settings are those of `BuildSettings`; budgets may be given
    directly, such as `max_dsp=200`.

    Raises:
        QapflowError: of the kind that the command line turns into its exit code.
    """
    budget_names = {item.name for item in fields(Budgets)}
    budgets = {name: settings.pop(name) for name in budget_names & settings.keys()}
    known = {item.name for item in fields(BuildSettings)} - {"model", "board", "budgets"}
    unknown = settings.keys() - known
    if unknown:
        raise UsageError(
            f"unknown setting {sorted(unknown)[0]!r}",
            hint=f"settings are {', '.join(sorted(known))}",
        )
    paths = ("output", "weights", "calibration", "inputs", "labels", "overrides")
    for name in paths:
        if settings.get(name) is not None:
            settings[name] = Path(settings[name])
    if not isinstance(model, str | Path):
        model, settings["output"] = _save_live(model, settings.get("output"), board)
    made = BuildSettings(Path(model), board=board, budgets=Budgets(**budgets), **settings)
    check_settings(made)
    return build_with(made)


def _save_live(model: Any, output: Path | None, board: str) -> tuple[Path, Path]:
    """Save a Keras model beside its build folder."""
    if not callable(getattr(model, "save", None)):
        raise UsageError(
            f"{type(model).__name__} is neither a path nor a Keras model",
            hint="give the path of a .h5 or .keras file",
        )
    output = output or Path(f"{getattr(model, 'name', 'model')}_{Path(board).stem}")
    path = output.with_name(f"{output.name}.h5")
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(str(path), include_optimizer=False)
    return path, output


def build_with(settings: BuildSettings, listen: Listener = _silent) -> Report:
    """Run every step that is not up to date and return the report.

    `listen(step, state)` hears "running", "done" and "cached", and notes as "note: ...".

    Raises:
        QapflowError: a step failed; steps before it keep their results.
    """
    from qapflow.report import read_report

    _check_before(settings)
    folder = BuildFolder(settings.folder)
    with folder.locked():
        write_file(folder.path / SETTINGS, settings_to_json(settings))
        results = run_steps(STEPS, Context(settings, folder), folder, listen)
        for result in results:
            for path in result.edited:
                kept = folder.path / BuildFolder.KEPT / path
                listen(result.name, f"note: {path} had been edited; made anew, yours is {kept}")
        return read_report(folder.read("report.json").decode())


def _check_before(settings: BuildSettings) -> None:
    """Fail on a wrong model path or board before a folder is made."""
    from qapflow.boards import load_target
    from qapflow.steps.context import file_digest

    if not settings.model.exists():
        raise UsageError("there is no such file", at=str(settings.model), hint="check the path")
    file_digest(settings.model)
    load_target(settings.board)


def load_report(folder: Path) -> Report:
    """Read the report of a finished build.

    Raises:
        UsageError: there is none.
    """
    from qapflow.report import read_report

    try:
        text = (folder / "report.json").read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            "there is no report here", at=str(folder), hint="run qapflow build first"
        ) from error
    return read_report(text)


def verify_build(
    folder: Path,
    *,
    inputs: Path | None = None,
    vectors: int = 10_000,
    seed: int = 1,
    keras: KerasMode = "auto",
    timeout_s: float = 3600.0,
    sanitize: bool = False,
) -> Sequence[Comparison]:
    """Compare interpreter, C simulation and Keras again: on own inputs, or on more vectors.

    `sanitize` also compares the bits lost in an instrumented C simulation.

    Raises:
        UsageError: the folder is no finished build, or the inputs do not fit.
        ToolFailed: the C simulation or Keras crashed.
    """
    from qapflow.steps.verification import verify_again

    with _finished(
        folder, keras=keras, timeout_s=timeout_s, labels=None, sanitize=sanitize
    ) as context:
        return verify_again(context, inputs=inputs, count=vectors, seed=seed)


def bisect_build(
    folder: Path,
    *,
    inputs: Path | None = None,
    vectors: int | None = None,
    seed: int = 1,
    timeout_s: float = 3600.0,
) -> Bisection:
    """Find the first layer that differs from Keras, every other one, and the causes.

    On own inputs, on new `vectors`, or on the samples of the build. Its report shows the result.

    Raises:
        UsageError: the folder is no finished build, its model is gone, or the inputs do not fit.
        ToolMissing: Keras is not installed.
        ToolFailed: Keras crashed or took too long.
    """
    from qapflow.steps.verification import bisect_again

    with _finished(folder, timeout_s=timeout_s) as context:
        found = bisect_again(context, inputs=inputs, count=vectors, seed=seed)
        run_again(STEPS[-1], context, context.folder)
        return found


def synth_build(settings: OpenSettings, listen: Listener = _silent) -> OpenSynthesis:
    """Count the cells of a build's RTL, or of any folder of Verilog, by Yosys.

    The report of a build shows the result, also a partial one.

    Raises:
        ToolMissing: there is no Yosys.
        UsageError: there is nothing to synthesise.
    """
    from qapflow.steps.open_synthesis import is_build, open_synthesis

    if not is_build(settings.folder):
        return open_synthesis(settings, listen)
    with _finished(settings.folder) as context:
        found = open_synthesis(settings, listen)
        run_again(STEPS[-1], context, context.folder)
        return found


def vendor_build(folder: Path, stage: Stage, *, timeout_s: float, require: bool) -> Report:
    """Run the vendor's tools on a build as far as `stage`, and return the new report.

    Raises:
        ToolMissing: they are absent and `require` is set.
        ToolFailed: one crashed or ran out of time.
    """
    from qapflow.report import read_report

    changes = {"synth": stage, "timeout_s": timeout_s, "require": require}
    with _finished(folder, **changes) as context:
        steps = {step.name: step for step in STEPS}
        run_again(steps["synthesise"], context, context.folder)
        run_again(STEPS[-1], context, context.folder)
        return read_report(context.folder.read("report.json").decode())


@contextmanager
def _finished(folder: Path, **changes: Any) -> Iterator[Context]:
    """Open a build, locked.

    Raises:
        UsageError: a step has not run.
    """
    settings = replace(read_settings(folder), **changes)
    build_folder = BuildFolder(folder)
    with build_folder.locked():
        missing = [step.name for step in STEPS if step.name not in build_folder.state]
        if missing:
            raise UsageError(
                f"the build is not finished: {missing[0]} has not run",
                at=str(folder),
                hint="run qapflow build again",
            )
        yield Context(settings, build_folder)
