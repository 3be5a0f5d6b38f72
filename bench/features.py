"""Measure the feature matrix and renew docs/features.md.

    python bench/features.py [NAME ...]

Prints a line a case: verdict, differing values, largest error, seconds of Keras and of each C
simulation. Fails if a case gives another verdict than tests/features says. NAMEs select cases.
"""

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from qapflow.errors import QapflowError
from tests.features.case import Case
from tests.features.matrix import CASES, render
from tests.features.measure import measure, simulate


def run(case: Case, folder: Path, shared: Path) -> bool:
    """Measure one case and print its line; tell whether it gives its verdict."""
    start = time.monotonic()
    measured = measure(case, folder)
    seconds = [f"{time.monotonic() - start:.1f}"]
    found, wrong = measured.verdict, []
    if measured.loaded is not None:
        for io_type in ("io_parallel", "io_stream"):
            start = time.monotonic()
            wrong += simulate(measured.loaded, io_type, folder, shared)
            seconds.append(f"{time.monotonic() - start:.1f}")
    right = found == case.verdict and not wrong and measured.error <= case.bound
    print(
        f"{'ok  ' if right else 'FAIL'} {case.name:45} {found:8}"
        f" {measured.different:5} of {measured.values:5} differ, by up to {measured.error:.3g}"
        f" of {measured.peak:.3g}; {' '.join(seconds)} s {' '.join(wrong)}",
        flush=True,
    )
    return right


def main(names: list[str]) -> int:
    """Run all cases, or those whose name contains one of `names`."""
    wrong = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="qapflow-features-") as folder:
        for number, case in enumerate(CASES.values()):
            if names and not any(name in case.name for name in names):
                continue
            try:
                right = run(case, Path(folder) / str(number), Path(folder))
            except (QapflowError, AssertionError) as error:
                print(f"FAIL {case.name:45} {error}", flush=True)
                right = False
            wrong += [] if right else [case.name]
    (ROOT / "docs/features.md").write_text(render(), encoding="utf-8")
    print(f"{len(wrong)} wrong, {time.monotonic() - start:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
