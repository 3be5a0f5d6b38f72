"""Every model of the collection is read, with the number of parameters Keras counts."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qapflow.errors import QapflowError
from qapflow.frontend.archive import read_model

pytestmark = pytest.mark.needs_shared


def rows(shared):
    with (shared / "corpus" / "MANIFEST.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def parameters(spec):
    """Weights and masks; a layer called twice counts once."""
    arrays = {id(w): w.size for x in spec.layers for w in (*x.weights.values(), *x.masks.values())}
    return sum(arrays.values())


def test_every_model_is_read(shared):
    corpus, failed = shared / "corpus", []
    for row in rows(shared):
        start = time.monotonic()
        weights = corpus / row["weights_file"] if row["weights_file"] else None
        try:
            spec = read_model(corpus / row["file"], weights)
        except QapflowError as error:
            print(f"{row['file']:80} REFUSED {error.what}")
            failed.append(row["file"])
            continue
        seconds = time.monotonic() - start
        count = parameters(spec)
        print(
            f"{row['file']:80} {spec.keras_version:8} {len(spec.layers):3} {count:7} {seconds:.2f}"
        )
        if row["params"]:
            # each pruning wrapper has a step counter, and a threshold beside each mask
            pruned = next((int(n.split()[-2]) for n in spec.notes if n.startswith("strip")), 0)
            counters = pruned + sum(len(x.masks) for x in spec.layers)
            assert int(row["params"]) == count + counters
        assert all(x.weights or "Prune" not in x.class_name for x in spec.layers)
        assert seconds < 10
    assert not failed


def test_shapes_of_inputs(shared):
    for row in rows(shared):
        if row["status"] != "loads":
            continue
        weights = shared / "corpus" / row["weights_file"] if row["weights_file"] else None
        spec = read_model(shared / "corpus" / row["file"], weights)
        shapes = [tuple(spec.layer(name).config["batch_input_shape"]) for name in spec.inputs]
        assert str(shapes) == row["inputs"]


@pytest.mark.needs_keras
@pytest.mark.slow
def test_every_weight_is_what_keras_loads(shared):
    corpus = shared / "corpus"
    lines = [
        f"{corpus / row['file']}"
        + (f",{corpus / row['weights_file']}" if row["weights_file"] else "")
        for row in rows(shared)
        if row["status"] == "loads" and row["format"] != "keras-zip"  # 2.14 only reads its own
    ]
    run = subprocess.run(
        [sys.executable, Path(__file__).with_name("keras_corpus.py")],
        input="\n".join(lines), capture_output=True, text=True, check=False, timeout=570,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.count("same ") == len(lines)
