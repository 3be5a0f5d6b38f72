"""What a bisection found, as data: every layer, every cause, the first difference."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Verdict = Literal["equal", "Keras inexact", "rounded by rule", "different", "not run"]


class Cause(StrEnum):
    """Why a layer of the network and the same layer in Keras give different values."""

    INPUT = "input not on the grid"
    FLOAT32_SUM = "float accumulation in Keras beyond 2^24"
    FLOAT32 = "float32 rounding in Keras"
    SCALE = "scale"
    ODD_SCALE = "scale not a power of two"
    ROUNDING = "rounding"
    OVERFLOW = "overflow"
    CONSTANT = "constant"
    TABLE = "table of a smooth function"
    LAYOUT = "layout"
    ATTRIBUTE = "unsupported attribute"
    UNKNOWN = "not explained"


class Blame(StrEnum):
    """What a difference says about the network."""

    NETWORK = "the network is wrong"
    KERAS = "Keras itself is inexact: proved"
    RULE = "rounded as announced when the model was read"
    INPUT = "the input was changed to fit its type"


@dataclass(frozen=True)
class Finding:
    """A cause and its blame: `what` was found, the `proof` that it is this one, and the `fix`."""

    cause: Cause
    what: str
    fix: str
    proof: str = ""
    blame: Blame = Blame.NETWORK


@dataclass(frozen=True)
class Place:
    """One differing value; `keras_float64` is what Keras gives in double precision, if known."""

    layer: str
    sample: int
    index: tuple[int, ...]
    keras: float
    ours: float
    keras_float64: float | None = None


@dataclass(frozen=True)
class LayerCheck:
    """One Keras layer against its edge of the network.

    `differing` of `values` differ from start to end; `own` when both sides get the same input,
    None where that could not be run. `max_difference` is that of the run from start to end.
    """

    layer: str
    class_name: str
    edge: str
    regime: str
    values: int
    differing: int
    max_difference: float
    own: int | None
    own_first: Place | None = None
    finding: Finding | None = None

    @property
    def state(self) -> str:
        """One or two words: equal, a consequence, or the cause."""
        if self.finding is not None:
            return self.finding.cause.value
        if not self.differing:
            return "equal"
        return "consequence" if self.own == 0 else "not judged"


@dataclass(frozen=True)
class Bisection:
    """The result; `layers` in the order of the model, `first` in the first layer that differs.

    `firmware` is what the build found when it held the network against the C simulation.
    """

    verdict: Verdict
    model: str
    net_digest: str
    samples: int
    layers: tuple[LayerCheck, ...]
    first: Place | None = None
    notes: tuple[str, ...] = ()
    firmware: Literal["equal", "different", "not run"] = "not run"

    @property
    def passed(self) -> bool:
        """Tell whether nothing contradicts the network, and the firmware not either."""
        return "different" not in (self.verdict, self.firmware)

    @property
    def causes(self) -> tuple[LayerCheck, ...]:
        """Layers that differ by themselves, whatever the layers before them do."""
        return tuple(check for check in self.layers if check.finding is not None)
