import json

import numpy as np
import pytest

from qapflow.errors import UsageError
from qapflow.estimate.calibration import Forest, Model, parse, shipped
from qapflow.estimate.interval import distance, measured


def test_the_shipped_file_names_sources_counts_and_errors():
    found = shipped()
    assert sum(source["rows"] for source in found.sources) > 700
    for model in found.models.values():
        assert model.rows >= 3
        assert model.low <= 1 <= model.high
        assert {"median", "p90", "bias"} <= set(model.errors)


def test_trees_are_walked_from_root_to_leaf():
    stump = Forest(
        ((0, -1, -1),), ((2.0, 0.0, 0.0),), ((1, -1, -1),), ((2, -1, -1),), ((0.0, 5.0, 7.0),), 1.0
    )
    assert stump.predict([2.0]) == 6.0
    assert stump.predict([2.5]) == 8.0


def test_intervals_are_factors_and_hold_the_estimate():
    model = Model("latency", "vivado", "UltraScale+", "csynth", "lut", 0.9, 1.2, 10, 5)
    figure = measured(980.0, "lut", model, {})
    assert (figure.low, figure.value, figure.high) == (880.0, 980.0, 1180.0)


def test_every_doubling_beyond_the_region_widens_once():
    model = Model("", "", "", "", "lut", 0.9, 1.1, 1, 1, region={"n_in": (32, 256)})
    assert distance(model, {"n_in": 256}) == (1.0, [])
    assert distance(model, {"n_in": 512}) == (2.0, ["more inputs than any calibrated design (256)"])
    assert distance(model, {"n_in": 8})[0] == 3.0


@pytest.mark.parametrize("text", ["", "[1]", '{"format": 1, "models": 3}'])
def test_what_is_no_calibration_is_refused(text):
    with pytest.raises(UsageError):
        parse(text, "here")


@pytest.mark.needs_shared
def test_the_calibration_is_made_again_to_the_byte(groundtruth):
    pytest.importorskip("sklearn")
    from importlib import resources

    from bench.estimate.calibrate import all_samples, pool_of, to_row
    from bench.estimate.fit import fit

    unrolled = ("dense_32_64_", "dense_64_32_", "dense_96_32_")  # all that were synthesised
    found = all_samples(groundtruth, unrolled)
    key = ("latency", "vivado", "UltraScale+")
    made = fit(found[key], "lut", pool_of(key, found))
    line = json.dumps(to_row(made), sort_keys=True, separators=(",", ":"))
    assert line in resources.files("qapflow.estimate").joinpath("calibration.json").read_text()


@pytest.mark.needs_shared
def test_model_files_lead_to_the_figures_of_their_reports(groundtruth):
    from bench.estimate.end_to_end import follow
    from bench.estimate.tables import single_layers

    samples = list(single_layers(groundtruth, ("dense_32_64_", "dense_160_32_8")))
    rows = list(follow(groundtruth, shipped(), samples))
    assert len(rows) == len(samples) > 20
    assert all(row.same for row in rows)
    for figure in ("dsp", "bram18"):
        assert all(row.estimated[figure][0] == row.sample.truth[figure] for row in rows)
    error = [abs(r.estimated["lut"][0] / r.sample.truth["lut"] - 1) for r in rows]
    assert np.median(error) <= 0.05
