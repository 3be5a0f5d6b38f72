import numpy as np
import pytest

pytest.importorskip("sklearn")

from bench.estimate.fit import coverage, quantiles, residuals, rounded
from bench.estimate.tables import kernel_of, tool_of


def test_every_group_counts_the_same():
    logs = np.array([0.0] * 98 + [1.0, 1.0])
    few = quantiles(logs, ["large"] * 98 + ["a", "b"])
    assert few[1] > 1.0
    assert quantiles(np.zeros(4), ["a", "b", "c", "d"]) == (0.0, 0.0)


def test_few_groups_have_wider_intervals():
    logs = np.array([-0.1, 0.1] * 20)
    many = quantiles(logs, [str(k) for k in range(40)])
    few = quantiles(logs, ["a", "b"] * 20)
    assert few[1] > many[1] > 0 > many[0] > few[0]


def test_coverage_leaves_the_group_out():
    logs = np.array([0.0, 0.0, 0.0, 5.0])
    assert coverage(logs, ["a", "b", "c", "d"]) == 0.75
    assert np.isnan(coverage(logs, ["a"] * 4))


def test_residuals_take_zeros():
    assert residuals(np.array([0.0]), np.array([0.0]), "dsp").tolist() == [0.0]
    assert residuals(np.array([6.0]), np.array([1.0]), "dsp")[0] == pytest.approx(np.log(2))


def test_numbers_have_six_digits():
    assert rounded(1 / 3) == 0.333333


@pytest.mark.parametrize(
    ("version", "tool"),
    [
        ("2019.2", "vivado"),
        ("2020.1 (Build 2897737)", "vivado"),
        ("2021.1", "vitis"),
        ("2024.1", "vitis"),
    ],
)
def test_vitis_follows_vivado_2020_1(version, tool):
    assert tool_of(version) == tool


def test_rows_become_the_statistics_that_networks_have():
    row = {"n_in": "32", "n_out": "5", "weight_t_w": "8", "in_t_w": "16", "accum_t_w": "16"}
    row |= {"n_w": "160", "n_zero": "120", "u_dsp": "10", "u_lut_adds": "4", "bits_sum": "200"}
    row |= {"in_t": "ap_fixed<16,6>", "weight_t": "ap_fixed<8,1>", "accum_t": "ap_fixed<16,6>"}
    kernel = kernel_of(row)
    assert (kernel.nonzeros, kernel.dsp_constants, kernel.lut_adders) == (40, 10.0, 4.0)
    assert kernel.sum_width == pytest.approx(16 + 5 - 7 + 1.7)
    narrow = kernel_of(row | {"in_t_w": "8", "in_t": "ap_fixed<8,4>"})
    assert (narrow.dsp_constants, narrow.lut_adders) == (0.0, pytest.approx(26.0))
