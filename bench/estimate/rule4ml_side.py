"""Run by another Python, one that has rule4ml: predictions for dense layers given on stdin.

stdin: JSON list of {"n_in", "n_out", "reuse_factor", "strategy"}; stdout: the same list with
predicted "lut", "ff", "dsp", "bram18", "latency_cycles". rule4ml is GPL: it is asked here, in its
own environment, and never imported by the project. The networks are its Keras ones (v2/mlp); the
graph networks need torch.
"""

import json
import os
import sys
from pathlib import Path

NAMES = {"LUT": "lut", "FF": "ff", "DSP": "dsp", "BRAM": "bram18", "CYCLES": "latency_cycles"}


def main() -> int:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    rows = json.load(sys.stdin)
    import keras
    import rule4ml
    from rule4ml.models.wrappers import MultiModelWrapper

    folder = Path(rule4ml.__file__).parent / "models" / "weights" / "v2" / "mlp"
    estimator = MultiModelWrapper()
    from rule4ml.models.wrappers import KerasModelWrapper

    for name in NAMES:
        wrapper = KerasModelWrapper()
        wrapper.load(str(folder / f"{name}.config.json"), str(folder / f"{name}.weights.h5"))
        estimator.add_model_wrapper(wrapper)
    for row in rows:
        inputs = keras.layers.Input((row["n_in"],))
        model = keras.Model(inputs, keras.layers.Dense(row["n_out"])(inputs))
        config = {
            "board": "alveo-u250",
            "model": {
                "precision": "ap_fixed<16, 6>",
                "reuse_factor": row["reuse_factor"],
                "strategy": row["strategy"],
            },
        }
        found = estimator.predict(model, hls_configs=config)
        for column, name in NAMES.items():
            row[name] = float(found[column].mean())
    json.dump(rows, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
