"""Every report format, and what happens to broken ones."""

from pathlib import Path

import pytest

from qapflow.errors import ToolFailed
from qapflow.report.figures import Source
from qapflow.synth.csynth import parse_csynth_xml, read_folder
from qapflow.synth.result import count, spread
from qapflow.synth.text_reports import parse_cosim_rpt, parse_csynth_rpt
from qapflow.synth.vivado import parse_timing, parse_utilization

REPORTS = Path(__file__).parent.parent / "reports"
VIVADO = {"bram18": 4, "dsp": 21, "ff": 1234, "lut": 5678, "uram": 0}
VITIS = {"bram18": 2, "dsp": 13, "ff": 900, "lut": 4321, "uram": 0}


def values(figures):
    return {name: figure.value for name, figure in figures.items()}


def broken(tmp_path, name, change):
    path = tmp_path / name
    path.write_text(change((REPORTS / name).read_text()))
    return path


def test_vivado_hls_xml():
    report = parse_csynth_xml(REPORTS / "vivado_2020.1_csynth.xml")
    assert values(report.figures) == {**VIVADO, "latency_cycles": 9, "ii_cycles": 1}
    latency = report.figures["latency_cycles"]
    assert (latency.low, latency.high, latency.source) == (7, 9, Source.CSYNTH)
    assert report.available["lut"] == 1182240
    assert values(report.timing) == {"target_clock_ns": 5.0, "estimated_clock_ns": 4.367}
    assert report.facts == {
        "version": "2020.1",
        "part": "xcvu9p-flga2104-2L-e",
        "top": "digits",
    }


def test_vitis_xml_with_modules():
    report = parse_csynth_xml(REPORTS / "vitis_2024.1_csynth.xml")
    assert values(report.figures) == {**VITIS, "latency_cycles": 8, "ii_cycles": 1}
    module = report.modules["dense_latency_config2_s"]
    assert values(module) == {"latency_cycles": 3, "bram18": 0, "dsp": 10, "ff": 500, "lut": 3000}


def test_a_module_has_the_interval_of_its_own_report(tmp_path):
    text = (REPORTS / "vitis_2024.1_csynth.xml").read_text()
    (tmp_path / "csynth.xml").write_text(text)
    (tmp_path / "digits_csynth.xml").write_text(text.split("<ModuleInf")[0] + "</profile>")
    own = (REPORTS / "vitis_2024.1_module_csynth.xml").read_text()
    (tmp_path / "dense_latency_config2_s_csynth.xml").write_text(own)
    report = read_folder(tmp_path)
    assert report.facts["top"] == "digits"
    assert list(report.modules) == ["dense_latency_config2_s"]
    assert report.modules["dense_latency_config2_s"]["ii_cycles"].value == 2
    assert report.figures["lut"].value == 4321


def test_an_unbounded_latency_is_left_out_with_a_note(tmp_path):
    path = broken(
        tmp_path,
        "vitis_2024.1_csynth.xml",
        lambda t: t.replace(">8</", ">undef</").replace(">1</Int", ">?</Int"),
    )
    report = parse_csynth_xml(path)
    assert {"latency_cycles", "ii_cycles"}.isdisjoint(report.figures)
    assert "no latency" in report.notes[0]


def test_text_report_of_vivado_hls():
    report = parse_csynth_rpt(REPORTS / "vivado_2020.1_csynth.rpt")
    assert values(report.figures) == {**VIVADO, "latency_cycles": 9, "ii_cycles": 1}
    assert report.figures["latency_cycles"].low == 7
    assert report.available == {
        "bram18": 4320, "dsp": 6840, "ff": 2364480, "lut": 1182240, "uram": 960,
    }  # fmt: skip
    assert values(report.timing) == {"target_clock_ns": 5.0, "estimated_clock_ns": 4.367}
    assert set(report.modules) == {"dense_latency_config2_s", "relu_config3_s"}
    assert report.modules["relu_config3_s"]["lut"].value == 600


def test_text_report_of_vitis():
    report = parse_csynth_rpt(REPORTS / "vitis_2024.1_csynth.rpt")
    assert report.facts["top"] == "digits"
    assert values(report.figures) == {
        "latency_cycles": 8, "ii_cycles": 1, "bram18": 2, "dsp": 13, "ff": 900, "lut": 4321,
    }  # fmt: skip
    assert values(report.modules["relu_config3_s"]) == {"latency_cycles": 0, "lut": 280}
    assert "ii_cycles" not in report.modules["dense_latency_config2_s"]
    assert len(report.modules) == 2


def test_cosim():
    report = parse_cosim_rpt(REPORTS / "cosim_pass.rpt")
    assert report.facts == {"status": "Pass", "language": "Verilog"}
    assert values(report.figures) == {"latency_cycles": 10, "ii_cycles": 1}
    assert report.figures["latency_cycles"].low == 8
    assert report.figures["latency_cycles"].source is Source.COSIM
    assert parse_cosim_rpt(REPORTS / "cosim_fail.rpt").facts["status"] == "Fail"
    assert parse_cosim_rpt(REPORTS / "cosim_fail.rpt").figures == {}


def test_utilization_counts_a_tile_as_two_bram18():
    report = parse_utilization(REPORTS / "util_ultrascale.rpt", Source.POST_ROUTE)
    assert values(report.figures) == {"lut": 2345, "ff": 1111, "bram18": 5, "uram": 1, "dsp": 12}
    assert {f.source for f in report.figures.values()} == {Source.POST_ROUTE}
    small = parse_utilization(REPORTS / "util_7series.rpt", Source.POST_SYNTH)
    assert values(small.figures) == {"lut": 1000, "ff": 700, "bram18": 6, "dsp": 5}


def test_timing():
    report = parse_timing(REPORTS / "timing_routed.rpt")
    assert values(report.timing) == {
        "wns_ns": 1.0, "tns_ns": 0.0, "whs_ns": 0.04, "target_clock_ns": 5.0, "fmax_mhz": 250.0,
    }  # fmt: skip


def test_timing_without_constraints_has_no_slack(tmp_path):
    path = broken(
        tmp_path, "timing_routed.rpt", lambda t: t.replace("      1.000 ", "         NA ")
    )
    report = parse_timing(path)
    assert "wns_ns" not in report.timing
    assert "no path is constrained" in report.notes[0]


@pytest.mark.parametrize(
    ("parse", "name", "change", "message"),
    [
        (parse_csynth_xml, "vivado_2020.1_csynth.xml", lambda t: t[:900], "report is cut off"),
        (parse_csynth_xml, "vivado_2020.1_csynth.xml", lambda _: "", "report is cut off"),
        (parse_csynth_xml, "vivado_2020.1_csynth.xml", lambda _: "<a/>", "no resource table"),
        (
            parse_csynth_xml,
            "vivado_2020.1_csynth.xml",
            lambda t: '<!DOCTYPE a [<!ENTITY b "b">]>' + t,
            "no report of the vendor",
        ),
        (parse_csynth_rpt, "vivado_2020.1_csynth.rpt", lambda t: t[:1500], "no resource table"),
        (
            parse_csynth_rpt,
            "vitis_2024.1_csynth.rpt",
            lambda t: "\n".join(t.splitlines()[:-1]),
            "no resource table",
        ),
        (
            parse_csynth_rpt,
            "vitis_2024.1_csynth.rpt",
            lambda t: t.replace("|+ ", "|o ").replace("| + ", "| o "),
            "lists no function",
        ),
        (parse_cosim_rpt, "cosim_pass.rpt", lambda t: t.replace("Pass", "NA"), "has no result"),
        (parse_cosim_rpt, "cosim_pass.rpt", lambda _: "", "has no result"),
        (
            lambda p: parse_utilization(p, Source.POST_SYNTH),
            "util_7series.rpt",
            lambda t: t.split("4. DSP")[0],
            "no row for dsp",
        ),
        (parse_timing, "timing_routed.rpt", lambda t: t[:300], "no design timing summary"),
    ],
)
def test_a_broken_report_is_named(tmp_path, parse, name, change, message):
    path = broken(tmp_path, name, change)
    with pytest.raises(ToolFailed, match=message) as caught:
        parse(path)
    assert name in caught.value.at


@pytest.mark.parametrize(
    "parse",
    [
        parse_csynth_xml,
        parse_csynth_rpt,
        parse_cosim_rpt,
        parse_timing,
        lambda p: parse_utilization(p, Source.POST_SYNTH),
    ],
)
def test_a_missing_report_is_named(tmp_path, parse):
    with pytest.raises(ToolFailed, match="report cannot be read: No such file"):
        parse(tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12), ("2.5", 2.5), ("4 (~0%)", 4), ("~0", 0), ("1,234", 1234), (" 7|", 7)]
    + [(text, None) for text in ("-", "NA", "?", "undef", "", None, "nan", "inf")],
)
def test_cells(text, number):
    assert count(text) == number


def test_spread_of_nothing_is_nothing():
    assert spread("-", None, "cycles", Source.CSYNTH) is None
