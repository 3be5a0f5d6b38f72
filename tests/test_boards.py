"""Boards: what ships, how it is found, and every complaint about a board file."""

import re
import time
from pathlib import Path

import pytest

from qapflow.boards import list_targets, load_target, read_board
from qapflow.errors import UsageError
from qapflow.resources import boards_dir

GOOD = (boards_dir() / "zcu102.toml").read_text()


def test_at_least_24_boards_ship_and_each_is_named_like_its_file():
    targets = list_targets()
    assert len(targets) >= 24
    assert [t.name for t in targets] == sorted(p.stem for p in boards_dir().glob("*.toml"))


def test_no_two_boards_share_a_name_alias_or_part():
    def normal(text):
        return re.sub(r"[-_. ]", "", text).casefold()

    names = [normal(n) for t in list_targets() for n in {t.name, t.part, *t.aliases}]
    repeated = {n for n in names if names.count(n) > 1}
    # a file may repeat its own name as an alias of itself only by normal form
    assert repeated == set()


def test_every_unverified_board_says_so_and_every_board_names_its_source():
    for target in list_targets():
        assert len(target.source) > 20
        if "no tool report" in target.source or "product table" in target.source:
            assert not target.verified, target.name


@pytest.mark.parametrize(
    ("text", "name", "part"),
    [
        ("xcvu9p", "xcvu9p", "xcvu9p-flga2104-2L-e"),
        ("VCU118", "xcvu9p", "xcvu9p-flga2104-2L-e"),
        ("xcvu9p-flga2104-2L-e", "xcvu9p", "xcvu9p-flga2104-2L-e"),
        ("xcvu9pflga2104-2L-e", "xcvu9p", "xcvu9p-flga2104-2L-e"),
        ("XCVU9P-FLGA2104-2l-E", "xcvu9p", "xcvu9p-flga2104-2L-e"),
        ("xcvu9p-flgb2104-2-e", "xcvu9p", "xcvu9p-flgb2104-2-e"),
        ("xcvu9p-flga2104-3-e", "xcvu9p", "xcvu9p-flga2104-3-e"),
        ("xcvu9pflga2104-3-e", "xcvu9p", "xcvu9p-flga2104-3-e"),
        ("pynq_z2", "pynq-z2", "xc7z020clg400-1"),
        ("xc7z020-clg400-1", "pynq-z2", "xc7z020clg400-1"),
        ("xc7z020clg400-2", "pynq-z2", "xc7z020clg400-2"),
        ("zybo z7 20", "pynq-z2", "xc7z020clg400-1"),
        ("u250", "alveo-u250", "xcu250-figd2104-2L-e"),
        ("kr260", "kv260", "xck26-sfvc784-2LV-c"),
    ],
)
def test_a_target_is_found_by_name_alias_and_part(text, name, part):
    target = load_target(text)
    assert (target.name, target.part) == (name, part)


def test_totals_of_the_reference_part():
    target = load_target("xcvu9p")
    r = target.resources
    assert (r.lut, r.ff, r.dsp, r.bram18, r.uram) == (1182240, 2364480, 6840, 4320, 960)
    assert target.slrs == 3
    assert target.verified


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("zcu12", "did you mean zcu102"),
        ("xcvu9p-flga2105-2-e", "did you mean xcvu9p-flga2104"),
        ("qqqqqqq", "the boards are alveo-u200"),
        ("", "the boards are alveo-u200"),
    ],
)
def test_an_unknown_board_is_refused_with_the_nearest(text, hint):
    with pytest.raises(UsageError, match="no board or part is called") as caught:
        load_target(text)
    assert hint in str(caught.value)


def test_an_own_file_works_by_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('name = "zcu102"', 'name = "mine"'))
    assert load_target(path).name == "mine"
    assert load_target(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("slrs = 1\n", "", "the key 'slrs' is missing"),
        ("lut = 274080\n", "", r"the key 'lut' is missing[\s\S]*table \[resources\]"),
        ("clock_ns", "clock_nss", r"unknown key 'clock_nss'[\s\S]*did you mean 'clock_ns'"),
        ("bram18", "bram36", r"unknown key 'bram36'[\s\S]*did you mean 'bram18'"),
        ("slrs", "zzzz", r"unknown key 'zzzz'[\s\S]*known are name"),
        ("clock_ns = 5.0", "clock_ns = -5.0", r"clock period must be positive[\s\S]*clock_ns"),
        ("clock_ns = 5.0", "clock_ns = nan", "clock period must be positive"),
        ("clock_ns = 5.0", 'clock_ns = "5"', "clock_ns must be a number"),
        ("clock_ns = 5.0", "clock_ns = true", "clock_ns must be a number"),
        ("slrs = 1", "slrs = 0", "at least one super logic region"),
        ("slrs = 1", "slrs = 1.5", "slrs must be a whole number"),
        ("lut = 274080", "lut = 0", "lut cannot be 0"),
        ("dsp = 2520", "dsp = -1", "dsp cannot be -1"),
        ("ff = 548160", "ff = 274080", r"2 flip-flops a LUT: 548160"),
        ("verified = true", "verified = 1", "verified must be true or false"),
        ('part = "xczu9eg-ffvb1156-2-e"', 'part = "stratix10"', "is not a part string"),
        ('name = "zcu102"', 'name = " "', "name is empty"),
        ('"zynq-ultrascale+"', '"zynq-ultrascale"', r"unknown family[\s\S]*zynq-ultrascale\+"),
        ('aliases = ["', 'aliases = [1, "', "aliases must be|not TOML"),
        ("[resources]", "[resources", "not TOML"),
    ],
)
def test_a_wrong_board_file_is_refused_by_key(tmp_path, old, new, message):
    assert old in GOOD
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(UsageError, match=message) as caught:
        read_board(path)
    assert "wrong.toml" in caught.value.at


def test_resources_that_are_no_table_are_refused(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD.split("[resources]")[0] + "resources = 3\n")
    with pytest.raises(UsageError, match="resources must be a table"):
        read_board(path)


@pytest.mark.parametrize("name", ["absent.toml", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="the board file cannot be read"):
        load_target(Path(tmp_path / name))


def test_binary_is_not_toml(tmp_path):
    path = tmp_path / "b.toml"
    path.write_bytes(b"\x89HDF\xff\xfe")
    with pytest.raises(UsageError, match="not TOML"):
        load_target(path)


def test_listing_is_quick():
    list_targets.cache_clear()
    start = time.perf_counter()
    list_targets()
    # Bound is generous for a busy machine; it is 30 small files.
    assert time.perf_counter() - start < 1.0
