"""Reading quantizers: strings, dictionaries, lists; never evaluated."""

from __future__ import annotations

import numpy as np
import pytest

from qapflow.frontend.quantizers import UnsupportedQuantizer, parse_quantizer


@pytest.mark.parametrize("spec", [None, "", "None", " null "])
def test_nothing_is_none(spec):
    assert parse_quantizer(spec) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("quantized_bits(6,0,alpha=1)", {"bits": 6, "integer": 0, "alpha": 1}),
        ("quantized_bits( 4 , 1, 1, True )", {"bits": 4, "symmetric": 1, "keep_negative": True}),
        ("quantized_bits(4,0,alpha='auto_po2')", {"alpha": "auto_po2"}),
        ('quantized_bits(4,0,alpha="auto")', {"alpha": "auto"}),
        ("quantized_bits(4,0,alpha=[1, 0.5])", {"alpha": (1, 0.5)}),
        ("quantized_bits(4,0,alpha=True)", {"alpha": 1.0}),
        ("quantized_bits", {"bits": 8, "integer": 0, "alpha": None}),
        ("quantized_bits()", {"bits": 8}),
        ("quantized_relu(6,2)", {"bits": 6, "integer": 2, "negative_slope": 0.0}),
        ("quantized_relu(8,2,0,0.25)", {"negative_slope": 0.25}),
        ("quantized_relu(6, integer=-1)", {"integer": -1}),
        ("ternary(alpha=None, threshold=0.5)", {"alpha": None, "threshold": 0.5}),
        ("binary(use_01=1)", {"use_01": 1}),
        ("quantized_po2(4,1)", {"bits": 4, "max_value": 1}),
        ("quantized_hswish(8,3,relu_shift=2)", {"relu_shift": 2, "relu_upper_bound": 6}),
    ],
)
def test_strings(text, expected):
    quantizer = parse_quantizer(text)
    assert str(quantizer) == text.strip()
    assert {name: quantizer[name] for name in expected} == expected


def test_dictionaries_of_keras_2_and_3_are_the_same():
    config = {"bits": 6, "integer": 0, "alpha": 1, "qnoise_factor": 1.0, "keep_negative": True}
    plain = parse_quantizer({"class_name": "quantized_bits", "config": config})
    keras_3 = parse_quantizer(
        {
            "module": "qkeras.quantizers",
            "class_name": "quantized_bits",
            "config": config,
            "registered_name": "QKeras>quantized_bits",
            "shared_object_id": 9,
        }
    )
    registered = parse_quantizer({"class_name": "qkeras>quantized_bits", "config": config})
    assert plain == keras_3 == registered
    assert str(plain) == "quantized_bits(6,0,alpha=1)"
    assert parse_quantizer(plain) is plain


def test_functions_lists_and_keras_names():
    function = {"module": "builtins", "class_name": "function", "config": "quantized_relu(4,2)"}
    assert parse_quantizer(function)["bits"] == 4
    assert parse_quantizer({"class_name": "function", "config": "relu"}).kind == "relu"
    assert parse_quantizer(["quantized_relu(4,2)"])["integer"] == 2
    assert parse_quantizer(["quantized_relu", {"bits": 5}])["bits"] == 5
    for name in ("linear", "softmax", "tanh", "hard_sigmoid", "binary_tanh"):
        assert parse_quantizer(name).kind == name


def test_arrays_of_files_become_tuples():
    value = {"class_name": "__numpy__", "config": {"value": [[0.5, 1.0]], "dtype": "float32"}}
    spec = {"class_name": "quantized_bits", "config": {"bits": 4, "alpha": value}}
    assert parse_quantizer(spec)["alpha"] == ((0.5, 1.0),)
    spec["config"] = {"bits": np.int64(4), "alpha": np.array([0.5]), "integer": [2]}
    quantizer = parse_quantizer(spec)
    assert (quantizer["bits"], quantizer["integer"], quantizer["alpha"]) == (4, 2, (0.5,))


def test_nested_arguments_are_dropped_as_qkeras_drops_them():
    quantizer = parse_quantizer("quantized_relu(quantized_bits(6, 0, alpha=1), 0)")
    assert (quantizer["bits"], quantizer["integer"]) == (8, 0)
    assert "QKeras drops the nested arguments" in quantizer.note


def test_parameters_that_change_nothing_at_inference_are_read():
    quantizer = parse_quantizer(
        "quantized_bits(4,use_stochastic_rounding=1,var_name='a,b(c',use_ste=0)"
    )
    assert "nested" in quantizer.note  # QKeras sees a second bracket here too
    quantizer = parse_quantizer("quantized_bits(4,use_stochastic_rounding=1,var_name='a,b')")
    assert quantizer["var_name"] == "a,b"
    assert quantizer["bits"] == 4


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("quantised_bits(4)", r"unknown quantizer or activation 'quantised_bits'"),
        ("quantised_bits(4)", r"did you mean quantized_bits"),
        ("relu9", r"unknown quantizer or activation 'relu9'"),
        ("quantized_bits(4,bit=3)", r"quantized_bits has no parameter 'bit'"),
        ("quantized_bits(4", r"no closing bracket"),
        ("quantized_bits(bits=4,2)", r"positional argument after a named one"),
        ("quantized_relu(1,2,3,4,5,6,7,8,9,10,11,12,13)", r"takes 12 arguments"),
        ("quantized_bits(__import__,0)", r"'__import__' in .* is no plain value"),
        ("quantized_bits(bits=exit)", r"'exit' in .* is no plain value"),
        ("quantized_bits(4,qnoise_factor=0.5)", r"qnoise_factor=0.5 is not supported"),
        ("quantized_bits(4,elements_per_scale=2)", r"elements_per_scale=2 is not supported"),
        ("quantized_bits(4.5)", r"bits=4.5 is not one whole number"),
        ("quantized_bits(0)", r"bits=0 is outside 1 to 64"),
        ("quantized_bits(4,keep_negative=-3)", r"keep_negative=-3 is no flag"),
        ("quantized_bits(4,99)", r"integer=99 is outside"),
        ("quantized_bits(4,[1,2])", r"integer=\(1, 2\) is not one whole number"),
        ("quantized_bits(4,alpha='1')", r"alpha='1' is not 'auto' or 'auto_po2'"),
        ("quantized_relu(4,0,negative_slope=0.3)", r"negative_slope=0.3 is not a power of two"),
        ("quantized_relu(4,0,negative_slope=[0.5,1])", r"negative_slope is a list, not one number"),
        ("quantized_relu(4,0,relu_upper_bound=[1])", r"relu_upper_bound is a list, not one"),
        ("quantized_ulaw(4,u=[3,4])", r"u is a list, not one number"),
        ("bernoulli", r"draws random numbers at inference"),
        ("ternary(threshold='auto')", r"threshold='auto' is no number"),
        ("ternary('auto',0.5)", r"a threshold and alpha='auto' exclude each other"),
        ("quantized_po2(4,log2_rounding='ceil')", r"log2_rounding='ceil' is unknown"),
        ({"config": {}}, r"without class_name"),
        ({"class_name": "binary", "config": 3}, r"the configuration is no dictionary"),
        ({"class_name": "binary", "config": {"alpha": {}}}, r"alpha is a dictionary"),
        (["a", "b", "c"], r"a list of 3 quantizers"),
        (3.5, r"a quantizer given as float"),
    ],
)
def test_refusals_say_why(spec, match):
    with pytest.raises(UnsupportedQuantizer, match=match):
        parse_quantizer(spec)
