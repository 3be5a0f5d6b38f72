"""Cells of a netlist: what Yosys wrote as BLIF, counted by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# LUTs that one memory or shift register cell of the fabric occupies (UG474 table 2-3 and 2-6,
# UG574 table 2-3: one SLICEM LUT holds 64 x 1 bits; a dual-port cell reads through a second one).
LUT_MEMORY: Mapping[str, int] = {
    "RAM16X1D": 2, "RAM16X1S": 1, "RAM32X1D": 2, "RAM32X1S": 1, "RAM32X2S": 2, "RAM32X4S": 4,
    "RAM64X1D": 2, "RAM64X1S": 1, "RAM64X2S": 2, "RAM128X1D": 4, "RAM128X1S": 2,
    "RAM256X1D": 8, "RAM256X1S": 4, "RAM512X1S": 8, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8,
    "RAM64M8": 8, "SRL16": 1, "SRL16E": 1, "SRLC16": 1, "SRLC16E": 1, "SRLC32E": 1,
}  # fmt: skip
BRAM18 = ("RAMB18E1", "RAMB18E2", "FIFO18E1", "FIFO18E2")
BRAM36 = ("RAMB36E1", "RAMB36E2", "FIFO36E1", "FIFO36E2")
DSP = ("DSP48E1", "DSP48E2", "DSP58")
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1",
              "LDCE", "LDPE")  # fmt: skip
WIRES = ("BUFG", "BUFGCTRL", "IBUF", "OBUF", "GND", "VCC")

Netlist = tuple["Lut", ...]


@dataclass(frozen=True)
class Lut:
    """One look-up table: the nets it reads, and whether it feeds the S input of a carry chain."""

    inputs: frozenset[str]
    carries: bool


@dataclass(frozen=True)
class Cells:
    """Cells by type of one module, without what is inside modules that it instantiates.

    `packed` counts LUTs after pairing, `least` with every pair the wiring allows; see `packing`.
    """

    types: Mapping[str, int]
    packed: int = 0
    least: int = 0

    @property
    def lut_sizes(self) -> tuple[int, ...]:
        """LUTs with 1, 2 ... 6 inputs; an inverter left over is a LUT of one input."""
        ones = self.types.get("LUT1", 0) + self.types.get("INV", 0)
        return (ones, *(self.types.get(f"LUT{size}", 0) for size in range(2, 7)))

    @property
    def lut_memory(self) -> int:
        """LUTs used as distributed RAM and shift registers."""
        return sum(LUT_MEMORY[name] * n for name, n in self.types.items() if name in LUT_MEMORY)

    @property
    def lut(self) -> int:
        """All LUTs, one cell one LUT: two small ones that share a LUT6_2 count as two."""
        return sum(self.lut_sizes) + self.lut_memory

    def of(self, *names: str) -> int:
        """Return how many cells of these types there are."""
        return sum(self.types.get(name, 0) for name in names)

    def figures(self) -> dict[str, int]:
        """Return counts by name of figure; bram18 counts a RAMB36 as two."""
        return {
            "lut": self.lut,
            "lut_packed": self.packed + self.lut_memory,
            "lut_memory": self.lut_memory,
            **{f"lut{size}": n for size, n in enumerate(self.lut_sizes, start=1)},
            "ff": self.of(*FLIP_FLOPS),
            "carry": self.of("CARRY4", "CARRY8"),
            "muxf": self.of("MUXF7", "MUXF8", "MUXF9"),
            "dsp": self.of(*DSP),
            "bram18": self.of(*BRAM18) + 2 * self.of(*BRAM36),
            "uram": self.of("URAM288"),
        }


def read_blif(text: str) -> dict[str, tuple[dict[str, int], Netlist]]:
    """Return cells by type and the LUTs with their nets, by the model they are in."""
    found = {}
    for part in ("\n" + text).split("\n.model ")[1:]:
        name, _, body = part.partition("\n")
        found[name.strip()] = _read_model(body)
    return found


def _read_model(text: str) -> tuple[dict[str, int], Netlist]:
    types: Counter[str] = Counter()
    luts: list[tuple[frozenset[str], str]] = []
    selects: set[str] = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] not in (".subckt", ".gate") or words[1] == "$scopeinfo":
            continue
        kind = words[1]
        types[kind] += 1
        pins = dict(word.split("=", 1) for word in words[2:])
        if kind.startswith("LUT") or kind == "INV":
            nets = (n for pin, n in pins.items() if pin.startswith("I") and n not in _CONSTANT)
            luts.append((frozenset(nets), pins.get("O", "")))
        elif kind in ("CARRY4", "CARRY8"):
            selects.update(net for pin, net in pins.items() if pin.startswith("S"))
    return dict(types), tuple(Lut(nets, out in selects) for nets, out in luts)


_CONSTANT = ("$true", "$false", "$undef")


def add_cells(parts: Iterable[tuple[int, Cells]]) -> Cells:
    """Return the sum of `count` times each of the cells."""
    types: Counter[str] = Counter()
    packed = least = 0
    for count, cells in parts:
        types.update({name: count * n for name, n in cells.types.items()})
        packed, least = packed + count * cells.packed, least + count * cells.least
    return Cells(dict(types), packed, least)
