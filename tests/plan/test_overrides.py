"""The plan file, in both spellings, and every complaint about it."""

from pathlib import Path

import pytest

from qapflow.errors import UsageError
from qapflow.plan.overrides import LayerOverride, read_overrides

OWN = """
io_type: io_stream
clock_ns: 2.5
strategy: latency
fc1: {strategy: resource, reuse_factor: 16}
layers:
  fc2:
    reuse_factor: 4
"""

HLS4ML = """
Backend: Vitis
IOType: io_stream
ClockPeriod: 5
ClockUncertainty: 12.5%
HLSConfig:
  Model: {ReuseFactor: 64, Strategy: Resource}
  LayerType:
    QDense: {Strategy: Latency}
  LayerName:
    fc1: {Strategy: DistributedArithmetic, ReuseFactor: 1, Trace: false}
"""


def write(tmp_path, text):
    path = tmp_path / "plan.yml"
    path.write_text(text)
    return path


def plain(override):
    return override.strategy, override.reuse_factor


def test_own_form(tmp_path):
    found = read_overrides(write(tmp_path, OWN))
    assert (found.io_type, found.clock_ns, found.model.strategy) == ("io_stream", 2.5, "latency")
    assert plain(found.layers["fc1"]) == ("resource", 16)
    assert plain(found.layers["fc2"]) == (None, 4)
    assert "plan.yml" in found.layers["fc2"].at


def test_hls4ml_form(tmp_path):
    found = read_overrides(write(tmp_path, HLS4ML))
    assert (found.backend, found.io_type, found.clock_ns) == ("vitis", "io_stream", 5.0)
    assert found.clock_uncertainty_percent == 12.5
    assert plain(found.model) == ("resource", 64)
    assert plain(found.classes["QDense"]) == ("latency", None)
    assert plain(found.layers["fc1"]) == ("distributed_arithmetic", 1)


def test_an_empty_file_fixes_nothing(tmp_path):
    found = read_overrides(write(tmp_path, "# nothing\n"))
    assert found.layers == {}
    assert plain(found.model) == plain(LayerOverride())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reuse_facto: 4", r"unknown key 'reuse_facto'[\s\S]*did you mean 'reuse_factor'"),
        ("zzzzz: 4", r"unknown key 'zzzzz'[\s\S]*known are"),
        ("fc1: {ReuseFacto: 4}", r"unknown key 'ReuseFacto'[\s\S]*'ReuseFactor'"),
        ("fc1: {Precision: 'fixed<8,4>'}", r"Precision cannot be set: types come from the model"),
        ("Model: {Precision: auto}", r"Precision cannot be set: types come from the model"),
        ("fc1: {Precision: {result: auto}}", "types come from the model"),
        ("Precision: {result: auto}", "types come from the model"),
        ("fc1: {Trace: true}", "Trace cannot be set"),
        ("Part: xcvu9p", "Part cannot be set: the part comes from --board"),
        ("fc1: {reuse_factor: 0}", "a whole number from 1, not 0"),
        ("fc1: {reuse_factor: 2.5}", "a whole number from 1, not 2.5"),
        ("fc1: {reuse_factor: true}", "a whole number from 1, not True"),
        ("fc1: {strategy: resorce}", r"'resorce' is not one of[\s\S]*did you mean 'resource'"),
        ("IOType: io_paralel", "did you mean 'io_parallel'"),
        ("Backend: 7", r"7 is not one of vitis, vivado"),
        ("ClockPeriod: -5", "a clock period is positive, not -5"),
        ("ClockPeriod: fast", "a clock period is a number of nanoseconds"),
        ("ClockUncertainty: 120%", "a clock uncertainty is 0 to 99 percent"),
        ("ClockUncertainty: some", "a clock uncertainty is 0 to 99 percent"),
        ("layers: 3", "expected keys with values, not 3"),
        ("- 1", "expected keys with values"),
        ("a: [", "the plan file is not YAML"),
        ("fc1: {reuse_factor: 2}\nfc1: {reuse_factor: 4}", "'fc1' stands twice"),
        ("? {a: 1}\n: 2", "the plan file is not YAML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        read_overrides(write(tmp_path, text))
    assert "plan.yml" in caught.value.at


def test_a_missing_file_is_refused():
    with pytest.raises(UsageError, match="the plan file cannot be read: No such file"):
        read_overrides(Path("absent.yml"))
