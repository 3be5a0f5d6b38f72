"""Every feature in a small model: real Keras = interpreter = C simulation, or a refusal."""

import shutil
from functools import cache
from pathlib import Path

import pytest

from tests.features.matrix import CASES, render
from tests.features.measure import measure, simulate

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow and QKeras warn about themselves
ROOT = Path(__file__).parents[2]
BOTH = ("io_parallel", "io_stream")

# One of each kind of kernel; `make features` simulates all cases.
SIMULATED = (
    "dense qb(6,0,keep_negative=0)",
    "dense binary(alpha=auto)",
    "act quantized_po2(4)",
    "act quantized_sigmoid(6,real)",
    "softmax end",
    "BatchNorm after QDense",
    "conv same",
    "conv alpha auto",
    "conv dilation2",
    "QSeparableConv2D",
    "QConv2DTranspose",
    "AvgPool3x3",
    "UpSampling bilinear",
    "residual Add",
    "two inputs",
    "TimeDistributed(QDense)",
    "QLSTM",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Measure a case once, for all tests of this process."""
    folder = tmp_path_factory.mktemp("features")
    return cache(lambda name: (measure(CASES[name], folder / _plain(name)), folder))


def _plain(name):
    return "".join(c if c.isalnum() else "_" for c in name)


def test_the_table_in_the_documentation_is_up_to_date():
    text = (ROOT / "docs/features.md").read_text(encoding="utf-8")
    assert text == render(), "run make features"


@pytest.mark.needs_keras
@pytest.mark.parametrize("name", CASES)
def test_feature_against_keras(built, name):
    case, (measured, _) = CASES[name], built(name)
    if case.verdict == "refused":
        assert measured.loaded is None
        assert case.why in measured.reason
        return
    assert measured.loaded is not None, measured.reason
    assert measured.verdict == case.verdict, measured.reason
    assert measured.error <= case.bound
    assert case.bound or measured.different == 0


@pytest.mark.needs_keras
@pytest.mark.needs_hls4ml
@pytest.mark.needs_gxx
@pytest.mark.parametrize("io_type", BOTH)
@pytest.mark.parametrize("name", SIMULATED)
def test_feature_in_the_c_simulation(built, name, io_type):
    measured, folder = built(name)
    project = folder / _plain(name)
    assert simulate(measured.loaded, io_type, project, folder) == []
    shutil.rmtree(project / io_type)
