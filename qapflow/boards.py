"""Read `boards/NAME.toml` and find a target by board name, part string or file path."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from qapflow.errors import UsageError
from qapflow.resources import boards_dir
from qapflow.target import Resources, Target

FAMILIES = (
    "virtex-ultrascale+",
    "kintex-ultrascale+",
    "artix-ultrascale+",
    "zynq-ultrascale+",
    "zynq-ultrascale+-rfsoc",
    "versal",
    "virtex-ultrascale",
    "kintex-ultrascale",
    "virtex-7",
    "kintex-7",
    "artix-7",
    "spartan-7",
    "zynq-7000",
)

# Key -> what its value must be. Integers pass for numbers, booleans never do.
_KEYS: tuple[tuple[str, type, str], ...] = (
    ("name", str, "text"),
    ("description", str, "text"),
    ("part", str, "text"),
    ("aliases", list, "a list of texts"),
    ("family", str, "text"),
    ("clock_ns", float, "a number"),
    ("slrs", int, "a whole number"),
    ("source", str, "text"),
    ("verified", bool, "true or false"),
    ("resources", dict, "a table"),
)
_RESOURCES: tuple[tuple[str, type, str], ...] = tuple(
    (key, int, "a whole number") for key in ("lut", "ff", "dsp", "bram18", "uram")
)

# Device, package (letters and pin count), speed grade with temperature: xcvu9p flga2104 -2L-e.
_PART = re.compile(
    r"(?P<device>xc[a-z0-9]+?)-?(?P<package>[a-z]{3,4}\d{3,4})-(?P<speed>\d[a-z0-9]*(?:-[a-z]+)*)",
    re.IGNORECASE,
)


def load_target(name_or_path: str | Path) -> Target:
    """Return the target named by a board, an alias, a part string, or the path of a TOML file.

    A part string that names an alias, or another speed grade of a listed package, keeps the
    totals of its device and becomes the target's `part`.

    Raises:
        UsageError: nothing has that name, or the board file is wrong.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text:
        return read_board(Path(name_or_path))
    targets = list_targets()
    wanted = _normal(text)
    for target in targets:
        if wanted in (_normal(target.name), _normal(target.part)):
            return target
    for target in targets:
        for alias in target.aliases:
            if wanted == _normal(alias):
                return replace(target, part=alias) if _PART.fullmatch(alias) else target
    return _other_speed_grade(text, targets) or _unknown(text, targets)


@cache
def list_targets() -> tuple[Target, ...]:
    """Return every board that comes with qapflow, by name."""
    return tuple(read_board(path) for path in sorted(boards_dir().glob("*.toml")))


def read_board(path: Path) -> Target:
    """Read and check one board file (keys: `boards/README.md`).

    Raises:
        UsageError: the file is missing, is not TOML, or has a missing, unknown or impossible value.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "qapflow boards lists the boards that come with qapflow"
        what = f"the board file cannot be read: {error.strerror or error}"
        raise UsageError(what, str(path), hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        hint = "boards/README.md describes the format"
        raise UsageError(f"the board file is not TOML: {error}", str(path), hint) from error
    _check_keys(data, _KEYS, str(path))
    _check_keys(data["resources"], _RESOURCES, f"{path}, table [resources]")
    _check_values(data, str(path))
    return Target(
        name=data["name"],
        part=data["part"],
        aliases=tuple(data["aliases"]),
        family=data["family"],
        description=data["description"],
        clock_ns=float(data["clock_ns"]),
        resources=Resources(**data["resources"]),
        slrs=data["slrs"],
        source=data["source"],
        verified=data["verified"],
    )


def _check_keys(data: Mapping[str, Any], keys: tuple[tuple[str, type, str], ...], at: str) -> None:
    names = [key for key, _, _ in keys]
    for key in data:
        if key not in names:
            raise UsageError(f"unknown key {key!r}", at, _nearest(key, names))
    for key, kind, words in keys:
        if key not in data:
            raise UsageError(f"the key {key!r} is missing", at, "boards/README.md lists the keys")
        value = data[key]
        accepted = (int, float) if kind is float else kind
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise UsageError(f"{key} must be {words}, not {value!r}", f"{at}, key {key}")
        if kind is str and not str(value).strip():
            raise UsageError(f"{key} is empty", f"{at}, key {key}")


def _check_values(data: Mapping[str, Any], at: str) -> None:
    if not all(isinstance(alias, str) and alias.strip() for alias in data["aliases"]):
        raise UsageError("aliases must be a list of texts", f"{at}, key aliases")
    if not _PART.fullmatch(data["part"]):
        hint = "write it as the vendor tools do, for example xcvu9p-flga2104-2L-e"
        raise UsageError(f"{data['part']!r} is not a part string", f"{at}, key part", hint)
    if data["family"] not in FAMILIES:
        hint = _nearest(data["family"], FAMILIES)
        raise UsageError(f"unknown family {data['family']!r}", f"{at}, key family", hint)
    if not (math.isfinite(data["clock_ns"]) and data["clock_ns"] > 0):
        what = f"the clock period must be positive, not {data['clock_ns']}"
        raise UsageError(what, f"{at}, key clock_ns", "write nanoseconds, for example 5.0")
    if data["slrs"] < 1:
        what = f"a part has at least one super logic region, not {data['slrs']}"
        raise UsageError(what, f"{at}, key slrs", "write 1 for a monolithic part")
    _check_totals(data["resources"], f"{at}, table [resources]")


def _check_totals(totals: Mapping[str, int], at: str) -> None:
    for key, value in totals.items():
        if value < 0 or (value == 0 and key in ("lut", "ff")):
            raise UsageError(
                f"{key} cannot be {value}", f"{at}, key {key}", "write the part's total"
            )
    if totals["ff"] != 2 * totals["lut"]:
        what = (
            f"ff is {totals['ff']}, but these devices have 2 flip-flops a LUT: {2 * totals['lut']}"
        )
        hint = "give the totals of the whole part; a smaller region is a budget, not a board"
        raise UsageError(what, f"{at}, key ff", hint)


def _normal(name: str) -> str:
    """Return a name without case, dashes, underscores, dots and spaces."""
    return re.sub(r"[-_. ]", "", name).casefold()


def _other_speed_grade(text: str, targets: Iterable[Target]) -> Target | None:
    """Find the device and package of a part string whose speed grade no file lists."""
    wanted = _PART.fullmatch(text.strip())
    if not wanted:
        return None
    for target in targets:
        for listed in (target.part, *target.aliases):
            known = _PART.fullmatch(listed)
            if known and all(
                known[group].casefold() == wanted[group].casefold()
                for group in ("device", "package")
            ):
                body = listed[: known.start("speed")]
                return replace(target, part=body + wanted["speed"])
    return None


def _unknown(text: str, targets: Iterable[Target]) -> Target:
    names = {_normal(n): n for t in targets for n in (t.name, t.part, *t.aliases)}
    close = difflib.get_close_matches(_normal(text), list(names), n=3, cutoff=0.6)
    known = ", ".join(target.name for target in targets)
    hint = f"the boards are {known}; or give the path of your own board file"
    if close:
        hint = f"did you mean {' or '.join(names[c] for c in close)}? Otherwise {hint}"
    raise UsageError(f"no board or part is called {text!r}", "--board", hint)


def _nearest(key: str, names: Iterable[str]) -> str:
    known = list(names)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
