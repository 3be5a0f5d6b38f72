"""What stands around a core: AXI4-Stream shell, clock constraints, Vivado script, licences."""

from __future__ import annotations

from typing import Any

from qapflow.rtl.design import Design, Port
from qapflow.rtl.templates import render
from qapflow.target import Target
from qapflow.versions import package_version

IO_SHARE = 0.2  # of the clock period, outside of the core before inputs and behind outputs
LICENCE = "LICENSE.LGPL-3.0.txt"


def shell_files(design: Design, target: Target, uncertainty_percent: float) -> dict[str, bytes]:
    """Return the files around a core by path; the shell is Verilog, as is the core it is for."""
    sources = design.sources
    library = [path for path in sources if _is_copied(design, path)]
    clock = {
        "clock": "clk",
        "clock_ns": f"{design.clock_ns:g}",
        "uncertainty_ns": f"{design.clock_ns * uncertainty_percent / 100:.3f}",
        "share_ns": f"{design.clock_ns * IO_SHARE:.3f}",
    }
    files = {
        f"{design.top}.xdc": render("clock.xdc.j2", **clock),
        "vivado.tcl": render("vivado.tcl.j2", sources=sources, top=design.top, part=target.part),
        "NOTICE": render(
            "NOTICE.j2",
            version=package_version("qapflow"),
            alkaid=package_version("alkaid"),
            library=library,
        ),
    }
    if design.language == "verilog":
        files[f"{design.top}_axis.v"] = _axis(design)
        files[f"{design.top}_axis.xdc"] = render("clock.xdc.j2", **{**clock, "clock": "aclk"})
    if library:
        files[LICENCE] = licence()
    return files


def _is_copied(design: Design, path: str) -> bool:
    """Tell whether a file is one of alkaid's own."""
    from importlib.resources import files

    if path.startswith("src/alkaid/"):
        return True
    folder = files("alkaid") / "codegen" / "rtl" / design.language / "source"
    own = folder / path.rpartition("/")[2]
    return own.is_file() and own.read_bytes() == design.files[path]


def licence() -> bytes:
    """Return the text of alkaid's licence."""
    from importlib.resources import files

    return (files("alkaid") / "LICENSE").read_bytes()


def _axis(design: Design) -> bytes:
    beats = max(port.beats for port in design.inputs)
    return render(
        "axis.v.j2",
        top=design.top,
        beats="every transfer" if beats == 1 else f"{beats} transfers in",
        inputs=[_stream(port) for port in design.inputs],
        outputs=[_stream(port) for port in design.outputs],
    )


def _stream(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "bits": port.bits,
        "bytes": -(-port.bits // 8),
        "beats": port.beats,
        "count_bits": max(1, (port.beats - 1).bit_length()),
    }
