import pytest

pytest.importorskip("sklearn")

from bench.estimate.layers import element_coefficients, plain_layers
from bench.estimate.pieces import by_rule

RELU = {
    "kind": "relu",
    "config": "relu_config4",
    "n_in": "32",
    "in_t": "ap_fixed<16,6>",
    "out_t": "ap_ufixed<8,0,AP_RND_CONV,AP_SAT>",
    "LUT": "1800",
    "FF": "0",
    "lat_best": "0",
    "ii_min": "1",
}
BEFORE = {"kind": "dense_latency", "config": "config2", "n_in": "4", "n_out": "32", "n_w": "128"}
AFTER = {"kind": "dense_latency", "config": "config5", "n_in": "32", "n_out": "5", "n_w": "160"}
PLACE = {
    "design_id": "one",
    "repo": "a/b",
    "tool": "2019.2",
    "part": "xcu250-figd2104-2L-e",
    "clk_target": "5.0",
    "io_type": "nnet::io_parallel",
}


def write(folder, *rows):
    names = sorted({name for row in rows for name in (*row, *PLACE)})
    names += ["module", "weight_t", "accum_t", "table_t", "DSP", "BRAM", "strategy", "out_height"]
    lines = [",".join(names)]
    for row in rows:
        cells = PLACE | row
        lines.append(",".join(f'"{cells.get(name, "")}"' for name in names))
    (folder / "modules.csv").write_text("\n".join(lines), encoding="utf-8")
    return list(plain_layers(folder))


def test_elements_that_are_constant_or_unread_are_left_out(tmp_path):
    before, after = BEFORE | {"n_out_nonempty": "30"}, AFTER | {"n_in_nonempty": "25"}
    (sample,) = write(tmp_path, before, RELU, after)
    assert sample.module.copies == 25
    assert (sample.module.in_width, sample.module.out_width) == (16, 8)
    assert (sample.module.rounds, sample.module.saturates) == (True, True)
    assert not sample.module.signed


def test_rows_are_taken_once_and_only_with_types(tmp_path):
    assert len(write(tmp_path, RELU, RELU, RELU | {"in_t": "", "n_in": "5"})) == 1


def test_a_layer_whose_reader_is_unknown_is_left_out(tmp_path):
    assert write(tmp_path, RELU, BEFORE | {"config": "config9", "n_in": "7", "n_out": "9"}) == []


def test_streams_have_the_positions_of_their_convolution(tmp_path):
    stream = RELU | {
        "io_type": "nnet::io_stream",
        "n_in": "OUT_HEIGHT_2*OUT_WIDTH_2*N_FILT_2",
        "in_t": "nnet::array<ap_fixed<16,6>, 4*1>",
        "out_t": "nnet::array<ap_fixed<16,6>, 4*1>",
    }
    conv = {"kind": "conv", "config": "config2", "out_height": "5", "out_width": "7"}
    (sample,) = write(tmp_path, conv, stream)
    assert (sample.module.copies, sample.module.positions) == (4, 35)
    assert by_rule(sample.module, "ii_cycles") == 38
    assert by_rule(sample.module, "dsp") == 0


def test_a_coefficient_is_the_median_of_the_groups(tmp_path):
    rows = [RELU | {"LUT": str(lut), "repo": repo} for lut, repo in ((1800, "a"), (2400, "b"))]
    samples = write(tmp_path, *rows, RELU | {"LUT": "90000", "repo": "c"})
    found = element_coefficients(samples, "lut")
    (middle,) = (s for s in samples if s.group == "b")
    assert element_coefficients([middle], "lut") == found
    assert found["expressions"] == 1
