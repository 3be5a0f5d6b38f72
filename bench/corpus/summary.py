"""The whole table in a few lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from bench.corpus.rows import BAD, Row

LARGEST = 5


def summarize(rows: Sequence[Row]) -> list[str]:
    """Return the lines below the table, without units of its own: counts, seconds, MiB."""
    lines = []
    groups = {
        "models that Keras loads": [row for row in rows if row.loads],
        "models that Keras does not load": [row for row in rows if row.loads is False],
        "models": [row for row in rows if row.loads is None],
    }
    for title, group in groups.items():
        if group:
            lines += _group(title, group)
    lines += _families(rows)
    lines += _reasons(rows)
    lines += _baseline(rows)
    lines.append(_largest(rows, "seconds", lambda row: f"{row.seconds:.0f} s", _seconds))
    lines.append(_largest(rows, "memory", lambda row: f"{row.peak_mib:.0f} MiB", _memory))
    bad = [row for row in rows if row.bad]
    lines.append(
        f"silent mismatches and tracebacks: {len(bad)}"
        + "".join(f"; {row.file}: {row.verdict}" for row in bad)
    )
    return lines


def _seconds(row: Row) -> float:
    return row.seconds


def _memory(row: Row) -> float:
    return row.peak_mib


def _group(title: str, rows: Sequence[Row]) -> list[str]:
    counts = Counter(row.verdict for row in rows)
    built = sum(row.built for row in rows)
    parts = [f"{count} {verdict}" for verdict, count in counts.most_common()]
    lines = [f"{len(rows)} {title}: {built} built ({', '.join(parts)})"]
    full = [row for row in rows if row.quantized]
    if full:
        made = [row for row in full if row.built]
        equal = sum(row.verdict in ("exact", "equal") for row in made)
        tables = sum(row.verdict == "exact+" for row in made)
        lines.append(
            f"  of these {len(full)} with QKeras layers: {len(made)} built, {equal} equal to Keras "
            f"in every output, {tables} equal up to a real function at the end (softmax, sigmoid)"
        )
    return lines


def _families(rows: Sequence[Row]) -> list[str]:
    lines = []
    for family in sorted({row.family for row in rows}):
        group = [row for row in rows if row.family == family]
        counts = Counter(row.verdict for row in group)
        parts = [f"{count} {verdict}" for verdict, count in counts.most_common()]
        seconds = sum(row.seconds for row in group)
        lines.append(f"{family}: {len(group)} ({', '.join(parts)}), {seconds:.0f} s")
    return lines


def _reasons(rows: Sequence[Row]) -> list[str]:
    """Count why models were not built, by the first reason of each."""
    counts = Counter(_first_reason(row) for row in rows if not row.built and row.verdict not in BAD)
    return [f"{count} not built: {reason}" for reason, count in counts.most_common()]


def _first_reason(row: Row) -> str:
    """Return a reason without the names that differ from model to model."""
    found = re.search(r"\| - \S+ \((\w+)\): ([^|]*)", row.reason)
    text = f"{found[1]}: {found[2].strip()}" if found else row.reason.split("|")[0].strip()
    return f"{row.verdict}: {text}"[:160]


def _baseline(rows: Sequence[Row]) -> list[str]:
    known = [row for row in rows if row.hls4ml]
    if not known:
        return []
    theirs = Counter(row.hls4ml for row in known)
    failed = sum(count for verdict, count in theirs.items() if verdict not in ("exact", "differs"))
    ours = Counter(row.verdict for row in known)
    equal, differ = theirs["exact"], theirs["differs"]
    return [
        f"hls4ml on {len(known)} of them: {equal} equal to Keras, {differ} differ, {failed} fail; "
        f"here: {', '.join(f'{count} {verdict}' for verdict, count in ours.most_common())}"
    ]


def _largest(
    rows: Sequence[Row], what: str, show: Callable[[Row], str], by: Callable[[Row], float]
) -> str:
    top = sorted(rows, key=by, reverse=True)[:LARGEST]
    return f"largest by {what}: " + ", ".join(f"{row.file} {show(row)}" for row in top)
