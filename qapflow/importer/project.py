"""An hls4ml project directory as a network and a plan: exact, or refused by name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from qapflow.boards import load_target
from qapflow.errors import ModelUnsupported, Unsupported, UsageError
from qapflow.importer.layers import HANDLERS
from qapflow.importer.reader import Reader
from qapflow.importer.sources import read_sources, read_text
from qapflow.ir.net import Net
from qapflow.plan import Plan
from qapflow.target import Target

CONFIG = "hls4ml_config.yml"
_HINT = "give the folder that holds firmware/ and hls4ml_config.yml"


@dataclass(frozen=True)
class Imported:
    """A project that was read.

    `unknown` lists the layers that the importer cannot read, whose outputs are inputs of the
    network here; `inexact` what the network cannot compute as the firmware does. With either it
    serves estimates only, else it is bit for bit the same. `layer_of` names the node of each
    config, as reports name modules.
    """

    folder: Path
    net: Net
    plan: Plan
    target: Target
    inexact: tuple[Unsupported, ...] = ()
    unknown: tuple[Unsupported, ...] = ()
    layer_of: dict[str, str] = field(default_factory=dict)
    top: str = ""  # function


def import_project(folder: Path) -> Imported:
    """Return an hls4ml project as a network that computes the same, bit for bit, and its plan.

    Raises:
        UsageError: no hls4ml project, or its files contradict each other.
        ModelUnsupported: layers or types that no network expresses exactly; all are listed.
    """
    found = _read(folder, exact=True)
    _refuse(found, folder)
    return found


def import_net(folder: Path) -> Net:
    """Return the network alone, which the sources of the firmware suffice for.

    Raises:
        UsageError: no hls4ml project, or its files contradict each other.
        ModelUnsupported: layers or types that no network expresses exactly; all are listed.
    """
    reader = _follow(folder, exact=True)
    _refuse(reader, folder)
    return reader.net()


def _refuse(found: Imported | Reader, folder: Path) -> None:
    if items := (*found.inexact, *found.unknown):
        raise ModelUnsupported(items, str(folder))


def read_project(folder: Path) -> Imported:
    """Return a project as far as estimates need it: sums in their accumulator types.

    Raises:
        UsageError: no hls4ml project, or its files contradict each other.
        ModelUnsupported: no layer with weights can be read.
    """
    return _read(folder, exact=False)


def _follow(folder: Path, exact: bool) -> Reader:
    reader = Reader(read_sources(folder), exact)
    reader.read(HANDLERS)
    if reader.unknown and not reader.choices:
        raise ModelUnsupported(reader.unknown, str(folder))
    return reader


def _read(folder: Path, exact: bool) -> Imported:
    settings = _settings(folder)
    reader = _follow(folder, exact)
    plan = Plan(
        backend=settings["backend"],
        io_type="io_stream" if reader.stream else "io_parallel",
        clock_ns=settings["clock_ns"],
        clock_uncertainty_percent=settings["uncertainty"],
        choices=reader.choices,
    )
    target = load_target(settings["part"])
    return Imported(
        folder,
        reader.net(),
        plan,
        target,
        tuple(reader.inexact),
        tuple(reader.unknown),
        reader.layer_of,
        reader.sources.top,
    )


def _settings(folder: Path) -> dict[str, Any]:
    """Return part, clock in ns, uncertainty in percent and back end from the project's YAML."""
    path = folder / CONFIG
    if not path.is_file():
        return _script_settings(folder)
    text = re.sub(r"!\S+", "", read_text(path))  # tags of hls4ml's own Python objects
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"the configuration is not YAML: {error}", str(path), _HINT) from error
    if not isinstance(data, dict) or not isinstance(data.get("HLSConfig"), dict):
        raise UsageError("this is no hls4ml configuration", str(path), _HINT)
    backend = str(data.get("Backend") or "Vivado").lower()
    if backend not in ("vivado", "vitis"):
        raise UsageError(f"projects for the {backend} back end are not read", str(path), _HINT)
    part = data.get("Part") or data.get("XilinxPart")
    clock = data.get("ClockPeriod", 5)
    if not isinstance(part, str) or isinstance(clock, bool) or not isinstance(clock, int | float):
        raise UsageError("the configuration has no part or no clock", str(path), _HINT)
    uncertainty = str(data.get("ClockUncertainty") or "").rstrip("% ")
    default = 27.0 if backend == "vitis" else 12.5
    try:
        percent = float(uncertainty) if uncertainty else default
    except ValueError:
        percent = default
    return {"backend": backend, "part": part, "clock_ns": float(clock), "uncertainty": percent}


def _script_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a project without its YAML from its scripts."""
    scripts = [path for path in sorted(folder.glob("*.tcl")) if path.is_file()]
    text = "\n".join(read_text(path) for path in scripts)
    part = re.search(r"set_part\s+\{?([\w-]+)|set\s+part\s+\"?([\w-]+)", text)
    clock = re.search(r"create_clock\s+-period\s+([\d.]+)|set\s+clock_period\s+([\d.]+)", text)
    if not part or not clock:
        what = "there is no configuration, and no script that tells part and clock"
        raise UsageError(what, str(folder / CONFIG), _HINT)
    vitis = re.search(r'set\s+backend\s+"?vitis', text)
    return {
        "backend": "vitis" if vitis else "vivado",
        "part": part[1] or part[2],
        "clock_ns": float(clock[1] or clock[2]),
        "uncertainty": 27.0 if vitis else 12.5,
    }
