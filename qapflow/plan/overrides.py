"""Choices of the user from a YAML file, in qapflow's own words or in hls4ml's."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from qapflow.errors import UsageError
from qapflow.plan import Backend, IoType, Strategy

STRATEGIES: tuple[Strategy, ...] = ("latency", "resource", "distributed_arithmetic")
IO_TYPES: tuple[IoType, ...] = ("io_parallel", "io_stream")
BACKENDS: tuple[Backend, ...] = ("vitis", "vivado")


@dataclass(frozen=True)
class LayerOverride:
    """What the user fixed for a layer; None leaves it to the proposal. `at` is file and key."""

    strategy: Strategy | None = None
    reuse_factor: int | None = None
    at: str = ""


@dataclass(frozen=True)
class Overrides:
    """Everything one file fixes. `layers` by layer name, `classes` by Keras class name."""

    source: str
    backend: Backend | None = None
    io_type: IoType | None = None
    clock_ns: float | None = None
    clock_uncertainty_percent: float | None = None
    model: LayerOverride = LayerOverride()
    classes: Mapping[str, LayerOverride] = field(default_factory=dict)
    layers: Mapping[str, LayerOverride] = field(default_factory=dict)


# hls4ml's spelling -> ours.
_ALIASES = {
    "Backend": "backend",
    "IOType": "io_type",
    "ClockPeriod": "clock_ns",
    "ClockUncertainty": "clock_uncertainty_percent",
    "Strategy": "strategy",
    "ReuseFactor": "reuse_factor",
}
_GLOBAL = ("backend", "io_type", "clock_ns", "clock_uncertainty_percent")
_LAYER = ("strategy", "reuse_factor")
_SECTIONS = ("HLSConfig", "Model", "LayerType", "LayerName", "layers")

# Keys of hls4ml that qapflow knows and does not take, and why.
_REFUSED = {
    "Precision": "types come from the model, so that the firmware computes what it computes",
    "Part": "the part comes from --board",
    "Board": "the board comes from --board",
    "OutputDir": "the folder comes from -o",
    "ProjectName": "the project is named after the model",
    "KerasH5": "the model is the argument of qapflow build",
    "KerasJson": "the model is the argument of qapflow build",
    "KerasModel": "the model is the argument of qapflow build",
    "InputData": "give samples with --inputs",
    "OutputPredictions": "expected outputs are computed, not read",
    "BramFactor": "weights stay on the chip",
    "Compression": "compressed weights are not built",
    "ConvImplementation": "only the line buffer is built",
    "ParallelizationFactor": "one output pixel is computed at a time",
    "TargetCycles": "give a reuse factor instead",
    "TraceOutput": "every edge can be traced by qapflow verify",
    "Trace": "every edge can be traced by qapflow verify",
    "TableSize": "tables hold every input code",
    "Implementation": "the tables of softmax come from the model",
    "PipelineStyle": "the pipeline follows from io_type and strategy",
}


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, which YAML libraries let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f"the key {key!r} stands twice in the block at line {line}")
        return super().construct_mapping(node, deep)


def read_overrides(path: Path) -> Overrides:
    """Read a YAML file of choices.

    Own form: `LAYER: {strategy: resource, reuse_factor: 16}`, beside `io_type`, `clock_ns`, ... at
    the top. hls4ml's form: `Model`, `LayerType` and `LayerName` (also below `HLSConfig`) with
    `Strategy` and `ReuseFactor`; `Backend`, `IOType`, `ClockPeriod`, `ClockUncertainty`.

    Raises:
        UsageError: unreadable, not YAML, an unknown key, or a value out of range.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        what = f"the plan file cannot be read: {error.strerror or error}"
        raise UsageError(what, str(path), "give --plan a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, RecursionError) as error:
        raise UsageError(f"the plan file is not YAML: {error}", str(path)) from error
    return parse_overrides({} if data is None else data, str(path))


def parse_overrides(data: object, source: str) -> Overrides:
    """Turn the parsed YAML of a plan file into `Overrides`; errors as in `read_overrides`."""
    found = _Found(source)
    found.take_top(_mapping(data, source))
    return Overrides(
        source,
        **found.globals,
        model=LayerOverride(**found.model, at=source),
        classes=found.classes,
        layers=found.layers,
    )


class _Found:
    """What has been read so far."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.globals: dict[str, Any] = {}
        self.model: dict[str, Any] = {}
        self.classes: dict[str, LayerOverride] = {}
        self.layers: dict[str, LayerOverride] = {}

    def take_top(self, data: Mapping[str, Any]) -> None:
        for key, value in data.items():
            at = f"{self.source}, key {key}"
            name = _ALIASES.get(key, key)
            if name in _GLOBAL:
                self.globals[name] = _VALUES[name](value, at)
            elif name in _LAYER:
                self.model[name] = _VALUES[name](value, at)
            elif key in ("HLSConfig", "Model"):
                self.take_top(_mapping(value, at))
            elif key == "LayerType":
                self.classes.update(_layers(value, at))
            elif key in ("LayerName", "layers"):
                self.layers.update(_layers(value, at))
            elif isinstance(value, Mapping) and key not in _REFUSED:
                self.layers[str(key)] = _layer(value, at)
            else:
                raise _unknown(key, at, (*_SECTIONS, *_GLOBAL, *_LAYER, *_ALIASES))


def _layers(value: object, at: str) -> dict[str, LayerOverride]:
    return {str(k): _layer(v, f"{at}, {k}") for k, v in _mapping(value, at).items()}


def _layer(value: object, at: str) -> LayerOverride:
    taken: dict[str, Any] = {}
    for key, setting in _mapping(value, at).items():
        name = _ALIASES.get(key, key)
        if name in _LAYER:
            taken[name] = _VALUES[name](setting, f"{at}, key {key}")
        elif key != "Trace" or setting is not False:
            raise _unknown(key, at, (*_LAYER, "Strategy", "ReuseFactor"))
    return LayerOverride(**taken, at=at)


def _unknown(key: object, at: str, known: tuple[str, ...]) -> UsageError:
    if key in _REFUSED:
        hint = "take the key out; qapflow reads Strategy and ReuseFactor of layers"
        return UsageError(f"{key} cannot be set: {_REFUSED[key]}", at, hint)
    close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    return UsageError(f"unknown key {key!r} in the plan file", at, hint)


def _mapping(value: object, at: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        hint = "write it as  layer: {strategy: resource, reuse_factor: 16}"
        raise UsageError(f"expected keys with values, not {value!r}", at, hint)
    return value


def _one_of(known: tuple[str, ...], value: object, at: str) -> str:
    """Match a word without case and underscores, so that hls4ml's CamelCase passes."""
    plain = {name.replace("_", ""): name for name in known}
    plain.update({"da": "distributed_arithmetic"} if "latency" in known else {})
    text = str(value).replace("_", "").casefold()
    if text in plain:
        return plain[text]
    close = difflib.get_close_matches(text, list(plain), n=1, cutoff=0.4)
    hint = f"did you mean {plain[close[0]]!r}?" if close else f"one of {', '.join(known)}"
    raise UsageError(f"{value!r} is not one of {', '.join(known)}", at, hint)


def _positive_int(value: object, at: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"a reuse factor is a whole number from 1, not {value!r}", at)
    return value


def _clock(value: object, at: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"a clock period is a number of nanoseconds, not {value!r}", at)
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"a clock period is positive, not {value!r}", at, "for example 5.0")
    return float(value)


def _percent(value: object, at: str) -> float:
    try:
        number = float(str(value).removesuffix("%"))
    except ValueError:
        number = math.nan
    if not 0 <= number < 100:
        raise UsageError(f"a clock uncertainty is 0 to 99 percent, not {value!r}", at, "12.5%")
    return number


_VALUES: dict[str, Callable[[object, str], Any]] = {
    "backend": lambda value, at: _one_of(BACKENDS, value, at),
    "io_type": lambda value, at: _one_of(IO_TYPES, value, at),
    "clock_ns": _clock,
    "clock_uncertainty_percent": _percent,
    "strategy": lambda value, at: _one_of(STRATEGIES, value, at),
    "reuse_factor": _positive_int,
}
