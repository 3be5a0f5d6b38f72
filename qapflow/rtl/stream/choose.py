"""Which form a network gets: unrolled, or streaming; and how much its layers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qapflow.errors import ModelUnsupported
from qapflow.ir.net import Net
from qapflow.plan import Plan
from qapflow.rtl.design import Form
from qapflow.rtl.stream.cut import cut, interval_cycles
from qapflow.rtl.stream.multiply import Sharing
from qapflow.rtl.stream.predict import predict_lut
from qapflow.target import Target

Wanted = Literal["auto", "unrolled", "streaming"]

PART_SHARE = 0.5
"""Part of a chip's LUT up to which a network is unrolled."""
MOST_UNROLLED_LUT = 300_000
"""Beyond it the tracer takes minutes and the text is tens of megabytes, whatever the chip."""


@dataclass(frozen=True)
class FormChoice:
    """The form and why, with the LUT predicted for the unrolled one."""

    form: Form
    reason: str
    unrolled_lut: float


def choose_form(net: Net, plan: Plan, target: Target, wanted: Wanted = "auto") -> FormChoice:
    """Return the form of a network.

    io_stream asks for streaming; otherwise what is predicted to fit is unrolled. A network with a
    layer that has no streaming form is unrolled, unless streaming was asked for by name.
    """
    lut = sum(predict_lut(net).values())
    if wanted != "auto":
        return FormChoice(wanted, "asked for", lut)
    limit = min(MOST_UNROLLED_LUT, PART_SHARE * target.resources.lut)
    if plan.io_type != "io_stream" and lut <= limit:
        return FormChoice("unrolled", f"about {lut:,.0f} LUT predicted, at most {limit:,.0f}", lut)
    try:
        cut(net, sharing_of(net, plan))
    except ModelUnsupported as error:
        names = ", ".join(dict.fromkeys(item.layer for item in error.items))
        return FormChoice("unrolled", f"no streaming form of {names}", lut)
    if plan.io_type == "io_stream":
        return FormChoice("streaming", "the plan's io_type is io_stream", lut)
    return FormChoice("streaming", f"about {lut:,.0f} LUT unrolled, over {limit:,.0f}", lut)


def sharing_of(net: Net, plan: Plan) -> Sharing:
    """Return how much layers share: reuse factors that the user set are kept, others are free."""
    reuse = {
        name: choice.reuse_factor for name, choice in plan.choices.items() if not choice.reason
    }
    return Sharing(interval_cycles(net), reuse)
