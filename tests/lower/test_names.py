"""C identifiers of edges and of the top function."""

import pytest

from qapflow.lower.names import identifier, is_identifier, unique_identifiers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dense_1", "dense_1"),
        ("dense 1/relu:0", "dense_1_relu_0"),
        ("_hidden", "hidden"),
        ("1st", "x_1st"),
        ("größe", "gr_e"),
        ("", "x"),
        ("class", "class_x"),
        ("process", "process_x"),
        ("MIN", "MIN_x"),
        ("w2", "w2_x"),
        ("config12", "config12_x"),
        ("config_a", "config_a_x"),
        ("conv2d", "conv2d"),
        ("result_t", "result_t_x"),
    ],
)
def test_identifiers_are_legal_and_resemble_the_name(name, expected):
    assert identifier(name) == expected


def test_identifiers_differ_even_when_case_is_ignored():
    names = unique_identifiers(["a/b", "a_b", "A_B", "a b", "a/b"], taken=["top"])
    assert len(names) == 4
    assert len({name.lower() for name in names.values()}) == 4
    assert unique_identifiers(["Top"], taken=["top"])["Top"] == "Top_2"


def test_top_names_must_be_plain():
    assert is_identifier("my_model")
    for name in ("2fast", "int", "a-b", "", "x" * 61, "_x"):
        assert not is_identifier(name)
