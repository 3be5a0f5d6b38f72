"""Runs inside a simulator: AXI4-Stream sources and sinks around a shell, both ends stalling.

The file named by QAPFLOW_FRAMES holds frames as hexadecimal bytes by port, of inputs and outputs.
"""

import json
import os
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource


def pauses(percent, seed):
    dice = random.Random(seed)
    while True:
        yield dice.randrange(100) < percent


async def stream(dut, percent):
    """Send all frames and compare what comes out, byte by byte."""
    frames = json.loads(Path(os.environ["QAPFLOW_FRAMES"]).read_text())
    cocotb.start_soon(Clock(dut.aclk, 4, unit="ns").start())
    reset = {"reset": dut.aresetn, "reset_active_level": False}
    sources, sinks = {}, {}
    for kind, made, prefix in ((AxiStreamSource, sources, "s"), (AxiStreamSink, sinks, "m")):
        for seed, name in enumerate(frames["inputs" if prefix == "s" else "outputs"]):
            bus = AxiStreamBus.from_prefix(dut, f"{prefix}_axis_{name}")
            made[name] = kind(bus, dut.aclk, **reset)
            made[name].set_pause_generator(pauses(percent, hash((prefix, seed)) % 1000))
    dut.aresetn.value = 0
    for _ in range(5):
        await RisingEdge(dut.aclk)
    dut.aresetn.value = 1
    for name, source in sources.items():
        for text in frames["inputs"][name]:
            await source.send(AxiStreamFrame(bytes.fromhex(text)))
    for number in range(len(next(iter(frames["outputs"].values())))):
        for name, sink in sinks.items():
            found = (await sink.recv()).tdata
            expected = frames["outputs"][name][number]
            assert bytes(found).hex() == expected, f"frame {number} of {name}"
    for _ in range(50):
        await RisingEdge(dut.aclk)
    assert all(sink.empty() for sink in sinks.values())


@cocotb.test()
async def without_stalls(dut):
    await stream(dut, 0)


@cocotb.test()
async def with_stalls_at_both_ends(dut):
    await stream(dut, 40)
