"""Stands in for a vendor program: prints its banner, writes reports, or fails as asked.

Called as `fake_vendor.py NAME ARGUMENTS`; the variables FAKE_MODE and FAKE_VERSION steer it.
"""

import os
import shutil
import sys
import time
from pathlib import Path

REPORTS = Path(__file__).parent.parent / "reports"
BANNERS = {
    "vivado_hls": "Vivado(TM) HLS - High-Level Synthesis from C, C++ and OpenCL v{} (64-bit)",
    "vitis_hls": "****** Vitis HLS - High-Level Synthesis from C, C++ and OpenCL v{} (64-bit)",
    "vitis-run": "\n****** vitis-run v{} (64-bit)\n  **** SW Build 5074859 on 2024-05-20",
    "v++": "\n****** v++ v{} (64-bit)\n  **** SW Build 5074859 on 2024-05-20",
    "vivado": "Vivado v{} (64-bit)\nSW Build 2902540 on Wed May 27 19:54:35 MDT 2020",
}
RELEASES = {"vivado_hls": "2020.1", "vitis_hls": "2022.2"}
FAILURES = {
    "unroll": "ERROR: [XFORM 203-504] Stop unrolling loop 'Product1' (nnet_dense_latency.h:37) in "
    "function 'nnet::dense_latency'\nERROR: [HLS 200-70] Pre-synthesis failed.",
    "part": "ERROR: [HLS 200-1023] Part 'xcvu9p-flga2104-2L-e' is not installed.",
    "memory": "/opt/hls.sh: line 10:  4711 Killed                  hls",
    "mystery": "ERROR: [HLS 999-1] Something new.",
    "mute": "nothing to see",
}


def main() -> int:
    name, *words = sys.argv[1:]
    version = os.environ.get("FAKE_VERSION", RELEASES.get(name, "2024.1"))
    if words in (["--version"], ["-version"]):
        print(BANNERS[name].format(version))
        return 0
    stage = os.environ.get("QAPFLOW_STAGE", "")
    mode = os.environ.get("FAKE_MODE", "")
    print(f"INFO: running {name} {' '.join(words)} for {stage}")
    print(
        "ERROR: [HLS 200-642] The 'config_array_partition -maximum_size' command is not supported."
    )
    with Path("calls.txt").open("a") as calls:
        calls.write(f"{stage}: {name} {' '.join(words)}\n")
    if mode == "hang":
        time.sleep(60)
    if mode == "kill":
        sys.stdout.flush()
        os.kill(os.getpid(), 9)
    if mode in FAILURES:
        print(FAILURES[mode])
        return 1
    if mode != "silent":
        write_reports(name, stage, mode)
    return 0


def write_reports(name: str, stage: str, mode: str) -> None:
    if name == "vivado":
        with Path("implemented.txt").open("w") as facts:
            for key in ("TOP", "PART", "CLOCK_NS", "RTL"):
                facts.write(f"{key}={os.environ.get('QAPFLOW_' + key, '')}\n")
        shutil.copyfile(REPORTS / "util_ultrascale.rpt", "qapflow_util_synth.rpt")
        shutil.copyfile(REPORTS / "util_ultrascale.rpt", "qapflow_util_routed.rpt")
        shutil.copyfile(REPORTS / "timing_routed.rpt", "qapflow_timing_routed.rpt")
        return
    folder = Path("qapflow_hls/hls" if name == "v++" else "digits_prj/solution1")
    report = folder / "syn/report"
    report.mkdir(parents=True, exist_ok=True)
    (folder / "syn/verilog").mkdir(exist_ok=True)
    if name == "vivado_hls":
        shutil.copyfile(REPORTS / "vivado_2020.1_csynth.xml", report / "digits_csynth.xml")
        shutil.copyfile(REPORTS / "vivado_2020.1_csynth.xml", report / "csynth.xml")
    else:
        module = "dense_latency_config2_s_csynth.xml"
        shutil.copyfile(REPORTS / "vitis_2024.1_csynth.xml", report / "csynth.xml")
        shutil.copyfile(REPORTS / "vitis_2024.1_module_csynth.xml", report / module)
    if stage == "cosim":
        cosim = folder / "sim/report"
        cosim.mkdir(parents=True, exist_ok=True)
        verdict = "fail" if mode == "mismatch" else "pass"
        shutil.copyfile(REPORTS / f"cosim_{verdict}.rpt", cosim / "digits_cosim.rpt")


if __name__ == "__main__":
    sys.exit(main())
