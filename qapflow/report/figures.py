"""The report as data. Text, JSON and HTML are three renderings of one `Report`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from qapflow.synth.open.result import OpenSynthesis
from qapflow.target import Target
from qapflow.verify.bisection import Bisection


class Source(StrEnum):
    """Where a figure comes from. A figure never stands in for one of another source."""

    COUNTED = "counted"  # read off the network, exact
    ESTIMATE = "estimate"
    CSIM = "C simulation"
    RTL_SIM = "RTL simulation"
    OPEN_SYNTH = "open synthesis"
    RTL_POST_SYNTH = "RTL post-synthesis"
    RTL_POST_ROUTE = "RTL post-route"
    CSYNTH = "csynth"
    COSIM = "cosim"
    POST_SYNTH = "post-synthesis"
    POST_ROUTE = "post-route"


@dataclass(frozen=True)
class Figure:
    """A number with unit and source; `low` and `high` bound an estimate."""

    value: float
    unit: str
    source: Source
    low: float | None = None
    high: float | None = None
    note: str = ""


KERAS_BUDGET = "values that differ from Keras"

# Names used as keys of `figures`, in the order reports print them.
FIGURES = ("latency_cycles", "ii_cycles", "lut", "ff", "dsp", "bram18", "uram")


@dataclass(frozen=True)
class LayerReport:
    """One node of the network (an op that becomes hardware)."""

    name: str
    op: str
    origin: str  # the Keras layer
    class_name: str
    regime: str  # "exact", "chosen"
    reason: str
    input_shapes: tuple[tuple[int, ...], ...]
    output_shape: tuple[int, ...]
    input_types: tuple[str, ...]
    output_type: str
    weight_type: str  # "" without weights
    strategy: str  # "" without weights
    reuse_factor: int | None
    value_range: tuple[float, float]  # proved by interval analysis
    observed_range: tuple[float, float] | None  # on the verification vectors
    weight_range: tuple[float, float] | None
    weights: int
    nonzero_weights: int
    can_overflow: str  # "", or of a quantizer: "wraps", "may wrap", "saturates", "may saturate"
    figures: Mapping[str, Figure] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()  # the edges it reads
    written_out: bool = False  # each product with a weight that is not zero is a line of code


@dataclass(frozen=True)
class LedgerRow:
    """What pruning of one layer brings in hardware."""

    layer: str
    weights: int
    zeros_float: int
    zeros_quantized: int
    multiplications: int  # dense count a sample
    multiplications_removed: int  # under this strategy and reuse factor
    warning: str = ""


@dataclass(frozen=True)
class Difference:
    """The first place where two computations of the same network differ."""

    edge: str
    layer: str
    sample: int
    index: tuple[int, ...]
    expected_code: int
    actual_code: int
    expected: float
    actual: float
    cause: str


Verdict = Literal["equal", "different", "not run"]


@dataclass(frozen=True)
class Comparison:
    """One verification: `left` (the definition) against `right`, on every output, bit by bit."""

    left: str
    right: str
    verdict: Verdict
    samples: int = 0
    values: int = 0
    mismatches: int = 0
    seconds: float = 0.0
    first: Difference | None = None
    note: str = ""


@dataclass(frozen=True)
class Accuracy:
    """How far the network is from the float model (regime `chosen` only, or with labels)."""

    samples: int
    max_abs_error: float
    argmax_agreement: float | None
    accuracy_net: float | None = None
    accuracy_keras: float | None = None


@dataclass(frozen=True)
class Budget:
    """A limit the user gave, and whether it holds."""

    name: str
    limit: float
    actual: float | None
    met: bool
    culprit: str = ""  # the layer that costs most
    source: str = ""


@dataclass(frozen=True)
class ToolRun:
    """One external program: what was run or why it was not."""

    name: str
    version: str
    status: Literal["ok", "failed", "not run"]
    detail: str = ""


@dataclass(frozen=True)
class Margin:
    """How much of an accumulator's type the proved range of its partial sums leaves free.

    `low` and `high` are codes. `bits` is how often the range could double before it overflows, and
    `percent` the unused share; both are negative where the type does not hold the range.
    """

    node: str
    layer: str
    type: str
    low: int
    high: int
    bits: float
    percent: float


@dataclass(frozen=True)
class Loss:
    """One end at which a quantizer's type may be left.

    A saturating quantizer "clips", an unsigned one "rectifies" below zero: both as the model says.
    "wraps" changes the value altogether. "does" is proved by the sample `row` of the witness file,
    in which element `index` goes from `before` to `after`.
    """

    node: str
    layer: str
    type: str
    kind: Literal["wraps", "clips", "rectifies"]
    end: Literal["above", "below"]
    verdict: Literal["does", "not excluded"]
    bound: float  # the furthest real value that the proof leaves open
    limit: float  # the end of the type
    share: float  # percent of this quantizer's values on the verification vectors
    row: int | None = None
    index: tuple[int, ...] = ()
    before: float | None = None
    after: float | None = None


@dataclass(frozen=True)
class OverflowProof:
    """What can overflow: margins of accumulators, and what quantizers do at their ends.

    A quantizer end that is not among `losses` cannot be left by any input.
    """

    premises: tuple[str, ...]
    margins: tuple[Margin, ...]
    quantizers: int
    losses: tuple[Loss, ...]
    witness: str  # the file with inputs in real values, "" without any
    counts: str = ""  # what the instrumented C simulation said


@dataclass(frozen=True)
class Report:
    """Everything a build found out."""

    model: str
    model_digest: str
    net_digest: str
    qapflow_version: str
    target: Target
    clock_ns: float
    backend: str
    io_type: str
    regime: str  # "exact" or "chosen"
    layers: tuple[LayerReport, ...]
    totals: tuple[tuple[str, Figure], ...]  # (name from FIGURES, figure), maybe several sources
    fits: bool
    headroom: str  # the sentence: "fits: LUT 3.1 % of the board, 9.4 % of one SLR"
    ledger: tuple[LedgerRow, ...]
    comparisons: tuple[Comparison, ...]
    accuracy: Accuracy | None
    budgets: tuple[Budget, ...]
    tools: tuple[ToolRun, ...]
    overflow_statement: str  # "no accumulator can overflow: ..." with the narrowest margin
    notes: tuple[str, ...] = ()
    overflow: OverflowProof | None = None
    open_synthesis: OpenSynthesis | None = None  # where `qapflow synth` was run on this build
    stages: tuple[tuple[str, tuple[tuple[str, Figure], ...]], ...] = ()  # estimates of later stages
    bisection: Bisection | None = None  # where `qapflow verify --bisect` was run on this build

    @property
    def passed(self) -> bool:
        """Tell whether no comparison differs and every budget is met.

        A budget for values that differ from Keras, where the user gave one, judges that comparison.
        """
        allowed = any(budget.name == KERAS_BUDGET for budget in self.budgets)
        different = [c for c in self.comparisons if c.verdict == "different"]
        if allowed:
            different = [c for c in different if "Keras" not in (c.left, c.right)]
        return not different and all(budget.met for budget in self.budgets)
