"""Layers of hand-written projects, in spellings of several hls4ml versions, and what is refused."""

import numpy as np
import pytest

from qapflow.cli.main import main
from qapflow.errors import ModelUnsupported, UsageError
from qapflow.importer import import_net, import_project, read_project
from qapflow.ir.interpret import interpret
from tests.importer.projects import CONFIG, CSYNTH, header

DATA = "ap_fixed<8,4>"
RNG = np.random.default_rng(11)


def write(folder, calls, *, types=None, configs="", weights=None, ports=None, stream=False):
    """Write a project of calls; `types` and `weights` are given by name."""
    kinds = {"input_t": DATA, "result_t": "ap_fixed<20,10>", "table_t": "ap_fixed<18,8>"}
    kinds |= {"w_t": "ap_fixed<6,1>", "b_t": "ap_fixed<6,1>", "accum_t": "ap_fixed<30,15>"}
    kinds = (types or {}) | {
        name: kind for name, kind in kinds.items() if name not in (types or {})
    }
    defines = "#define N_INPUT_1_1 6\n#define N_INPUT_2_1 3\n"
    defines += "".join(f"typedef {kind} {name};\n" for name, kind in kinds.items())
    ports = ports or "input_t x[N_INPUT_1_1*N_INPUT_2_1],\n    result_t y[99]"
    top = f"void myproject(\n    {ports}\n) {{\n" + "".join(f"    {c}\n" for c in calls) + "}\n"
    files = {
        "firmware/defines.h": defines,
        "firmware/parameters.h": configs,
        "firmware/myproject.cpp": top,
        "hls4ml_config.yml": CONFIG.format(backend="Vivado", reuse=1, strategy="Latency"),
    }
    for name, (kind, values) in (weights or {}).items():
        files[f"firmware/weights/{name}.h"] = header(kind, name, np.ravel(values))
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def config(name, base="activ_config", typedefs=None, **members):
    kinds = "".join(f"    typedef {kind} {key};\n" for key, kind in (typedefs or {}).items())
    numbers = "".join(f"    static const unsigned {k} = {v};\n" for k, v in members.items())
    return f"struct {name} : nnet::{base} {{\n{numbers}{kinds}}};\n"


SUMS = {"accum_t": "accum_t", "weight_t": "w_t", "bias_t": "b_t"}
WINDOW = {"in_width": 6, "n_chan": 3, "filt_width": 2, "stride_width": 2, "out_width": 3}
WINDOW |= {"pad_left": 0, "pad_right": 0, "reuse_factor": 1, "strategy": "nnet::latency"}


def run(folder, codes):
    net = import_project(folder).net
    (source,), (out,) = net.inputs, net.outputs
    made = interpret(net, {source.name: codes.reshape(len(codes), *source.out.shape)})[out]
    return net.edge(out).type.decode(made).reshape(len(codes), -1)


def inputs(size=18):
    return RNG.integers(-128, 128, (40, size))


def weights_of(*shape):
    return RNG.integers(-31, 32, shape) / 32


def test_a_convolution_of_an_early_version(tmp_path):
    """Sizes in the top function, no product and no kernel named, slope in the type of the data."""
    w, b = weights_of(2, 3, 4), weights_of(4)
    folder = write(
        tmp_path,
        [
            "const_size_in_1 = N_INPUT_1_1;",
            "nnet::conv_1d_cl<input_t, result_t, config2>(x, c, w2, b2); // conv",
            "nnet::leaky_relu<result_t, result_t, relu_config3>(c, 0.25, y); // act",
        ],
        configs=config("config2", "conv1d_config", SUMS, n_filt=4, **WINDOW)
        + config("relu_config3", n_in="3*4"),
        weights={"w2": ("w_t", w), "b2": ("b_t", b)},
        ports="input_t x[N_INPUT_1_1*N_INPUT_2_1], result_t y[12],\n"
        "    unsigned short &const_size_in_1, unsigned short &const_size_out_1",
    )
    codes = inputs()
    x = codes.reshape(-1, 3, 6) / 16
    sums = np.floor((x @ w.reshape(6, 4) + b) * 2**10) / 2**10
    leaky = np.where(sums > 0, sums, np.floor(sums * 0.25 * 2**10) / 2**10)
    assert np.array_equal(run(folder, codes), leaky.reshape(-1, 12))


def test_a_separable_convolution_whose_middle_has_the_type_of_the_data(tmp_path):
    w, p = weights_of(2, 3), weights_of(3, 4)
    parts = {"depthwise_config": "config2_d", "pointwise_config": "config2_p"}
    inner = {**WINDOW, "in_width": 3, "filt_width": 1, "stride_width": 1}
    folder = write(
        tmp_path,
        ["nnet::separable_conv_1d_cl<input_t, result_t, config2>(x, y, d2, p2, z2, b2); // sep"],
        types={"input_t": f"nnet::array<{DATA}, 3*1>"},
        configs=config("config2_d", "conv1d_config", SUMS, n_filt=3, **WINDOW)
        + config("config2_p", "conv1d_config", SUMS, n_filt=4, **inner)
        + config("config2", "sepconv_config", parts),
        weights={
            "d2": ("w_t", w),
            "p2": ("w_t", p),
            "z2": ("b_t", np.zeros(3)),
            "b2": ("b_t", np.zeros(4)),
        },
        ports="hls::stream<input_t> &x, hls::stream<result_t> &y",
    )
    codes = inputs()
    x = codes.reshape(-1, 3, 2, 3) / 16
    middle = np.floor((x * w).sum(axis=2) * 16)
    middle = ((middle + 128) % 256 - 128) / 16
    sums = np.floor(middle @ p * 2**10) / 2**10
    assert np.array_equal(run(folder, codes), sums.reshape(-1, 12))


def test_streams_are_cloned_merged_and_reduced(tmp_path):
    pool = config("config4", "pooling1d_config", {"accum_t": "input_t"}, n_in=6, n_filt=3)
    pool = pool.replace("};", "    static const nnet::Pool_Op pool_op = nnet::Max;\n};")
    folder = write(
        tmp_path,
        [
            "nnet::clone_stream<input_t, input_t, 18>(x, a, b); // clone",
            "nnet::multiply<input_t, input_t, result_t, config3>(a, b, c); // square",
            "nnet::global_pooling1d_cl<result_t, result_t, config4>(c, y); // top",
        ],
        configs=config("config3", "merge_config", n_elem=18) + pool,
        types={"input_t": f"nnet::array<{DATA}, 3*1>"},
        ports="hls::stream<input_t> &x, hls::stream<result_t> &y",
    )
    codes = inputs()
    square = np.floor((codes / 16) ** 2 * 16)
    expected = ((square + 128) % 256 - 128).reshape(-1, 6, 3).max(axis=1) / 16
    assert np.array_equal(run(folder, codes), expected)


def test_a_project_without_its_yaml(tmp_path):
    """Part and clock are in its scripts, types are named after others."""
    folder = write(
        tmp_path,
        ["nnet::relu<input_t, result_t, config2>(x, y); // act"],
        types={"model_default_t": DATA, "input_t": "model_default_t"},
        configs=config("config2", n_in=18),
    )
    (folder / "hls4ml_config.yml").unlink()
    codes = inputs()
    net = import_net(folder)
    with pytest.raises(UsageError, match="no script that tells part and clock"):
        import_project(folder)
    (folder / "build_prj.tcl").write_text(
        "set_part {xcku115-flvb2104-2-i}\ncreate_clock -period 4\n"
    )
    found = import_project(folder)
    assert found.net == net
    assert (found.target.part, found.plan.clock_ns) == ("xcku115-flvb2104-2-i", 4.0)
    assert np.array_equal(run(folder, codes), np.maximum(codes, 0) / 16)


def test_weights_in_one_header_and_configurations_in_a_namespace(tmp_path):
    w = weights_of(18, 2)
    folder = write(
        tmp_path,
        ["nnet::dense<input_t, result_t, config2>(x, y, w2, b2); // fc"],
        configs="namespace tagger {\n"
        + config("config2", "dense_config", SUMS, n_in="N_ALL", n_out=2).replace("\n}", "\n  }")
        + "}\n",
        weights={"w2": ("w_t", w), "b2": ("b_t", np.zeros(2))},
    )
    names = ("w2", "b2")
    paths = [folder / f"firmware/weights/{name}.h" for name in names]
    (folder / "firmware/weights.h").write_text("".join(path.read_text() for path in paths))
    for path in paths:
        path.unlink()
    with (folder / "firmware/defines.h").open("a") as file:
        file.write("static const int N_ALL=18;\n")
    codes = inputs()
    sums = np.floor(codes / 16 @ w * 2**10)
    assert np.array_equal(run(folder, codes), sums / 2**10)


def test_code_between_layers_is_no_input(tmp_path):
    folder = write(
        tmp_path,
        ["scale(x, scaled);", "nnet::relu<input_t, result_t, config2>(scaled, y); // act"],
        configs=config("config2", n_in=18),
    )
    with pytest.raises(ModelUnsupported, match="scaled is made by code that is no layer"):
        import_project(folder)


def test_every_unsupported_layer_is_listed_and_the_others_are_read(tmp_path):
    folder = write(
        tmp_path,
        [
            "nnet::lstm_stack<input_t, result_t, config2>(x, a, w2, b2); // lstm",
            "nnet::silu<result_t, result_t, config3>(a, b); // act",
            "nnet::dense<result_t, result_t, config4>(b, y, w4, b4); // fc",
        ],
        configs=config("config4", "dense_config", SUMS, n_in=5, n_out=2, reuse_factor=1),
        weights={"w4": ("w_t", weights_of(5, 2)), "b4": ("b_t", np.zeros(2))},
    )
    with pytest.raises(ModelUnsupported) as caught:
        import_project(folder)
    assert [item.layer for item in caught.value.items] == ["lstm", "act"]
    assert "qapflow build" in str(caught.value)
    assert list(read_project(folder).plan.choices) == ["fc"]


MEAN = config("config2", "pooling1d_config", {"accum_t": "mean_t"}, n_in=6, n_out=3, n_filt=3)
MEAN = MEAN.replace("};", "    static const nnet::Pool_Op pool_op = nnet::Average;\n};")
POOL = "nnet::pooling1d_cl<input_t, result_t, config2>(x, y); // layer"
SIZES = "    static const unsigned pool_width = 2;\n    static const unsigned stride_width = 2;\n"
PADDED = (
    SIZES + "    static const unsigned pad_left = 1;\n    static const unsigned pad_right = 1;\n"
)
DENSE = "nnet::dense<input_t, result_t, config2>(x, y, w2, b2); // layer"
CONV = "nnet::conv_1d_cl<input_t, result_t, config2>(x, y, w2, b2); // layer"
SOFTMAX = "nnet::softmax<input_t, result_t, config2>(x, y); // layer"
ARGMAX = "    static const unsigned implementation = nnet::softmax_implementation::argmax;\n};"


def with_members(text, members):
    return text.replace("{\n", "{\n" + members, 1)


@pytest.mark.parametrize(
    ("call", "configs", "types", "said"),
    [
        (
            POOL,
            with_members(MEAN, SIZES),
            {"mean_t": "ap_fixed<8,4,AP_TRN,AP_SAT,0>"},
            "its accumulator saturates after every addition",
        ),
        (POOL, with_members(MEAN, PADDED), {"mean_t": DATA}, "its means at the edges"),
        (
            POOL,
            with_members(MEAN, PADDED).replace("Average", "Max"),
            {"mean_t": DATA, "input_t": "ap_ufixed<8,4>"},
            "it pads unsigned values with half their range",
        ),
        (
            DENSE,
            config("config2", "dense_config", SUMS, n_in=18, n_out=2, reuse_factor=1),
            {"w_t": "exponent_type<4,0>"},
            "its weights are of type w_t, which is no fixed-point type",
        ),
        (
            DENSE,
            config(
                "config2",
                "dense_config",
                SUMS,
                n_in=18,
                n_out=2,
                strategy="nnet::distributed_arithmetic",
            ),
            {},
            "its sums are code that hls4ml wrote",
        ),
        (
            DENSE,
            config("config2", "dense_config", SUMS, n_in=18, n_out=2, reuse_factor=1),
            {"w_t": "ap_uint<1>"},
            "its kernel is chosen by the type of its one-bit weights",
        ),
        (
            CONV,
            config("config2", "conv1d_config", SUMS, n_filt=2, dilation=2, **WINDOW),
            {},
            "its windows are dilated",
        ),
        (SOFTMAX, config("config2", n_in=18).replace("};", ARGMAX), {}, "implementation argmax"),
        (
            SOFTMAX,
            config("config2", n_in=18).replace("};", ARGMAX.replace("argmax", "stable")),
            {},
            "an older implementation of softmax",
        ),
    ],
)
def test_what_is_not_exact_is_refused_by_name(tmp_path, call, configs, types, said):
    weights = {"w2": ("w_t", np.zeros(36)), "b2": ("b_t", np.zeros(2))}
    folder = write(tmp_path, [call], configs=configs, types=types, weights=weights)
    with pytest.raises(ModelUnsupported, match=rf"layer \(\w+\): {said}"):
        import_project(folder)


@pytest.mark.parametrize(
    ("kind", "width", "said"),
    [
        ("Average", 2, "its version of hls4ml adds in types of its own"),
        ("Max", 3, "windows that overlap"),
    ],
)
def test_pooling_before_accumulators_is_told_from_the_kernels(tmp_path, kind, width, said):
    sizes = SIZES.replace("pool_width = 2", f"pool_width = {width}")
    configs = with_members(MEAN.replace("Average", kind), sizes)
    folder = write(tmp_path, [POOL], configs=configs, types={"mean_t": DATA})
    kernels = folder / "firmware/nnet_utils/nnet_pooling.h"
    kernels.parent.mkdir()
    kernels.write_text("template<typename T, int N> T max(T x[N]) { }")
    with pytest.raises(ModelUnsupported, match=said):
        import_project(folder)


@pytest.mark.parametrize(
    ("call", "header_name", "text", "said"),
    [
        (
            "nnet::normalize<input_t, result_t, config2>(x, y, w2, b2); // layer",
            "nnet_batchnorm.h",
            "product<data_T, scale_t, res_T>::product(data[i], scale[i]) + bias[i]",
            "cuts products before it adds",
        ),
        (
            "nnet::concatenate2d<input_t, input_t, result_t, config2>(x, x, y); // layer",
            "nnet_merge.h",
            "if (CONFIG_T::axis == 1 || CONFIG_T::axis == -1) {",
            "counts the axes of arrays in another way",
        ),
        (
            "nnet::binary_tanh<input_t, bit_t, config2>(x, y); // layer",
            "nnet_activation.h",
            "void binary_tanh(data_T data[9], res_T res[9]) { if (datareg > 0) cache = 1;",
            "casts -1 to one bit",
        ),
    ],
)
def test_early_kernels_are_told_from_headers(tmp_path, call, header_name, text, said):
    kinds = {"accum_t": "accum_t", "scale_t": "w_t", "bias_t": "b_t"}
    configs = config("config2", "any_config", kinds, n_in=18)
    folder = write(tmp_path, [call], configs=configs, types={"bit_t": "ap_uint<1>"})
    kernels = folder / "firmware/nnet_utils" / header_name
    kernels.parent.mkdir()
    kernels.write_text(text)
    with pytest.raises(ModelUnsupported, match=said):
        import_project(folder)


def test_reports_of_projects_with_convolutions_are_compared(tmp_path, capsys):
    folder = write(
        tmp_path,
        [
            "nnet::conv_1d_cl<input_t, result_t, config5>(x, c, w5, b5); // conv",
            "nnet::dense<result_t, result_t, config2>(c, y, w2, b2); // fc",
        ],
        configs=config("config5", "conv1d_config", SUMS, n_filt=4, **WINDOW)
        + config("config2", "dense_config", SUMS, n_in=12, n_out=2, reuse_factor=1),
        weights={
            "w5": ("w_t", weights_of(2, 3, 4)),
            "b5": ("b_t", weights_of(4)),
            "w2": ("w_t", weights_of(12, 2)),
            "b2": ("b_t", weights_of(2)),
        },
    )
    report = folder / "myproject_prj/solution1/syn/report/csynth.xml"
    report.parent.mkdir(parents=True)
    report.write_text(CSYNTH.format(lut=5000, ff=300, module_lut=900))
    assert main(["calibrate", str(folder), "-o", str(tmp_path / "own.json")]) == 0
    told = capsys.readouterr().out
    assert "total" in told
    assert "layers" in told
