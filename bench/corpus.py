"""Build every model of a collection and print one row each; fail on a mismatch or a traceback.

    python bench/corpus.py FOLDER [--family dense] [--only TEXT] [--jobs 1] [-o rows.json]

FOLDER has a MANIFEST.csv with the columns file, weights_file, status and family. Each build is a
whole process, so the seconds include everything; the memory is the peak of its largest process.
"""

import argparse
import collections
import csv
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TIMEOUT_S = 900
VERDICTS = {
    0: "built",
    1: "DIFFERS",
    2: "bad file",
    3: "tool missing",
    4: "refused",
    5: "tool failed",
}


def build(folder: Path, row: dict[str, str], extra: list[str]) -> dict[str, object]:
    """Build one model; return its row."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "qapflow", "build", str(folder / row["file"]), "--json"]
        command += ["-o", str(Path(out) / "build"), *extra]
        if row["weights_file"]:
            command += ["--weights", str(folder / row["weights_file"])]
        start = time.monotonic()
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
            code, stdout, stderr = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired:
            code, stdout, stderr = -1, "", "took too long"
        seconds = time.monotonic() - start
    result: dict[str, object] = {
        "file": row["file"],
        "family": row["family"],
        "status": row["status"],
        "verdict": "TRACEBACK" if "Traceback" in stderr else VERDICTS.get(code, f"exit {code}"),
        "seconds": round(seconds, 1),
        "reason": "",
    }
    if code in (0, 1) and stdout.startswith("{"):
        result.update(read_report(json.loads(stdout)))
    else:
        lines = re.sub(r"\s*\n\s*", " | ", stderr.strip().removeprefix("error: "))
        result["reason"] = lines[-400:] if result["verdict"] == "TRACEBACK" else lines[:400]
    return result


def read_report(report: dict) -> dict[str, object]:
    """Pick what a row shows out of a report."""
    report = report.get("report", report)
    checks = {f"{c['left']}={c['right']}": c for c in report["comparisons"]}
    keras = next(c for name, c in checks.items() if "Keras" in name)
    csim = next(c for name, c in checks.items() if "C simulation" in name)
    accuracy = report["accuracy"] or {}
    return {
        "regime": report["regime"],
        "keras": keras["verdict"],
        "mismatches": keras["mismatches"],
        "values": keras["values"],
        "note": keras["note"],
        "csim": csim["verdict"],
        "csim_mismatches": csim["mismatches"],
        "csim_values": csim["values"],
        "max_error": accuracy.get("max_abs_error"),
        "same_class": accuracy.get("argmax_agreement"),
    }


def show(row: dict[str, object]) -> str:
    """One line of the table."""
    if row["verdict"] not in ("built", "DIFFERS"):
        return f"{row['verdict']:<12} {row['seconds']:>6} s  {row['file']}\n    {row['reason']}"
    error, same = row["max_error"], row["same_class"]
    far = "" if error is None else f", off by {error:.2g} at most"
    far += "" if same is None else f", same class on {100 * same:.1f} %"
    return (
        f"{row['verdict']:<12} {row['seconds']:>6} s  {row['file']}\n"
        f"    {row['regime']}: C simulation {row['csim']} ({row['csim_mismatches']} of "
        f"{row['csim_values']}), Keras {row['keras']} ({row['mismatches']} of {row['values']}){far}"
        + (f"\n    {row['note']}" if row["note"] else "")
    )


def main() -> int:
    """Run the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--family")
    parser.add_argument("--only", default="", help="file names that contain this")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="rows as JSON")
    options, extra = parser.parse_known_args()
    with (options.folder / "MANIFEST.csv").open() as stream:
        rows = [r for r in csv.DictReader(stream) if options.only in r["file"]]
    rows = [r for r in rows if options.family in (None, r["family"])]
    results = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(lambda row: build(options.folder, row, extra), rows):
            results.append(result)
            print(show(result), flush=True)
    counts = collections.Counter((r["status"], r["verdict"], r.get("regime", "")) for r in results)
    for (status, verdict, regime), count in sorted(counts.items()):
        print(f"{count:>4} {status}: {verdict} {regime}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{sum(r['seconds'] for r in results):.0f} s of builds, largest process {peak:.0f} MiB")
    if options.output:
        options.output.write_text(json.dumps(results, indent=1))
    bad = [r for r in results if r["verdict"] not in ("built", "refused", "bad file")]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
