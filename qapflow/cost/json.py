"""The cost of a model as JSON: every figure by its name, with the conventions it was counted in."""

from __future__ import annotations

import json

from qapflow.cost.model import ModelCost
from qapflow.report.json import encode

FORMAT = "qapflow cost 1"

CONVENTIONS = {
    "bops_input_32": "positions m n (kept b_a b_w + b_a + b_w + log2 n); the input counts 32 bit",
    "bops_input_own": "the same; the input counts the bits it has in the network",
    "ebops": "sum of b_i b_j over multiplications; a weight counts the bits its ones enclose (HGQ)",
    "ebops_accumulation": "what HGQ2 adds for biases and sums; not contained in ebops",
    "csd_digits": "non-zero digits of all kernel codes in canonical signed-digit form",
    "nonzeros": "kernel weights whose integer code is not 0, after quantization",
    "without_multiplier": "multiplications by weights of one or two signed digits",
}


def render_cost_json(found: ModelCost) -> str:
    """Return a cost as indented JSON; `format` and the conventions come first."""
    head = {"format": FORMAT, "conventions": CONVENTIONS}
    return json.dumps({**head, **encode(found)}, indent=1, allow_nan=False) + "\n"
