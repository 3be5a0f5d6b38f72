"""Write a network in the form that is chosen for it, or refuse it before any long work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qapflow.errors import ModelUnsupported, Unsupported, UsageError
from qapflow.ir.fixed import Codes
from qapflow.ir.net import Net
from qapflow.plan import Plan
from qapflow.rtl.design import Design, Language
from qapflow.rtl.stream.choose import MOST_UNROLLED_LUT, Wanted, choose_form
from qapflow.rtl.stream.predict import predict_lut
from qapflow.rtl.stream.write import write_streaming
from qapflow.rtl.write import write_unrolled
from qapflow.target import Target


@dataclass(frozen=True)
class Order:
    """What was asked for: the name of the core, its language, and "auto" or a form."""

    top: str
    language: Language = "verilog"
    form: Wanted = "auto"


def write_design(
    net: Net,
    plan: Plan,
    target: Target,
    order: Order,
    samples: tuple[Mapping[str, Codes], Mapping[str, Codes]] | None = None,
) -> tuple[Design, str]:
    """Return the design with everything around it, and why it has this form.

    Raises:
        ToolMissing: alkaid is not installed.
        ModelUnsupported: too large to unroll, values too wide, or layers without a streaming form.
        UsageError: the streaming form was asked for in VHDL.
        CheckFailed: the logic does not compute what the interpreter does on `samples`.
    """
    choice = choose_form(net, plan, target, order.form)
    if choice.form == "unrolled":
        refuse_large(net)
        made = write_unrolled(
            net, plan, target, top=order.top, language=order.language, samples=samples
        )
        return made, choice.reason
    if order.language == "vhdl":
        raise UsageError(
            f"this network gets the streaming form ({choice.reason}), which is written as Verilog",
            at="--rtl-language vhdl",
            hint="--rtl-language verilog, or --rtl-form unrolled",
        )
    return write_streaming(net, plan, target, top=order.top), choice.reason


def refuse_large(net: Net) -> None:
    """Raise for a network whose unrolled form takes hours and gigabytes to write and simulate.

    Raises:
        ModelUnsupported: naming the layers that make most of it.
    """
    sizes = predict_lut(net)
    total = sum(sizes.values())
    if total <= MOST_UNROLLED_LUT:
        return
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    items = [
        Unsupported(
            net.by_name[name].origin or name if name in net.by_name else name,
            type(net.by_name[name].op).__name__ if name in net.by_name else "loop",
            f"about {sizes[name]:,.0f} of the {total:,.0f} LUT predicted for the unrolled form, "
            f"which is written up to {MOST_UNROLLED_LUT:,}",
            "the streaming form: --io io_stream, or --rtl-form streaming",
        )
        for name in largest
        if sizes[name] > total / 10
    ]
    raise ModelUnsupported(items, at="--rtl")
