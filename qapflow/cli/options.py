"""Options of the command line and their way into `BuildSettings`."""

from __future__ import annotations

import argparse
from pathlib import Path

from qapflow.errors import UsageError
from qapflow.steps.settings import Budgets, BuildSettings, check_settings

SANITIZE = "also count wraps, saturations and roundings in an instrumented C simulation"


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """Add everything `qapflow build` takes."""
    parser.add_argument("model", type=Path, help="a .h5 or .keras file, or a .json with weights")
    parser.add_argument("--board", default="xcvu9p", help="name, part string, or .toml (xcvu9p)")
    parser.add_argument("-o", "--output", type=Path, help="folder (default: MODEL_BOARD)")
    parser.add_argument("--weights", type=Path, help="the .h5 that goes with a .json model")
    _add_number_options(parser.add_argument_group("numbers"))
    _add_hardware_options(parser.add_argument_group("hardware"))
    _add_rtl_options(parser.add_argument_group("RTL without a vendor tool"))
    _add_check_options(parser.add_argument_group("checks"))
    _add_budget_options(parser.add_argument_group("budgets (exit 1 when not met)"))
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def _add_number_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--input-type",
        action="append",
        default=[],
        metavar="[NAME=]TYPE",
        help="type of the inputs, such as fixed<16,6>",
    )
    group.add_argument(
        "--calibration", type=Path, metavar="FILE", help="samples to choose types by"
    )
    group.add_argument("--float-bits", type=int, default=18, help="width for float layers (18)")
    group.add_argument(
        "--strip-softmax", action="store_true", help="leave a final softmax out: logits are enough"
    )


def _add_hardware_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--backend", choices=("vitis", "vivado"), default="vitis")
    _add_plan_options(group)
    group.add_argument("--clock-uncertainty-percent", type=float)
    group.add_argument("--synth", choices=("csynth", "cosim", "impl"), help="run the vendor's tool")
    group.add_argument("--require", action="store_true", help="a missing tool is an error (exit 3)")
    group.add_argument(
        "--timeout", type=float, default=3600.0, help="seconds a tool may run (3600)"
    )


def _add_rtl_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--rtl", action="store_true", help="also write RTL and simulate it")
    group.add_argument("--rtl-language", choices=("verilog", "vhdl"), help="(verilog)")
    group.add_argument(
        "--rtl-form",
        choices=("auto", "unrolled", "streaming"),
        help="a sample a clock, or area that follows the kernel (auto: what fits)",
    )


def _add_plan_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--io", choices=("io_parallel", "io_stream"), dest="io_type")
    group.add_argument("--clock-ns", type=float, help="clock period (default: the board's)")
    group.add_argument("--strategy", choices=("latency", "resource", "distributed_arithmetic"))
    group.add_argument("--reuse-factor", type=int)
    group.add_argument("--plan", type=Path, dest="overrides", help="YAML with choices by layer")


def _add_check_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--inputs", type=Path, help="own samples to verify on: .npy, .npz, .csv")
    group.add_argument("--labels", type=Path, help="class numbers of --inputs: .npy or .csv")
    group.add_argument(
        "--vectors", type=int, help="generated samples (1000; from 100 for large networks)"
    )
    group.add_argument("--seed", type=int, default=0, help="of the generated samples (0)")
    group.add_argument("--no-csim", action="store_true", help="do not run the C simulation")
    group.add_argument("--sanitize", action="store_true", help=SANITIZE)
    group.add_argument("--keras", choices=("auto", "no", "require"), default="auto")


def _add_budget_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--max-lut-percent", type=float, help="of the board")
    group.add_argument("--max-dsp", type=int)
    group.add_argument("--max-latency-ns", type=float)
    group.add_argument("--max-mismatch", type=int, help="values that may differ from Keras")


def add_cost_options(parser: argparse.ArgumentParser) -> None:
    """Add everything `qapflow cost` takes."""
    parser.add_argument("model", type=Path, help="a .h5 or .keras file, or a .json with weights")
    parser.add_argument("--weights", type=Path, help="the .h5 that goes with a .json model")
    parser.add_argument("--board", help="also estimate the design on: name, part string, or .toml")
    _add_number_options(parser.add_argument_group("numbers"))
    group = parser.add_argument_group("hardware (with --board)")
    group.add_argument("--backend", choices=("vitis", "vivado"))
    _add_plan_options(group)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """Add everything `qapflow train` takes."""
    parser.add_argument("recipe", nargs="?", type=Path, help="a .yaml file, or a lock file")
    parser.add_argument(
        "--preset", metavar="NAME", help="a recipe that comes with qapflow; `list` shows all"
    )
    parser.add_argument("--data", metavar="SOURCE", help="in place of the recipe's data.source")
    parser.add_argument("--target", metavar="COLUMN", help="in place of the recipe's data.target")
    parser.add_argument("-o", "--output", type=Path, help="the model file, .h5 (default: NAME.h5)")
    parser.add_argument("--seed", type=int, help="in place of the recipe's seed")
    parser.add_argument("--board", help="also estimate every saved model on this board")
    parser.add_argument("--fresh", action="store_true", help="start again, do not resume")
    parser.add_argument(
        "--print-recipe", action="store_true", help="print every setting and train nothing"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def cost_settings(options: argparse.Namespace) -> BuildSettings:
    """Turn the options of `qapflow cost` into settings.

    Raises:
        UsageError: a number is out of range, or a hardware option has no board.
    """
    hardware = {
        "--backend": options.backend,
        "--io": options.io_type,
        "--clock-ns": options.clock_ns,
        "--strategy": options.strategy,
        "--reuse-factor": options.reuse_factor,
        "--plan": options.overrides,
    }
    given = [name for name, value in hardware.items() if value is not None]
    if given and options.board is None:
        raise UsageError(
            "without a board there is no estimate to plan",
            at=given[0],
            hint="name one with --board, or leave the option out",
        )
    settings = BuildSettings(
        model=options.model,
        board=options.board or BuildSettings.board,
        weights=options.weights,
        input_types=_input_types(options),
        calibration=options.calibration,
        float_bits=options.float_bits,
        strip_softmax=options.strip_softmax,
        backend=options.backend or BuildSettings.backend,
        io_type=options.io_type,
        clock_ns=options.clock_ns,
        strategy=options.strategy,
        reuse_factor=options.reuse_factor,
        overrides=options.overrides,
    )
    check_settings(settings)
    return settings


def add_verify_options(parser: argparse.ArgumentParser) -> None:
    """Add everything `qapflow verify` takes."""
    parser.add_argument("folder", type=Path, help="a folder made by qapflow build")
    parser.add_argument(
        "--bisect",
        action="store_true",
        help="compare with Keras layer by layer; say where and why the first difference arises",
    )
    parser.add_argument("--inputs", type=Path, help="own samples: .npy, .npz, .csv")
    parser.add_argument(
        "--vectors",
        type=int,
        help="generated samples (10000; with --bisect the build's own unless given)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the generated samples (1)")
    parser.add_argument("--sanitize", action="store_true", help=SANITIZE)
    parser.add_argument("--keras", choices=("auto", "no", "require"), default="auto")
    parser.add_argument(
        "--timeout", type=float, default=3600.0, help="seconds a tool may run (3600)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def build_settings(options: argparse.Namespace) -> BuildSettings:
    """Turn parsed options into settings.

    Raises:
        UsageError: a number is out of range, or an RTL option is given without --rtl.
    """
    for name in ("rtl_language", "rtl_form"):
        if getattr(options, name) and not options.rtl:
            option = f"--{name.replace('_', '-')}"
            raise UsageError("without --rtl no RTL is written", at=option, hint="add --rtl")
    settings = BuildSettings(
        model=options.model,
        board=options.board,
        weights=options.weights,
        output=options.output,
        input_types=_input_types(options),
        calibration=options.calibration,
        inputs=options.inputs,
        labels=options.labels,
        float_bits=options.float_bits,
        strip_softmax=options.strip_softmax,
        backend=options.backend,
        io_type=options.io_type,
        clock_ns=options.clock_ns,
        clock_uncertainty_percent=options.clock_uncertainty_percent,
        strategy=options.strategy,
        reuse_factor=options.reuse_factor,
        overrides=options.overrides,
        vectors=options.vectors,
        seed=options.seed,
        csim=not options.no_csim,
        sanitize=options.sanitize,
        keras=options.keras,
        synth=options.synth,
        rtl=options.rtl,
        rtl_language=options.rtl_language or BuildSettings.rtl_language,
        rtl_form=options.rtl_form or BuildSettings.rtl_form,
        require=options.require,
        timeout_s=options.timeout,
        budgets=Budgets(
            options.max_lut_percent,
            options.max_dsp,
            options.max_latency_ns,
            options.max_mismatch,
        ),
    )
    check_settings(settings)
    return settings


def _input_types(options: argparse.Namespace) -> dict[str, str]:
    types = {}
    for text in options.input_type:
        name, equals, kind = text.rpartition("=")
        types[name if equals else ""] = kind
    return types
