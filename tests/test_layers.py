"""Who may import whom, read from the sources."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "qapflow"

# Heavy packages and the only place that may import each.
ONLY_IN = {
    "hls4ml": ("lower/",),
    "alkaid": ("rtl/",),
    "pyosys": ("synth/open/worker.py",),
    "tensorflow": ("verify/keras_process.py", "verify/keras_copy.py", "train/"),
    "tf_keras": ("verify/keras_process.py", "train/"),
    "keras": ("verify/keras_process.py", "train/"),
    "qkeras": ("verify/keras_process.py", "train/"),
    "tensorflow_model_optimization": ("verify/keras_process.py", "verify/keras_copy.py", "train/"),
    "pydantic": ("train/",),
    "optuna": ("train/",),
    "sklearn": ("train/",),
    "polars": ("train/",),
    "matplotlib": ("train/",),
    "h5py": ("frontend/",),
    "rich": ("cli/", "report/", "cost/text.py"),
}

# A package may import those before it in this order, never one after it.
ORDER = (
    "ir",
    "passes",
    "frontend",
    "lower",
    "verify",
    "rtl",
    "estimate",
    "synth",
    "report",
    "cost",
    "train",
)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def sources():
    return [(str(p.relative_to(PACKAGE)), p) for p in sorted(PACKAGE.rglob("*.py"))]


def test_heavy_packages_have_one_home():
    wrong = [
        f"{name} imports {module}"
        for name, path in sources()
        for module in imports(path)
        if (homes := ONLY_IN.get(module.split(".")[0])) and not name.startswith(homes)
    ]
    assert wrong == []


def test_packages_import_only_what_comes_before_them():
    wrong = []
    for name, path in sources():
        package = name.split("/")[0]
        if package not in ORDER:
            continue
        later = ORDER[ORDER.index(package) + 1 :]
        wrong += [
            f"{name} imports {module}"
            for module in imports(path)
            if module.startswith("qapflow.") and module.split(".")[1] in later
            if module != "qapflow.report.figures"  # data, no behaviour
        ]
    assert wrong == []
