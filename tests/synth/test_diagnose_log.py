"""The failures people meet, by the line the tools print."""

import pytest

from qapflow.synth.diagnose_log import KNOWN, diagnose_log

NOISE = (
    "WARNING: [SYNCHK 200-23] out of memory is not meant here\n"
    "INFO: [XFORM 203-101] Allowed max sub elements number after partition is 4096.\n"
    "ERROR: [HLS 200-642] The 'config_array_partition -maximum_size' command is not supported.\n"
    "ERROR: [HLS 200-101] config_array_partition: Unknown option '-maximum_size'.\n"
)


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("ERROR: [XFORM 203-504] Stop unrolling loop 'MultLoop' (a.h:52)", "too large to unroll"),
        (
            "ERROR: [XFORM 203-103] Array 'd': partitioned elements number (8192) exceeded "
            "threshold (4096)",
            "more elements than the tool turns into registers",
        ),
        ("ERROR: [HLS 200-70] Compilation errors found: In file", "stopped before synthesis"),
        ("/a/b.sh: line 4: 99 Killed   vivado_hls", "tool was killed"),
        ("ERROR: [COSIM 212-5] *** C/RTL co-simulation file generation failed.", "set up"),
        ("ERROR: [COSIM 212-360] Aborting co-simulation: C TB simulation failed.", "test bench"),
        ("ERROR: [COSIM 212-344] Rtl simulation failed.", "RTL simulator stopped"),
        ("ERROR: [COSIM 212-345] Cosim only supports", "without a start signal"),
        ("ERROR: [COSIM 212-4] *** C/RTL co-simulation finished: FAIL ***", "other outputs"),
        ("ERROR: [SIM 211-100] CSim failed with errors.", "C simulation inside the tool"),
        ("ERROR: [HLS 200-1023] Part 'xck26-sfvc784-2LV-c' is not installed.", "part is not"),
        ("ERROR: [Common 17-345] A valid license was not found for 'Synthesis'", "no licence"),
        ("ERROR: Failed to get license for feature 'HLS'", "no licence"),
        ("sh: 1: vitis-run: not found", "vitis-run is missing"),
        ("bash: g++: command not found", "no C++ compiler"),
        ('couldn\'t execute "vivado": no such file or directory', "vivado was not found"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "out of memory"),
        ("ERROR: out of memory allocating 4096 bytes", "out of memory"),
        ("cp: error writing 'a': No space left on device", "disk is full"),
        ("a: error while loading shared libraries: libtinfo.so.5", "system library"),
        ("bad lexical cast: source type value could not be interpreted", "date after 2021"),
    ],
)
def test_a_known_failure_is_explained_with_a_way_out(line, meaning):
    found = diagnose_log(f"{NOISE}{line}\nmore\n")
    assert found.line.startswith(line[:40])
    assert meaning in found.meaning
    assert found.fix


def test_the_cause_beats_the_error_that_follows_from_it():
    text = "ERROR: [HLS 200-70] Pre-synthesis failed.\nERROR: [XFORM 203-504] Stop unrolling\n"
    assert "unroll" in diagnose_log(text).meaning


def test_an_unknown_error_is_quoted_and_warnings_are_not():
    assert diagnose_log(NOISE + "ERROR: [ABC 1-2] New.\n").line == "ERROR: [ABC 1-2] New."
    assert diagnose_log(NOISE + "ERROR: [ABC 1-2] New.\n").meaning == ""
    assert diagnose_log(NOISE).line == ""
    assert len(diagnose_log("ERROR: " + "x" * 9999).line) <= 400


def test_every_known_failure_says_what_to_do():
    assert all(known.meaning and known.fix for known in KNOWN)
