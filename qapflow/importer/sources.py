"""Read the C++ of an hls4ml project as data: types, numbers, configs, calls, weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
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
    ports: tuple[str, ...]  # arguments of the top function
    aliases: Mapping[str, str]  # `auto& x = y;`: the same elements in another shape
    lists: Mapping[str, tuple[int, ...]]  # constant arrays of numbers next to a configuration
    folder: Path


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
    code = _without_directives(read_text(tops[0]))
    macro, constant = r"#define\s+(\w+)\s+(\d+)", r"\bconst\w*\s+\w+\s+(\w+)\s*=\s*(\d+)\s*;"
    numbers = {n: int(v) for p in (macro, constant) for n, v in re.findall(p, defines)}
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
        ports=_ports(code, tops[0].stem),
        aliases=dict(re.findall(r"auto\s*&\s*(\w+)\s*=\s*(\w+)\s*;", code)),
        lists=_lists(parameters),
        folder=firmware,
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


def parse_type(text: str, known: Mapping[str, CType] | None = None) -> CType | None:
    """Return a type from its C++ text, None for one that is no fixed-point number."""
    text = text.strip()
    if known and text in known:
        return known[text]
    if found := re.fullmatch(r"nnet::array<(.*),\s*([\d* ]+)>", text):
        inner = parse_type(found[1], known)
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
    found: dict[str, CType] = {}
    for kind, name in re.findall(r"typedef\s+([^;]+?)\s+(\w+)\s*;", text):
        made = parse_type(kind, found)
        if made is not None:
            found[name] = made
    return found


def _configs(text: str) -> dict[str, dict[str, str]]:
    configs = {}
    for name, base, body in re.findall(
        r"struct\s+(\w+)\s*(?::\s*(?:nnet::)?(\w+)\s*)?\{(.*?)\n\s*\};", text, re.S
    ):
        members = {"base": base} if base else {}
        for key, value in re.findall(
            r"(?:static\s+const|constexpr)\s+[\w: ]+\s+(\w+)\s*=\s*([^;]+);", body
        ):
            members[key] = value.strip()
        for kind, key in re.findall(r"typedef\s+([^;]+?)\s+(\w+)\s*;", body):
            members[key] = kind.strip()
        for kind, key in re.findall(r"static\s+const\s+(\w+)\s+(\w+)\s*;", body):
            members[f"{key}_t"] = kind  # `static const slope_t slope;`, whose value stands outside
        for key, value in re.findall(r"using\s+(\w+)\s*=\s*(?:\w+::)*(\w+)\s*<", body):
            members[key] = value
        configs[name] = members
    for name, key, value in re.findall(r"\b(\w+)::(\w+)\s*=\s*([-+.\deE]+)\s*;", text):
        if name in configs:
            configs[name][key] = value
    return configs


def _lists(text: str) -> dict[str, tuple[int, ...]]:
    found = re.findall(r"\bunsigned\s+(\w+)\[\d*\]\s*=\s*\{([\d,\s]*)\}", text)
    return {n: tuple(int(v) for v in cells.split(",") if v.strip()) for n, cells in found}


def _without_directives(text: str) -> str:
    """Return C++ without comments over several lines and preprocessor lines."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return re.sub(r"^[ \t]*#.*$", "", text, flags=re.M)


def _ports(text: str, top: str) -> tuple[str, ...]:
    """Return the names of the arrays and streams that the top function gets."""
    found = re.search(rf"void\s+{re.escape(top)}\s*\((.*?)\)\s*\{{", text, re.S)
    ports = re.findall(r"(\w+)\s*(?:\[[^\]]*\])?\s*(?:,|$)", found[1].strip()) if found else []
    return tuple(name for name in ports if not name.startswith("const_size"))


def split_outside(text: str) -> tuple[str, ...]:
    """Split at commas that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "<([{") - (sign in ">)]}")
        if sign == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return (*parts, text[start:].strip())


def _calls(text: str) -> tuple[Call, ...]:
    pattern = re.compile(r"(?:nnet::)(\w+)<([^;()]*)>\(([^;]*)\);[ \t]*(?://[ \t]*(.*))?")
    found = []
    for match in pattern.finditer(text):
        function, templates, arguments, comment = match.groups()
        if function.startswith(("load_weights", "save_layer_output")):
            continue
        parts = split_outside(arguments)
        name = (comment or (parts[1] if len(parts) > 1 else function)).strip()
        found.append(Call(function, split_outside(templates), parts, name))
    return tuple(found)


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


def kernel_text(sources: Sources, header: str) -> str | None:
    """Return a header of the project's own kernels without spaces, None if it is not there."""
    path = sources.folder / "nnet_utils" / header
    return re.sub(r"\s+", "", read_text(path)) if path.is_file() else None
