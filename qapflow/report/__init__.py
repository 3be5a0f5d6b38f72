"""The report: what a build found out, and its renderings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qapflow.errors import UsageError

if TYPE_CHECKING:
    from qapflow.report.figures import Report

FORMATS = ("text", "json", "html", "md")


def render(report: Report, form: str, *, color: bool = False) -> str:
    """Return the report as "text", "json", "html" or "md"; `color` is for text on a terminal.

    Raises:
        UsageError: there is no such format.
    """
    match form:
        case "text":
            from qapflow.report.text import render_text

            return render_text(report, color=color)
        case "json":
            from qapflow.report.json import render_json

            return render_json(report)
        case "html":
            from qapflow.report.html import render_html

            return render_html(report)
        case "md":
            from qapflow.report.markdown import render_markdown

            return render_markdown(report)
        case _:
            raise UsageError(f"no report format {form!r}", hint=f"use {', '.join(FORMATS)}")


def read_report(text: str) -> Report:
    """Read a report from its JSON.

    Raises:
        UsageError: the text is no report of this version.
    """
    from qapflow.report.json import read_report as read

    return read(text)
