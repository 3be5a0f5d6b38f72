"""Find the first error of a vendor log and say what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """The first error line of a log ("" if it has none), what it means, and the way out."""

    line: str
    meaning: str = ""
    fix: str = ""


@dataclass(frozen=True)
class _Known:
    """A failure people meet often. Patterns are tried in order, the surest first."""

    pattern: str
    meaning: str
    fix: str


_SHARE = "raise the reuse factor of the largest layer, or build with --strategy resource"

KNOWN: tuple[_Known, ...] = (
    _Known(
        r"(?i)\[Common 17-345\]|licen[sc]e.*(?:not found|fail|could not|cannot|expired|unavailable)"
        r"|(?:fail|unable|could not).*licen[sc]e",
        "the tool has no licence for this feature or part",
        "set XILINXD_LICENSE_FILE; large parts such as the VU9P need a paid or evaluation licence",
    ),
    _Known(
        r"HLS 200-1023|(?i:part '[^']*' is not (?:installed|supported|found))"
        r"|(?i:(?:unknown|invalid) part\b)|(?i:no parts? matched)",
        "the part is not installed with this tool, or has no licence",
        "add its device family with the vendor's installer, check XILINXD_LICENSE_FILE, "
        "or choose an installed part with --board",
    ),
    _Known(
        r"XFORM 203-504|(?i:stop unrolling loop)",
        "a loop of this layer is too large to unroll",
        _SHARE,
    ),
    _Known(
        r"XFORM 203-103.*exceeded threshold|(?i:partitioned elements number .* exceeded)",
        "an array has more elements than the tool turns into registers",
        "build with --io io_stream, or raise the reuse factor of that layer",
    ),
    _Known(
        r"(?i)\bout of memory\b|std::bad_alloc|cannot allocate memory|memory exhausted",
        "the tool ran out of memory",
        f"give the machine more memory, or {_SHARE}",
    ),
    _Known(
        r"\bKilled\b|(?i:signal 9\b|SIGKILL|child killed)",
        "the tool was killed, most often because memory ran out",
        f"give the machine more memory, or {_SHARE}",
    ),
    _Known(
        r"COSIM 212-360|COSIM 212-320",
        "the test bench failed before the RTL was simulated",
        "run qapflow verify on the project, and look at the lines above it in the log",
    ),
    _Known(
        r"COSIM 212-345",
        "designs without a start signal cannot be simulated like this",
        "keep ap_ctrl_hs (the default of every qapflow project)",
    ),
    _Known(
        r"COSIM 212-(?:303|344)|XSIM 43-|VRFC 10-",
        "the RTL simulator stopped",
        "look at the lines above it in the log; a full disk and missing libraries are common",
    ),
    _Known(
        r"COSIM 212-5\b",
        "the co-simulation could not be set up",
        "run the C simulation first (qapflow verify), and look at the lines above it in the log",
    ),
    _Known(
        r"COSIM 212-4\b",
        "the co-simulation failed: the RTL gives other outputs than the C code, or did not finish",
        "look at the lines above it in the log; then keep the project and report it",
    ),
    _Known(
        r"SIM 211-100|(?i:csim failed|nonzero return value)",
        "the C simulation inside the tool failed",
        "run qapflow verify on the project; if that passes, compare the compilers",
    ),
    _Known(
        r"vitis-run: (?:command )?not found",
        "vitis-run is missing: it came with release 2023.1",
        "with older releases use vitis_hls (taken by itself when it is on PATH)",
    ),
    _Known(
        r"(?:g\+\+|gcc|clang\+?\+?): (?:command )?not found",
        "no C++ compiler was found",
        "install g++, or source settings64.sh of the vendor's tools, which brings one",
    ),
    _Known(
        r"vivado: (?:command )?not found|couldn't execute \"vivado\"",
        "vivado was not found",
        "source settings64.sh of Vivado, or set VIVADO to its path",
    ),
    _Known(
        r"(?i)no space left on device|disk quota exceeded",
        "the disk is full",
        "free some space, or build in another folder with -o",
    ),
    _Known(
        r"error while loading shared libraries",
        "a system library that the tool needs is missing",
        "install the library that the line names",
    ),
    _Known(
        r"(?i)bad lexical cast|'2[2-9]\d{8}' is an invalid argument|IMPL 213-28",
        "releases before 2021.2 cannot number an exported core with a date after 2021",
        "install the vendor's patch for it (answer record 76960)",
    ),
    _Known(
        r"HLS 200-70\b",
        "the tool stopped before synthesis: the source did not compile, or an earlier step failed",
        "look at the lines above it in the log",
    ),
)

# Lines that look like errors and are not: the script catches them.
_HARMLESS = re.compile(r"config_array_partition.*(?:not supported|nknown option)")

_ERROR = re.compile(
    r"^\s*(?:@E\b|ERROR\b|FATAL\b|.*\b(?:fatal )?error:|(?!INFO|WARNING).*\bKilled\b"
    r"|(?!INFO|WARNING).*(?:command not found|: not found|bad_alloc|couldn't execute)"
    r"|(?!INFO|WARNING).*(?i:out of memory|cannot allocate memory|no space left on device"
    r"|disk quota exceeded|bad lexical cast|error while loading))"
)
_LONGEST_LINE = 400


def diagnose_log(text: str) -> Diagnosis:
    """Return the first error line with the explanation of the surest known failure in the log.

    Only error lines are searched, so that a warning never explains a failure.
    """
    errors = [
        line.strip()[:_LONGEST_LINE]
        for line in text.splitlines()
        if _ERROR.match(line) and not _HARMLESS.search(line)
    ]
    if not errors:
        return Diagnosis("")
    for known in KNOWN:
        for line in errors:
            if re.search(known.pattern, line):
                return Diagnosis(line, known.meaning, known.fix)
    return Diagnosis(errors[0])
