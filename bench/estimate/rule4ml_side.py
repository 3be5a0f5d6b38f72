"""Run by another Python, one that has rule4ml: predictions for dense layers given on stdin.

stdin: JSON list of {"n_in", "n_out", "reuse_factor", "strategy"}; stdout: the same list with
predicted "lut", "ff", "dsp", "bram18", "latency_cycles". rule4ml is GPL: it is asked here, in its
own environment, and never imported by the project. The models are those it loads by default.
"""

import json
import os
import sys

NAMES = {"LUT": "lut", "FF": "ff", "DSP": "dsp", "BRAM": "bram18", "CYCLES": "latency_cycles"}


def main() -> int:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    rows = json.load(sys.stdin)
    import keras
    from rule4ml.models.wrappers import MultiModelWrapper

    estimator = MultiModelWrapper()
    estimator.load_default_models()
    for row in rows:
        inputs = keras.layers.Input((row["n_in"],))
        model = keras.Model(inputs, keras.layers.Dense(row["n_out"])(inputs))
        model.build((None, row["n_in"]))
        config = {
            "board": "alveo-u250",
            "model": {
                "precision": "ap_fixed<16, 6>",
                "reuse_factor": row["reuse_factor"],
                "strategy": row["strategy"],
            },
        }
        found = estimator.predict(
            [model], hls_configs=[config], hls4ml_versions=["0.8.1"], vivado_versions=["2020.1"]
        )
        for column, name in NAMES.items():
            row[name] = float(found[column].mean())
    json.dump(rows, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
