"""Which cells Yosys counts for a part."""

from __future__ import annotations

from typing import Literal

from qapflow.errors import UsageError

Family = Literal["xc7", "xcu", "xcup"]
FAMILIES: tuple[Family, ...] = ("xc7", "xcu", "xcup")

_OF_BOARD: dict[str, Family] = {
    "artix-7": "xc7",
    "kintex-7": "xc7",
    "spartan-7": "xc7",
    "virtex-7": "xc7",
    "zynq-7000": "xc7",
    "kintex-ultrascale": "xcu",
    "virtex-ultrascale": "xcu",
    "artix-ultrascale+": "xcup",
    "kintex-ultrascale+": "xcup",
    "virtex-ultrascale+": "xcup",
    "zynq-ultrascale+": "xcup",
    "zynq-ultrascale+-rfsoc": "xcup",
}


def family_of(board_family: str, part: str) -> Family:
    """Return the name that `synth_xilinx` knows a family of boards by.

    Raises:
        UsageError: Yosys has no cells for it.
    """
    found = _OF_BOARD.get(board_family.lower())
    if found is None:
        raise UsageError(
            f"Yosys has no cells for the family {board_family!r}",
            at=f"part {part}",
            hint="count the cells of another family with --family xcup (UltraScale+), xcu "
            "(UltraScale) or xc7 (7 series); the figures are then those of that family",
        )
    return found
