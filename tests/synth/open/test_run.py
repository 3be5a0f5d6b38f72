"""Modules side by side: counted once, kept, limited, and partial where one fails."""

from dataclasses import replace

import pytest

from qapflow.errors import UsageError
from qapflow.rtl.design import Design, Module
from qapflow.synth.open.engines import Engine, find_engines
from qapflow.synth.open.kept import Kept
from qapflow.synth.open.run import How, run_modules, synthesise
from qapflow.synth.open.script import CellMapping, write_script
from qapflow.synth.open.sources import Sources, read_folder, sources_of
from qapflow.synth.open.unit import Limits, run_units
from qapflow.verify.process import Runner
from tests.synth.open.conftest import ADDER, TOP


def go(engine, sources, folder, **changes):
    heard = []
    mapping = CellMapping("xcup", changes.pop("effort", "normal"))
    how = How(engine, mapping, **{"jobs": 2, "limits": Limits(60.0), **changes})
    return synthesise(sources, how, folder, lambda *words: heard.append(words)), heard


def test_only_what_changed_runs_again(fake, two_level, tmp_path):
    engine, ran = fake()
    first, _ = go(engine, two_level, tmp_path)
    assert first.status == "ok"
    assert first.tool == "yosys 9.9, not Vivado"
    assert ran() == ["adder", "top"]
    again, heard = go(engine, two_level, tmp_path)
    assert ran() == ["adder", "top"]
    assert all(module.cached for module in again.modules)
    assert again.totals == first.totals
    assert [state for _, state in heard] == ["cached", "cached"]
    files = {**two_level.files, "top.v": two_level.files["top.v"] + b"// edited\n"}
    go(engine, replace(two_level, files=files), tmp_path)
    assert ran() == ["adder", "top", "top"]
    go(replace(engine, version="10.0"), two_level, tmp_path)
    assert ran() == ["adder", "adder", "top", "top", "top"]


def test_damaged_result_is_made_anew(fake, two_level, tmp_path):
    engine, ran = fake()
    go(engine, two_level, tmp_path)
    for path in (tmp_path / "kept").iterdir():
        path.write_text('{"status": "ok"}')
    go(engine, two_level, tmp_path)
    assert ran() == ["adder", "adder", "top", "top"]


@pytest.mark.parametrize(
    ("action", "limits", "status", "detail"),
    [
        (
            'print("Warning: x\\nERROR: syntax error in line 7"); sys.exit(1)',
            Limits(60.0),
            "failed",
            "ERROR: syntax error in line 7",
        ),
        ("sys.exit(3)", Limits(60.0), "failed", "exit code 3, no netlist and no error line"),
        ("sys.exit(0)", Limits(60.0), "failed", "exit code 0, no netlist and no error line"),
        ("os.kill(os.getpid(), 9)", Limits(60.0), "out of memory", "memory ran out"),
        (
            "x = bytearray(2**40)",
            Limits(60.0, 512),
            "out of memory",
            "memory ran out with a limit of 512 MB",
        ),
        ("time.sleep(60)", Limits(1.5), "timed out", "stopped after 1.5 s"),
    ],
)
def test_failures_leave_the_rest(fake, two_level, tmp_path, action, limits, status, detail):
    engine, ran = fake(action, fail=("adder",))
    result, _ = go(engine, two_level, tmp_path, limits=limits)
    adder, top = result.modules
    assert result.status == "partial"
    assert (adder.status, adder.detail, adder.figures) == (status, detail, {})
    assert top.status == "ok"
    assert result.totals["lut"] == 2
    fake()
    result, _ = go(engine, two_level, tmp_path)
    assert result.status == "ok"
    assert ran() == ["adder", "adder", "top"]


def test_time_is_predicted_from_own_runs(two_level, tmp_path, fake):
    engine, _ = fake()
    kept = Kept(tmp_path / "kept")
    assert kept.seconds_of(None) is None
    assert kept.seconds_of(1000.0) == 4.5 + 6.0
    _, heard = go(engine, two_level, tmp_path)
    assert heard[0][1] == "note: 2 of 2 modules to synthesise, 2 side by side; about 5 s"


def test_script_leaves_other_modules_out(two_level):
    text = write_script(two_level, two_level.modules[1:], CellMapping("xc7", "quick", dsp=False))
    assert text == (
        'read_verilog -defer "src/top.v"\n'
        'read_verilog -defer "src/adder.v"\n'
        "hierarchy -check -top top\n"
        "blackbox adder\n"
        "scratchpad -set abc.fast true\n"
        'scratchpad -set abc9.script "+&st; &if -W 300 -K 6"\n'
        "synth_xilinx -family xc7 -top top -flatten -noiopad -noclkbuf -nodsp\n"
        "write_blif netlist.blif\n"
    )


def test_folder_without_benches(tmp_path, two_level):
    for path, content in two_level.files.items():
        (tmp_path / path).write_bytes(content)
    (tmp_path / "tb_top.v").write_text("not Verilog")
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "bench.sv").write_text("not Verilog")
    sources = read_folder(tmp_path, "top")
    assert list(sources.files) == ["adder.v", "top.v"]
    with pytest.raises(UsageError, match="no module 'tpo'") as caught:
        read_folder(tmp_path, "tpo")
    assert caught.value.hint == "--top one of: adder, top"
    with pytest.raises(UsageError, match="no Verilog here"):
        read_folder(tmp_path / "sim" / "x", "top")


@pytest.mark.needs_yosys
def test_real_cells_by_module_and_whole(two_level, tmp_path):
    engine = find_engines()[0]
    result, _ = go(engine, two_level, tmp_path)
    adder, top = result.modules
    assert (result.status, adder.count, top.figures["ff"]) == ("ok", 2, 18)
    assert adder.figures["lut2"] == 8  # one a bit
    assert result.totals["lut"] == 16
    assert result.totals["carry"] == 2 * adder.figures["carry"] == 6
    whole, _ = go(engine, two_level, tmp_path, effort="whole")
    (flat,) = whole.modules
    assert (flat.name, flat.cost_lut, whole.totals["ff"]) == ("top", 8.0, 18)
    assert whole.totals["lut"] == 16


@pytest.mark.needs_yosys
def test_error_of_pyosys_is_its_first_line(two_level, tmp_path):
    files = {**two_level.files, "adder.v": b"module adder(input a\n"}
    result, _ = go(Engine("pyosys", (), "0"), replace(two_level, files=files), tmp_path)
    assert [module.status for module in result.modules] == ["failed", "failed"]
    assert result.modules[0].detail.startswith("ERROR: syntax error")


def many(count, cost):
    files = {
        f"m{k}.v": f"module m{k}(input a, output b); endmodule\n".encode() for k in range(count)
    }
    modules = tuple(Module(f"m{k}", (f"l{k}",), (f"m{k}.v",), cost) for k in range(count))
    text = "\n".join(f"m{k} u{k}();" for k in range(count))
    top = Module("top", (), ("top.v", *files), None)
    files["top.v"] = f"module top; {text} endmodule\n".encode()
    return Sources("top", (*modules, top), files)


def test_small_modules_share_a_process(fake, tmp_path):
    engine, ran = fake()
    sources = many(7, 500.0)
    result, heard = go(engine, sources, tmp_path)
    assert ran() == ["m6", "qapflow_batch", "qapflow_batch", "top"]
    assert [module.status for module in result.modules] == ["ok"] * 8
    assert heard[0][1].startswith("note: 8 of 8 modules")


def test_a_failure_in_a_shared_process_is_found(fake, tmp_path):
    fail = ("qapflow_batch", "m1")
    engine, ran = fake('print("ERROR: bad"); sys.exit(1)', fail=fail)
    result, _ = go(engine, many(3, 100.0), tmp_path)
    assert ran() == ["m0", "m1", "m2", "qapflow_batch", "top"]
    assert [module.status for module in result.modules] == ["ok", "failed", "ok", "ok"]


@pytest.mark.needs_yosys
def test_shared_process_counts_as_alone(tmp_path):
    text = "module {0}(input clk, input [{1}:0] a, b, output reg [{1}:0] s); {2} endmodule\n"
    body = "always @(posedge clk) s <= a {} b;"
    files = {
        "p.v": text.format("p", 5, body.format("+")).encode(),
        "q.v": text.format("q", 3, body.format("^")).encode(),
        "r.v": b"module r(output [3:0] c); assign c = 5; endmodule\n",
    }
    modules = tuple(Module(n, (n,), (f"{n}.v",), 5.0) for n in "pqr")
    sources = Sources("", modules, files)
    how = How(find_engines()[0], CellMapping("xcup"), Limits(60.0), 1)
    _, units, _ = run_modules(sources, how, tmp_path, lambda *words: None)
    assert units["p"].cells.figures() | {"ff": 6, "lut": 6, "lut2": 6} == units["p"].cells.figures()
    assert (units["q"].cells.figures()["lut2"], units["q"].cells.figures()["ff"]) == (4, 4)
    assert units["r"].cells.lut == 0
    (alone,) = run_units(
        Runner(), how.engine, sources, modules[:1], how.mapping, folder=tmp_path / "x",
        limits=how.limits,
    )  # fmt: skip
    assert alone.cells == units["p"].cells


def design(**changes):
    plain = Design(
        top="top",
        language="verilog",
        form="unrolled",
        inputs=(),
        outputs=(),
        modules=(Module("adder", ("d",), ("src/adder.v",), 8.0),),
        files={"src/adder.v": ADDER, "src/top.v": TOP, "m.xdc": b"", "src/t.mem": b"0"},
        clock_ns=5.0,
        cost_lut=8.0,
    )
    return replace(plain, **changes)


def test_design_without_its_top_among_the_modules():
    sources = sources_of(design())
    assert [module.name for module in sources.modules] == ["adder", "top"]
    assert sources.modules[1].files == ("src/adder.v", "src/top.v")
    assert sorted(sources.files) == ["src/adder.v", "src/t.mem", "src/top.v"]


def test_vhdl_is_refused():
    with pytest.raises(UsageError, match="Yosys reads Verilog, this build's RTL is VHDL") as caught:
        sources_of(design(language="vhdl"))
    assert caught.value.hint == "build again with --rtl-language verilog"


def test_data_files_are_part_of_a_module(fake, tmp_path):
    engine, ran = fake()
    go(engine, sources_of(design()), tmp_path)
    files = {**design().files, "src/t.mem": b"1"}
    go(engine, sources_of(design(files=files)), tmp_path)
    assert ran() == ["adder", "adder", "top", "top"]


def test_path_that_a_script_cannot_hold():
    strange = 'a"b.v'
    sources = Sources("m", (Module("m", (), (strange,), None),), {strange: b"module m; endmodule"})
    with pytest.raises(UsageError, match="quote or a line break"):
        write_script(sources, sources.modules, CellMapping("xcup"))
