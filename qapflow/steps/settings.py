"""What a user can decide about a build: one frozen record behind the command line and the API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from qapflow.errors import UsageError

KerasMode = Literal["auto", "no", "require"]


@dataclass(frozen=True)
class Budgets:
    """Limits that fail a build (exit 1); None means no limit."""

    max_lut_percent: float | None = None
    max_dsp: int | None = None
    max_latency_ns: float | None = None
    max_mismatch: int | None = None


@dataclass(frozen=True)
class BuildSettings:
    """Settings of one build.

    `input_types` maps input names (or "" for all) to types such as "fixed<16,6>". `inputs`,
    `labels` and `calibration` are .npy, .npz or .csv files of real values. `overrides` is a YAML
    file. `vectors` is the number of generated verification samples (None: by size). `synth` is the
    furthest vendor stage to run. `rtl` also writes and simulates the network as Verilog or VHDL.
    `sanitize` also counts lost bits in an instrumented C simulation. `require` turns a missing tool
    into an error.
    """

    model: Path
    board: str = "xcvu9p"
    weights: Path | None = None
    output: Path | None = None
    input_types: Mapping[str, str] = field(default_factory=dict)
    calibration: Path | None = None
    inputs: Path | None = None
    labels: Path | None = None
    float_bits: int = 18
    strip_softmax: bool = False
    backend: Literal["vitis", "vivado"] = "vitis"
    io_type: Literal["io_parallel", "io_stream"] | None = None
    clock_ns: float | None = None
    clock_uncertainty_percent: float | None = None
    strategy: Literal["latency", "resource", "distributed_arithmetic"] | None = None
    reuse_factor: int | None = None
    overrides: Path | None = None
    vectors: int | None = None
    seed: int = 0
    csim: bool = True
    sanitize: bool = False
    keras: KerasMode = "auto"
    synth: Literal["csynth", "cosim", "impl"] | None = None
    rtl: bool = False
    rtl_language: Literal["verilog", "vhdl"] = "verilog"
    rtl_form: Literal["auto", "unrolled", "streaming"] = "auto"
    require: bool = False
    timeout_s: float = 3600.0
    budgets: Budgets = field(default_factory=Budgets)

    @property
    def folder(self) -> Path:
        """Return where the build goes: `<model>_<board>` in the current folder by default."""
        return self.output or Path(f"{self.model.stem}_{Path(self.board).stem}")


def check_settings(settings: BuildSettings) -> None:
    """Refuse numbers that mean nothing.

    Raises:
        UsageError: naming the option and its range.
    """
    ranges = (
        ("--clock-ns", settings.clock_ns, 0.1, 1000.0),
        ("--clock-uncertainty-percent", settings.clock_uncertainty_percent, 0.0, 99.0),
        ("--float-bits", settings.float_bits, 4, 40),
        ("--reuse-factor", settings.reuse_factor, 1, 1_000_000),
        ("--vectors", settings.vectors, 1, 10_000_000),
        ("--seed", settings.seed, 0, 2**32 - 1),
        ("--timeout", settings.timeout_s, 1.0, 1e7),
        ("--max-lut-percent", settings.budgets.max_lut_percent, 0.0, 1e6),
        ("--max-dsp", settings.budgets.max_dsp, 0, 10**9),
        ("--max-latency-ns", settings.budgets.max_latency_ns, 0.0, 1e12),
        ("--max-mismatch", settings.budgets.max_mismatch, 0, 10**12),
    )
    for name, value, low, high in ranges:
        if value is not None and not low <= value <= high:
            raise UsageError(f"{name} is {value:g}", hint=f"give a number from {low:g} to {high:g}")


def settings_to_json(settings: BuildSettings) -> bytes:
    """Return settings as JSON, for `qapflow verify` to find later."""
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(settings).items()}
    return (json.dumps(plain, indent=1, sort_keys=True) + "\n").encode()


def settings_from_json(content: bytes) -> BuildSettings:
    """Read what `settings_to_json` wrote.

    Raises:
        UsageError: it is something else.
    """
    paths = ("model", "weights", "output", "calibration", "inputs", "labels", "overrides")
    try:
        plain: dict[str, Any] = json.loads(content)
        for name in paths:
            plain[name] = Path(plain[name]) if plain[name] is not None else None
        plain["budgets"] = Budgets(**plain["budgets"])
        return BuildSettings(**plain)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"the settings of this build are damaged: {error}") from error
