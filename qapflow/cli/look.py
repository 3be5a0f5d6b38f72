"""Commands that only look: boards, and what is installed."""

from __future__ import annotations

import argparse
import json
import sys


def run_boards(options: argparse.Namespace) -> int:
    """List all boards, or show one after checking it."""
    from dataclasses import asdict

    from qapflow.boards import list_targets, load_target
    from qapflow.report.boards import describe_board, list_boards

    if options.board:
        target = load_target(options.board)
        print(json.dumps(asdict(target)) if options.json else describe_board(target))
        return 0
    targets = list_targets()
    if options.json:
        print(json.dumps({"boards": [asdict(target) for target in targets]}))
        return 0
    print(list_boards(targets))
    return 0


def run_doctor(options: argparse.Namespace) -> int:
    """Say what is there, what each missing thing would add, and how to get it."""
    from dataclasses import asdict

    from qapflow.cli.doctor import diagnose

    findings = diagnose()
    if options.json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings]}))
        return 0
    print("\n".join(map(str, findings)))
    return 0


def run_calibrate(options: argparse.Namespace) -> int:
    """Tell how wrong past estimates were, refine the calibration; 1 if no report is usable."""
    from qapflow.cli.calibrate import calibrate_with

    found = calibrate_with(options.reports, options.output)
    for line in found.skipped:
        print(f"skipped: {line}", file=sys.stderr)
    if options.json:
        print(json.dumps(found.facts))
    elif found.text:
        print(found.text)
    if not found.usable:
        print("error: no report could be used", file=sys.stderr)
    return int(not found.usable)
