import os
from pathlib import Path

import pytest


@pytest.fixture
def groundtruth():
    folder = Path(os.environ.get("QAPFLOW_SHARED", "../shared")) / "groundtruth"
    if not (folder / "dense_single_layer.csv").is_file():
        pytest.skip("needs the tables of reports")
    return folder
