"""What is installed, what each missing thing would add, and the exact command that gets it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from qapflow.errors import ToolMissing, UsageError
from qapflow.rtl.sim.tools import Simulator, find_simulator
from qapflow.synth.flows import FLOWS
from qapflow.synth.open.engines import INSTALL, find_engines
from qapflow.synth.tools import TOOLS, Tool, ask_version, locate, version_of_folder
from qapflow.versions import compiler_version, package_version

Status = Literal["ok", "missing", "conflict"]
Versions = Callable[[str], str]  # package name -> version, "" if absent


@dataclass(frozen=True)
class Finding:
    """One thing looked for; `fix` is "" when there is nothing to do."""

    name: str
    version: str | None
    status: Status
    adds: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.status:<8} {self.name:<34} {self.version or '-':<14} {self.adds}"
        return f"{line}\n{'':<8} fix: {self.fix}" if self.fix else line


_TRAIN = 'pip install "qapflow[train]"'

# Package, lowest version that works, what it adds, command that installs it.
PACKAGES: tuple[tuple[str, str, str, str], ...] = (
    ("numpy", "1.26", "all arithmetic (needed)", 'pip install "numpy>=1.26"'),
    ("h5py", "3.10", "reading .h5 and .keras files (needed)", 'pip install "h5py>=3.10"'),
    ("hls4ml", "1.3.0", "writing the HLS project (needed)", 'pip install "hls4ml==1.3.0"'),
    ("alkaid", "0.8.2", "writing RTL (build --rtl)", 'pip install "qapflow[rtl]"'),
    ("tensorflow", "2.16", "comparison with Keras, training", _TRAIN),
    ("tf-keras", "2.16", "Keras 2, in which QKeras models run", _TRAIN),
    ("qkeras", "0.9.0", "comparison with QKeras models", _TRAIN),
    ("tensorflow-model-optimization", "0.8.1", "training pruned models", _TRAIN),
)


def diagnose(versions: Versions = package_version) -> tuple[Finding, ...]:
    """Look at Python, packages, the compiler, the vendor's tools and open RTL tools.

    Packages are not imported. `versions` is a parameter so that any environment can be judged.
    """
    return (
        _python(sys.version_info[:2]),
        *(_package(row, versions) for row in PACKAGES),
        *_conflicts(versions),
        _compiler(),
        *_vendor_tools(),
        *_simulators(),
        _yosys(),
    )


def _python(version: tuple[int, ...]) -> Finding:
    name, adds = "Python", "everything (needed)"
    if version >= (3, 11):
        return Finding(name, platform.python_version(), "ok", adds)
    fix = "use Python 3.11 or newer: python3.11 -m venv .venv"
    return Finding(name, platform.python_version(), "conflict", adds, fix)


def _package(row: tuple[str, str, str, str], versions: Versions) -> Finding:
    name, lowest, adds, fix = row
    version = versions(name)
    if not version:
        return Finding(name, None, "missing", adds, fix)
    if _numbers(version) < _numbers(lowest):
        what = f"{adds}; {version} is older than {lowest}"
        return Finding(name, version, "conflict", what, f'pip install "{name}>={lowest}"')
    return Finding(name, version, "ok", adds)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: 2.21.0rc1 -> (2, 21, 0)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _conflicts(versions: Versions) -> tuple[Finding, ...]:
    """Return the combinations that install and then fail."""
    found = []
    tensorflow = _numbers(versions("tensorflow"))
    tf_keras = versions("tf-keras")
    if tensorflow >= (2, 16) and not tf_keras:
        adds = (
            "QKeras and pruned models: TensorFlow 2.16 and later bring Keras 3, they need Keras 2"
        )
        release = ".".join(map(str, tensorflow[:2]))
        fix = f'pip install "tf-keras~={release}.0"'
        found.append(Finding("tensorflow without tf-keras", None, "conflict", adds, fix))
    if tf_keras and tensorflow and _numbers(tf_keras)[:2] != tensorflow[:2]:
        adds = "Keras 2 works only with the TensorFlow of the same number"
        fix = f'pip install "tf-keras~={".".join(map(str, tensorflow[:2]))}.0"'
        found.append(Finding("tf-keras and tensorflow differ", tf_keras, "conflict", adds, fix))
    if versions("qkeras") and not versions("pyparsing"):
        adds = "QKeras imports pyparsing without asking for it"
        fix = 'pip install "pyparsing>=3"'
        found.append(Finding("qkeras without pyparsing", None, "conflict", adds, fix))
    if versions("hls4ml") and tensorflow and tensorflow < (2, 15) and versions("qkeras"):
        adds = "hls4ml[qkeras] pins TensorFlow to 2.14 or older, which cannot read new .keras files"
        found.append(
            Finding("hls4ml[qkeras] pins", versions("tensorflow"), "conflict", adds, _TRAIN)
        )
    pruning = _numbers(versions("tensorflow-model-optimization"))
    if pruning and not tf_keras and tensorflow >= (2, 16):
        adds = "tensorflow-model-optimization works on Keras 2 models only"
        found.append(Finding("pruning without tf-keras", None, "conflict", adds, _TRAIN))
    if _numbers(versions("numpy")) >= (2,) and _numbers(versions("hls4ml"))[:2] == (1, 3):
        adds = "fine here; hls4ml alone fails on power-of-two weights (it calls np.product)"
        fix = 'pip install "numpy<2" if you also use hls4ml without qapflow'
        found.append(Finding("numpy 2 with hls4ml 1.3", versions("numpy"), "ok", adds, fix))
    return tuple(found)


def _compiler() -> Finding:
    adds = "the C simulation: proof that the firmware's code computes what the network does"
    name = os.environ.get("CXX", "").strip() or "g++"
    line = compiler_version()
    if not line and name == "g++" and shutil.which("clang++"):
        name, line = "clang++", "found"
    if line:
        number = re.search(r"\d+\.\d+(?:\.\d+)?", line)
        return Finding(f"C++ compiler ({name})", number[0] if number else "", "ok", adds)
    if name != "g++":
        fix = f"CXX names {name}, which does not run: correct it, or unset CXX"
        return Finding(f"C++ compiler ({name})", None, "conflict", adds, fix)
    return Finding("C++ compiler (g++)", None, "missing", adds, _install("g++"))


def _install(package: str) -> str:
    """Return the command of the package manager that is here."""
    if shutil.which("dnf"):
        return f"sudo dnf install {'gcc-c++' if package == 'g++' else package}"
    if shutil.which("brew"):
        return f"brew install {'gcc' if package == 'g++' else package}"
    return f"sudo apt-get install {package}"


def _vendor_tools() -> tuple[Finding, ...]:
    """Look for the vendor's programs, side by side: some need seconds to say their version."""
    with ThreadPoolExecutor(len(TOOLS)) as pool:
        return tuple(pool.map(_vendor_tool, TOOLS))


def _vendor_tool(tool: Tool) -> Finding:
    get = "source settings64.sh of the AMD tools, or set {}=/path/to/{}"
    fix = get.format(tool.variable, tool.name)
    try:
        path = locate(tool)
    except UsageError as error:
        return Finding(tool.name, None, "conflict", tool.adds, error.what)
    if path is None:
        return Finding(tool.name, None, "missing", tool.adds, fix)
    version = version_of_folder(path) or ask_version(path, tool.version_option)
    release = tuple(int(part) for part in version.split(".")) if version else ()
    for flow in FLOWS:
        if flow.steps[0][1][0] == tool.name and release:
            if flow.since <= release[:2] <= flow.until:
                return Finding(tool.name, version, "ok", tool.adds)
            adds = f"{tool.adds}; qapflow needs {flow.words}"
            return Finding(tool.name, version, "conflict", adds, fix)
    return Finding(tool.name, version, "ok", tool.adds)


def _yosys() -> Finding:
    """Look for every build of Yosys; the first one found is used."""
    adds = "counting cells without a licence"
    try:
        found = find_engines()
    except UsageError as error:
        return Finding("yosys", None, "conflict", adds, error.what)
    if not found:
        return Finding("yosys", None, "missing", f"{adds} (optional)", INSTALL)
    others = ", ".join(f"{engine.kind} {engine.version}" for engine in found[1:])
    more = f"; also {others}" if others else ""
    return Finding(found[0].kind, found[0].version, "ok", adds + more)


def _simulators() -> tuple[Finding, ...]:
    rows: tuple[tuple[Simulator, str], ...] = (
        ("verilator", "simulating Verilog (build --rtl)"),
        ("icarus", "simulating Verilog where Verilator is missing"),
        ("ghdl", "simulating VHDL (build --rtl-language vhdl)"),
    )
    found = []
    for name, adds in rows:
        try:
            found.append(Finding(name, find_simulator(name).version, "ok", adds))
        except ToolMissing as error:
            found.append(Finding(name, None, "missing", f"{adds} (optional)", error.hint))
    return tuple(found)
