"""What a user can decide about a build: one frozen record behind the command line and the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

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
    file. `vectors` is the number of generated verification samples. `synth` is the furthest
    vendor stage to run. `require` turns a missing tool into an error.
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
    vectors: int = 1000
    seed: int = 0
    csim: bool = True
    keras: KerasMode = "auto"
    synth: Literal["csynth", "cosim", "impl"] | None = None
    require: bool = False
    timeout_s: float = 3600.0
    budgets: Budgets = field(default_factory=Budgets)

    @property
    def folder(self) -> Path:
        """Return where the build goes: `<model>_<board>` in the current folder by default."""
        return self.output or Path(f"{self.model.stem}_{Path(self.board).stem}")
