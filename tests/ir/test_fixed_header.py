"""Rounding and overflow against the open ap_types headers, over all codes of several types."""

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest

from qapflow.ir.fixed import Fixed, Overflow, Rounding, cast

SOURCES = (Fixed(True, 8, 4), Fixed(False, 7, 5), Fixed(True, 6, -1))
TARGETS = (
    Fixed(True, 5, 2),
    Fixed(False, 5, 2),
    Fixed(True, 4, 4),
    Fixed(False, 3, -1),
    Fixed(True, 9, 6),
    Fixed(True, 2, 0),
    Fixed(False, 1, 0),
)


def spell(kind, *modes):
    name = "ap_fixed" if kind.signed else "ap_ufixed"
    return f"{name}<{', '.join(map(str, (kind.width, kind.integer, *modes)))}>"


def program():
    """A program that prints one line of codes for every (source, target, rounding, overflow)."""
    lines = ['#include "ap_fixed.h"', "#include <cstdio>"]
    lines.append("template <class S, class D> void all(int bits) {")
    lines.append("  for (int code = 0; code < (1 << bits); ++code) {")
    lines.append("    S s; s.range(bits - 1, 0) = code; D d = s;")
    lines.append("    const int w = D::width;")
    lines.append("    unsigned raw = (unsigned)d.range(w - 1, 0).to_uint();")
    lines.append('    std::printf("%u ", raw);')
    lines.append('  } std::printf("\\n"); }')
    lines.append("int main() {")
    for source in SOURCES:
        for target in TARGETS:
            for rounding in Rounding:
                for overflow in Overflow:
                    kind = spell(target, f"AP_{rounding}", f"AP_{overflow}")
                    lines.append(f"  all<{spell(source)}, {kind} >({source.width});")
    lines.append("}")
    return "\n".join(lines)


@pytest.mark.needs_gxx
@pytest.mark.needs_hls4ml
def test_every_mode_equals_the_header(tmp_path):
    root = Path(importlib.util.find_spec("hls4ml").origin).parent
    headers = root / "templates" / "vivado" / "ap_types"
    (tmp_path / "all.cpp").write_text(program())
    command = ["g++", "-O0", "-std=c++14", "-w", f"-I{headers}", "all.cpp", "-o", "all"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    done = subprocess.run(
        [tmp_path / "all"], capture_output=True, text=True, check=True, timeout=60
    )
    rows = iter(done.stdout.splitlines())
    compared = 0
    for source in SOURCES:
        codes = np.arange(2**source.width)
        codes = np.where(codes > source.hi, codes - 2**source.width, codes)
        for target in TARGETS:
            for rounding in Rounding:
                for overflow in Overflow:
                    raw = np.array(next(rows).split(), np.int64)
                    theirs = np.where(raw > target.hi, raw - 2**target.width, raw)
                    ours = cast(codes, source.frac, target, rounding, overflow)
                    wrong = np.flatnonzero(ours != theirs)
                    assert not wrong.size, (
                        f"{source} -> {target} {rounding} {overflow}: code {codes[wrong[0]]} "
                        f"gives {ours[wrong[0]]}, the header says {theirs[wrong[0]]}"
                    )
                    compared += codes.size
    assert compared == (256 + 128 + 64) * len(TARGETS) * 28
