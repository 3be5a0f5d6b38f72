"""Read the C++ of an hls4ml project as data: types, numbers, configs, calls, weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from qapflow.errors import UsageError
from qapflow.ir.fixed import Fixed, Overflow, Rounding

_BIGGEST = 64 * 2**20  # bytes of one file
_HINT = "give the folder that holds firmware/ and hls4ml_config.yml"


@dataclass(frozen=True)
class CType:
    """A type of the firmware: numbers of one fixed-point type, `lanes` of them a word."""

    fixed: Fixed
    rounding: Rounding = Rounding.TRN
    overflow: Overflow = Overflow.WRAP
    lanes: int = 1


@dataclass(frozen=True)
class Call:
    """One layer of the top function: `nnet::function<in, out, config>(arguments); // name`."""

    function: str
    templates: tuple[str, ...]
    arguments: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class Sources:
    """What the firmware of a project says."""

    top: str
    types: Mapping[str, CType]
    configs: Mapping[str, Mapping[str, str]]
    calls: tuple[Call, ...]
    arrays: Mapping[str, tuple[str, tuple[str, ...]]]  # variable -> (type, sizes)
    numbers: Mapping[str, int]


def read_sources(folder: Path) -> Sources:
    """Read `firmware/` of an hls4ml project.

    Raises:
        UsageError: a file is missing, too large, or not what hls4ml writes.
    """
    firmware = folder / "firmware"
    defines = read_text(firmware / "defines.h")
    parameters = read_text(firmware / "parameters.h")
    tops = [p for p in sorted(firmware.glob("*.cpp")) if "nnet::" in read_text(p)]
    if not tops:
        raise UsageError("no top function calls nnet:: layers", str(firmware), _HINT)
    code = read_text(tops[0])
    numbers = {n: int(v) for n, v in re.findall(r"#define\s+(\w+)\s+(\d+)", defines)}
    types = _types(defines)
    if not types:
        raise UsageError("defines.h names no types", str(firmware / "defines.h"), _HINT)
    return Sources(
        top=tops[0].stem,
        types=types,
        configs=_configs(parameters),
        calls=_calls(code),
        arrays=_arrays(code, types),
        numbers=numbers,
    )


def read_text(path: Path) -> str:
    """Return a source file; errors as in `read_sources`."""
    try:
        if path.stat().st_size > _BIGGEST:
            raise UsageError("the file is far larger than those hls4ml writes", str(path), _HINT)
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        what = f"this is no hls4ml project: {error.strerror or error}"
        raise UsageError(what, str(path), _HINT) from error


def parse_type(text: str) -> CType | None:
    """Return a type from its C++ text, None for one that is no fixed-point number."""
    text = text.strip()
    if found := re.fullmatch(r"nnet::array<(.*),\s*([\d* ]+)>", text):
        inner = parse_type(found[1])
        return (
            CType(inner.fixed, inner.rounding, inner.overflow, _size(found[2], {}))
            if inner
            else None
        )
    found = re.fullmatch(r"ap_(u?)(fixed|int)<([^<>]*)>", text)
    if not found:
        return None
    parts = [part.strip() for part in found[3].split(",")]
    try:
        width = int(parts[0])
        integer = int(parts[1]) if found[2] == "fixed" else width
        modes = [part.removeprefix("AP_") for part in parts[2:4]]
        rounding = Rounding(modes[0]) if modes else Rounding.TRN
        overflow = Overflow(modes[1]) if len(modes) > 1 else Overflow.WRAP
        return CType(Fixed(not found[1], width, width - integer), rounding, overflow)
    except (ValueError, IndexError, UsageError):
        return None


def _types(text: str) -> dict[str, CType]:
    found = {}
    for kind, name in re.findall(r"typedef\s+([^;]+?)\s+(\w+)\s*;", text):
        made = parse_type(kind)
        if made is not None:
            found[name] = made
    return found


def _configs(text: str) -> dict[str, dict[str, str]]:
    configs = {}
    for name, base, body in re.findall(
        r"struct\s+(\w+)\s*:\s*(?:nnet::)?(\w+)\s*\{(.*?)\n\};", text, re.S
    ):
        members = {"base": base}
        for key, value in re.findall(
            r"(?:static const|constexpr)\s+[\w:]+\s+(\w+)\s*=\s*([^;]+);", body
        ):
            members[key] = value.strip()
        for kind, key in re.findall(r"typedef\s+([^;]+?)\s+(\w+)\s*;", body):
            members[key] = kind.strip()
        configs[name] = members
    return configs


def _calls(text: str) -> tuple[Call, ...]:
    pattern = re.compile(r"nnet::(\w+)<([^;()]*)>\(([^;]*)\);[ \t]*(?://[ \t]*(.*))?")
    return tuple(
        Call(
            found[1],
            tuple(part.strip() for part in found[2].split(",")),
            tuple(part.strip() for part in found[3].split(",")),
            (found[4] or found[3].split(",")[1]).strip(),
        )
        for found in pattern.finditer(text)
        if not found[1].startswith("load_weights")
    )


def _arrays(text: str, types: Mapping[str, CType]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return variables of known types: arrays, and streams (whose size the text does not say)."""
    found = {}
    for kind, name, sizes in re.findall(r"(\w+)\s+(\w+)((?:\[[^\]]*\])+)", text):
        if kind in types:
            found[name] = (kind, tuple(re.findall(r"\[([^\]]*)\]", sizes)))
    for kind, name in re.findall(r"hls::stream<(\w+)>\s*&?\s*(\w+)", text):
        if kind in types:
            found[name] = (kind, ())
    return found


def size_of(text: str, numbers: Mapping[str, int]) -> int:
    """Return a product of numbers and names such as `N_INPUT_1_1*16`.

    Raises:
        UsageError: a name that defines.h does not have.
    """
    return _size(text, numbers)


def _size(text: str, numbers: Mapping[str, int]) -> int:
    total = 1
    for part in text.split("*"):
        name = part.strip()
        if name.isdigit():
            total *= int(name)
        elif name in numbers:
            total *= numbers[name]
        else:
            raise UsageError(f"the size {name!r} is not a number", "firmware", _HINT)
    return total


def read_weights(path: Path) -> list[Fraction]:
    """Return the numbers of a weight header (what is synthesised), exactly as written."""
    text = read_text(path)
    found = re.search(r"\w+\s+\w+\[[^\]]*\]\s*=\s*\{(.*?)\}\s*;", text, re.S)
    if not found:
        raise UsageError("the header holds no array of weights", str(path), _HINT)
    cells = found[1].replace("\n", " ").split(",")
    try:
        return [Fraction(cell.strip()) for cell in cells if cell.strip()]
    except ValueError as error:
        raise UsageError(f"a weight is not a number: {error}", str(path), _HINT) from error
