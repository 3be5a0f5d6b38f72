"""Small hls4ml projects, as hls4ml writes them."""

DEFINES = """#ifndef DEFINES_H_
#define DEFINES_H_
// hls-fpga-machine-learning insert layer-precision
typedef ap_fixed<8,4> input_t;
typedef {accum} fc1_accum_t;
typedef ap_fixed<16,6> fc1_result_t;
typedef ap_fixed<6,1> fc1_weight_t;
typedef ap_fixed<6,1> fc1_bias_t;
typedef ap_uint<1> layer2_index;
typedef ap_ufixed<6,2,AP_RND_CONV,AP_SAT,0> layer3_t;
typedef ap_fixed<18,8> relu1_table_t;
#endif
"""

PARAMETERS = """#ifndef PARAMETERS_H_
#define PARAMETERS_H_
// fc1
struct config2 : nnet::dense_config {{
    static const unsigned n_in = {n_in};
    static const unsigned n_out = {n_out};
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::{strategy};
    static const unsigned reuse_factor = {reuse};
    static const unsigned n_zeros = 1;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor);
    typedef fc1_accum_t accum_t;
    typedef fc1_bias_t bias_t;
    typedef fc1_weight_t weight_t;
    typedef layer2_index index_t;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
}};

// relu1
struct relu_config3 : nnet::activ_config {{
    static const unsigned n_in = {n_out};
    static const unsigned table_size = 1024;
    static const unsigned io_type = nnet::io_parallel;
    typedef relu1_table_t table_t;
}};
#endif
"""

TOP = """#include "myproject.h"
#include "parameters.h"
void myproject(input_t x[{n_in}], layer3_t layer3_out[{n_out}]) {{
#ifndef __SYNTHESIS__
    nnet::load_weights_from_txt<fc1_weight_t, {n_w}>(w2, "w2.txt");
#endif
    fc1_result_t layer2_out[{n_out}];
    nnet::dense<input_t, fc1_result_t, config2>(x, layer2_out, w2, b2); // fc1
    nnet::{activation}<fc1_result_t, layer3_t, relu_config3>(layer2_out, layer3_out); // relu1
}}
"""

CONFIG = """Backend: {backend}
ClockPeriod: 5
HLSConfig:
  Model:
    Precision: ap_fixed<16,6>
    ReuseFactor: {reuse}
    Strategy: {strategy}
IOType: io_parallel
Part: xcu250-figd2104-2L-e
ProjectName: myproject
"""

CSYNTH = """<?xml version="1.0" encoding="UTF-8"?>
<profile>
<ReportVersion><Version>2020.1</Version></ReportVersion>
<UserAssignments><Part>xcu250-figd2104-2L-e</Part><TopModelName>myproject</TopModelName>
<TargetClockPeriod>5.00</TargetClockPeriod></UserAssignments>
<PerformanceEstimates><SummaryOfOverallLatency><Best-caseLatency>2</Best-caseLatency>
<Worst-caseLatency>2</Worst-caseLatency><Interval-min>1</Interval-min><Interval-max>1</Interval-max>
</SummaryOfOverallLatency></PerformanceEstimates>
<AreaEstimates><Resources><BRAM_18K>0</BRAM_18K><DSP48E>0</DSP48E><FF>{ff}</FF><LUT>{lut}</LUT>
<URAM>0</URAM></Resources></AreaEstimates>
<ModuleInformation><Module>
<Name>dense_latency_ap_fixed_ap_fixed_16_6_5_3_0_config2_s</Name>
<PerformanceEstimates><SummaryOfOverallLatency><Best-caseLatency>1</Best-caseLatency>
<Worst-caseLatency>1</Worst-caseLatency></SummaryOfOverallLatency></PerformanceEstimates>
<AreaEstimates><Resources><BRAM_18K>0</BRAM_18K><DSP48E>0</DSP48E><FF>{ff}</FF>
<LUT>{module_lut}</LUT><URAM>0</URAM></Resources></AreaEstimates></Module></ModuleInformation>
</profile>
"""


def header(kind, name, values):
    """Return a weight header as hls4ml writes it."""
    text = ", ".join(f"{value:.5f}" for value in values)
    guard = "//Numpy array shape\n#ifndef W_H_\n#define W_H_\n"
    return f"{guard}{kind} {name}[{len(values)}] = {{{text}}};\n#endif\n"


def write_project(folder, weights, bias, *, accum="ap_fixed<20,9>", report=None, **choices):
    """Write a project of one dense layer [n_in, n_out] and a ReLU; return its folder."""
    given = {"strategy": "latency", "reuse": 1, "backend": "Vivado", "activation": "relu"} | choices
    given |= {"n_in": len(weights), "n_out": len(weights[0]), "n_w": len(weights) * len(weights[0])}
    flat = [v for row in weights for v in row]
    if given["strategy"] == "resource":
        flat = [row[k] for k in range(given["n_out"]) for row in weights]
    files = {
        "firmware/defines.h": DEFINES.format(accum=accum),
        "firmware/parameters.h": PARAMETERS.format(**given),
        "firmware/myproject.cpp": TOP.format(**given),
        "firmware/weights/w2.h": header("fc1_weight_t", "w2", flat),
        "firmware/weights/b2.h": header("fc1_bias_t", "b2", bias),
        "hls4ml_config.yml": CONFIG.format(**given),
    }
    if report:
        files["myproject_prj/solution1/syn/report/csynth.xml"] = CSYNTH.format(**report)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
