import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from qapflow.errors import UsageError
from qapflow.report import FORMATS, render
from qapflow.report.markdown import escape
from qapflow.report.words import clip

HOSTILE = "</script><script>alert(1)</script>\x1b[31m\n| `x` **b** [l](u) "
HOSTILE += "<img src=x onerror=y> {{7*7}} @all"


@pytest.mark.parametrize("form", FORMATS)
def test_golden(report, golden, form):
    assert render(report, form) == golden


@pytest.mark.parametrize("form", FORMATS)
def test_same_report_same_bytes(report, form):
    assert render(report, form) == render(replace(report), form)


def test_unknown_format(report):
    with pytest.raises(UsageError, match="no report format 'pdf'") as caught:
        render(report, "pdf")
    assert "text, json, html, md" in caught.value.hint


def hostile(report):
    def spoil(item, *names):
        return replace(item, **dict.fromkeys(names, HOSTILE))

    first = spoil(report.comparisons[1].first, "edge", "layer", "cause")
    comparisons = [spoil(c, "left", "right", "note") for c in report.comparisons]
    comparisons[1] = replace(comparisons[1], first=first)
    layers = [
        replace(spoil(x, "name", "origin", "class_name", "reason"), inputs=(HOSTILE,))
        for x in report.layers
    ]
    return replace(
        spoil(report, "model", "overflow_statement"),
        headroom=f"fits: {HOSTILE}",
        layers=tuple(layers),
        ledger=tuple(spoil(row, "layer", "warning") for row in report.ledger),
        comparisons=tuple(comparisons),
        budgets=tuple(spoil(b, "name", "culprit", "source") for b in report.budgets),
        tools=tuple(spoil(t, "name", "version", "detail") for t in report.tools),
        notes=(HOSTILE,),
    )


class Tags(HTMLParser):
    VOID = ("meta", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_names_never_become_html(report):
    page = Tags(render(hostile(report), "html"))
    assert page.seen.count("script") == 1
    assert "img" not in page.seen
    assert not [name for name in page.attributes if name.startswith("on")]


def test_html_is_one_file(report):
    text = render(report, "html")
    page = Tags(text)
    assert not {"src", "href", "srcset", "data"} & page.attributes
    assert not {"link", "iframe", "object", "embed", "img"} & set(page.seen)
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text


def test_html_shows_every_section(report):
    text = render(report, "html")
    titles = re.findall(r"<h2>([A-Za-z ,]+?) ?(?:<|$)", text)
    assert titles == [
        "Fits the board", "Resources against the board", "Figures by source",
        "Layer by layer, with error bars", "Estimates by stage", "Latency along the network",
        "Ranges against types", "Pruning ledger", "Layers",
        "Overflow", "Verification", "Open synthesis", "Budgets", "Tools", "Notes",
    ]  # fmt: skip


def test_empty_report_renders(report):
    empty = replace(
        report, layers=(), totals=(), ledger=(), comparisons=(), accuracy=None, budgets=(),
        tools=(), notes=(), headroom="unknown: no figure for any resource", fits=False,
    )  # fmt: skip
    for form in FORMATS:
        assert "digits" in render(empty, form)
    assert "UNVERIFIED" in render(empty, "text")


def test_every_figure_in_html_has_its_source(report):
    text = render(report, "html")
    cells = re.findall(
        r'<td class="n" data-sort="[^"]*">[\d,]+<small title[^>]*>(.*?)</small>', text
    )
    assert len(cells) == 6
    assert all(cell.endswith("estimate") for cell in cells)
    assert '<span class="tag">csynth</span>' in text


def test_text_is_plain_and_narrow(report):
    for some in (report, hostile(report)):
        text = render(some, "text")
        assert max(map(len, text.splitlines())) <= 100
        assert all(c.isprintable() or c == "\n" for c in text)


def test_text_in_colour_says_the_same(report):
    plain = re.sub(r"\x1b\[[\d;]*m", "", render(report, "text", color=True))
    assert [line.rstrip() for line in plain.splitlines()] == render(report, "text").splitlines()
    assert "\x1b[1;31m" in render(report, "text", color=True)


def test_markdown_cells_stay_in_their_rows(report):
    text = render(hostile(report), "md")
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1
    assert "<img" not in text
    assert "<script" not in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("x_y*", r"x\_y\*"),
        ("<b>", "&lt;b&gt;"),
        ("@me", "&#64;me"),
        ("a\nb", r"a\\x0ab"),
    ],
)
def test_markdown_escapes(text, escaped):
    assert escape(text) == escaped


def test_long_names_are_clipped_in_the_middle():
    assert clip("q_conv2d_batchnorm_17", 12) == "q_con…orm_17"
    assert clip("short", 12) == "short"


def test_long_plots_are_folded(report):
    many = replace(
        report, layers=tuple(replace(report.layers[0], name=f"fc{i}") for i in range(60))
    )
    assert "36 more rows" in render(many, "html")


def test_long_names_leave_room_for_figures(report):
    layers = tuple(replace(x, name=f"{'block_' * 40}{i}") for i, x in enumerate(report.layers))
    text = render(replace(report, layers=layers), "text")
    assert "9.0k (7.0k-12.0k)" in text
    assert re.search(r"block_\w*…\w*block_1  Quantize  8 +u6.4 .* saturates", text)
