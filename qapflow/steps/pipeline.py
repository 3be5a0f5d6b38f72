"""The tool on one page: every step of a build, in order."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from qapflow.errors import ToolMissing
from qapflow.lower.files import Files
from qapflow.steps.cache import Step
from qapflow.steps.context import (
    LOADED_NET,
    NET,
    OVERFLOW,
    PLAN,
    PROJECT,
    RECORDS,
    SYNTHESIS,
    VECTORS,
    VERIFICATION,
    WITNESS,
    Context,
    write_codes,
)
from qapflow.steps.keys import (
    csim_settings,
    keras_settings,
    load_settings,
    lower_settings,
    plan_settings,
    report_settings,
    sanitize_settings,
    synth_settings,
    vector_settings,
)
from qapflow.steps.rtl import (
    implement_rtl,
    implementation_settings,
    rtl_settings,
    simulate_rtl,
    simulation_settings,
    write_rtl,
)

if TYPE_CHECKING:
    from qapflow.report.figures import Comparison


def to_json(value: Any) -> bytes:
    """Return JSON with sorted keys: the same bytes for the same value."""
    return (json.dumps(value, indent=1, sort_keys=True, default=str) + "\n").encode()


def load(context: Context) -> Files:
    """Read the model and translate it into a network."""
    from qapflow.ir.text import print_net, write_net
    from qapflow.steps.loading import load_model

    loaded = load_model(context.settings)
    layers = {
        "digest": loaded.spec.digest,
        "notes": list(loaded.notes),
        "records": [asdict(record) for record in loaded.records],
    }
    return Files(
        {
            LOADED_NET: write_net(loaded.net).encode(),
            "net/00-loaded.txt": print_net(loaded.net).encode(),
            RECORDS: to_json(layers),
        }
    )


def optimise(context: Context) -> Files:
    """Run every pass and keep the network after each, for reading."""
    from qapflow.ir.check import require_sound
    from qapflow.ir.text import print_net, write_net
    from qapflow.passes import PASSES

    net = context.loaded_net
    files = {}
    for number, rewrite in enumerate(PASSES, start=1):
        net = rewrite(net)
        files[f"net/{number:02}-{rewrite.__name__}.txt"] = print_net(net).encode()
    require_sound(net)
    files[NET] = write_net(net).encode()
    return Files(files)


def plan(context: Context) -> Files:
    """Choose strategy, reuse factor, io type and clock."""
    from qapflow.plan.propose import propose
    from qapflow.plan.to_json import plan_to_json

    settings = context.settings
    made = propose(
        context.net,
        context.target,
        io_type=settings.io_type,
        backend=settings.backend,
        clock_ns=settings.clock_ns,
        clock_uncertainty_percent=settings.clock_uncertainty_percent,
        strategy=settings.strategy,
        reuse_factor=settings.reuse_factor,
        overrides=settings.overrides,
    )
    return Files({PLAN: plan_to_json(made).encode()})


def lower(context: Context) -> Files:
    """Write the HLS project."""
    from qapflow.lower.project import lower as write_project

    files = write_project(context.net, context.plan, context.target, context.top)
    return Files({f"{PROJECT}/{path}": content for path, content in files.contents.items()})


def make_vectors(context: Context) -> Files:
    """Make verification samples and what the interpreter gives for them."""
    from qapflow.ir.interpret import interpret
    from qapflow.lower.golden import golden_files
    from qapflow.verify.coverage import measure
    from qapflow.verify.inputs import read_inputs
    from qapflow.verify.sample_count import default_samples
    from qapflow.verify.vectors import make_vectors as make

    net, settings = context.net, context.settings
    user = read_inputs(settings.inputs, net) if settings.inputs else None
    count = settings.vectors or default_samples(net)
    made = make(net, count, settings.seed, user.codes if user else None)
    outputs = interpret(net, made.codes)
    golden = golden_files(net, made.codes, outputs)
    measured = measure(net, made.codes)
    facts = {
        "ranges": {name: list(ends) for name, ends in measured.ranges.items()},
        "coverage": [asdict(item) for item in measured.coverage],
        "user_samples": user.samples if user else 0,
        "note": user.note if user else "",
    }
    files = {f"{PROJECT}/{path}": content for path, content in golden.contents.items()}
    files[f"{VECTORS}/inputs.npz"] = write_codes(dict(made.codes))
    files[f"{VECTORS}/outputs.npz"] = write_codes(outputs)
    files[f"{VECTORS}/facts.json"] = to_json(facts)
    return Files(files)


def _comparison(item: Comparison) -> dict[str, Any]:
    return asdict(replace(item, seconds=0.0))  # a report holds no wall time: same input, same bytes


def check_passes(context: Context) -> Files:
    """Hold the network as loaded against the network after all passes."""
    from qapflow.ir.interpret import interpret
    from qapflow.verify.compare import compare

    before = interpret(context.loaded_net, context.vectors("inputs"))
    after = context.vectors("outputs")
    item = compare("network as loaded", "network after passes", context.net, before, after)
    return Files({f"{VERIFICATION}/passes.json": to_json({"comparison": _comparison(item)})})


def prove_overflow(context: Context) -> Files:
    """Prove what cannot overflow, and search inputs for what can."""
    from qapflow.verify.overflow import prove_overflow as prove

    net = context.net
    proof, codes = prove(net, context.vectors("inputs"))
    files = {}
    if codes:
        values = {name: net.edge(name).type.decode(array) for name, array in codes.items()}
        files[WITNESS] = write_codes(values)
        proof = replace(proof, witness=WITNESS)
    files[OVERFLOW] = to_json(asdict(proof))
    return Files(files)


def simulate(context: Context) -> Files:
    """Compile the C simulation and hold it against the interpreter."""
    from qapflow.report.figures import Comparison
    from qapflow.verify.compare import CSIM, INTERPRETER, compare_csim
    from qapflow.verify.compile_csim import compile_csim

    try:
        if not context.settings.csim:
            item = Comparison(INTERPRETER, CSIM, "not run", note="left out as asked (--no-csim)")
        else:
            compile_csim(context.project, timeout=context.settings.timeout_s)
            item = compare_csim(
                context.net,
                context.project,
                context.vectors("inputs"),
                expected=context.vectors("outputs"),
                timeout=context.settings.timeout_s,
            )
    except ToolMissing as error:
        if context.settings.require:
            raise
        item = Comparison(INTERPRETER, CSIM, "not run", note=f"{error.what}; {error.hint}")
    return Files({f"{VERIFICATION}/csim.json": to_json({"comparison": _comparison(item)})})


def sanitize(context: Context) -> Files:
    """Count lost bits in an instrumented C simulation, where asked for."""
    from qapflow.steps.verification import check_losses

    item = None
    if context.settings.sanitize:
        item = _comparison(check_losses(context, context.vectors("inputs")))
    return Files({f"{VERIFICATION}/sanitize.json": to_json({"comparison": item})})


def compare_keras(context: Context) -> Files:
    """Run the model in Keras, where it is installed, and hold the network against it."""
    from qapflow.steps.verification import keras_check, label_note

    check = keras_check(context)
    result = {
        "comparison": _comparison(check.comparison),
        "accuracy": asdict(check.accuracy) if check.accuracy else None,
        "versions": dict(check.versions),
        "note": label_note(context),
    }
    return Files({f"{VERIFICATION}/keras.json": to_json(result)})


def synthesise(context: Context) -> Files:
    """Run the vendor's tool as far as asked, or say that it was not run."""
    from qapflow.synth.result import SynthResult
    from qapflow.synth.run import run_flow

    settings = context.settings
    if settings.synth is None:
        result = SynthResult("not run", "no synthesis asked for (--synth csynth|cosim|impl)")
    else:
        result = run_flow(
            context.project,
            settings.synth,
            settings.backend,
            timeout=settings.timeout_s,
            require=settings.require,
        )
    return Files({SYNTHESIS: to_json(asdict(replace(result, logs=())))})


def report(context: Context) -> Files:
    """Put everything together and render it."""
    from qapflow.report import render
    from qapflow.steps.report import assemble_report

    made = assemble_report(context)
    forms = {"text": "txt", "json": "json", "html": "html", "md": "md"}
    return Files(
        {f"report.{suffix}": render(made, form).encode() for form, suffix in forms.items()}
    )


def _nothing(context: Context) -> dict[str, Any]:
    return {}


STEPS: tuple[Step[Context], ...] = (
    Step("load", (), load_settings, load),
    Step("optimise", ("load",), _nothing, optimise),
    Step("plan", ("optimise",), plan_settings, plan),
    Step("lower", ("optimise", "plan"), lower_settings, lower),
    Step("make_vectors", ("optimise",), vector_settings, make_vectors),
    Step("check_passes", ("load", "optimise", "make_vectors"), _nothing, check_passes),
    Step("prove_overflow", ("optimise", "make_vectors"), _nothing, prove_overflow),
    Step("simulate", ("lower", "make_vectors"), csim_settings, simulate),
    Step("sanitize", ("lower", "make_vectors"), sanitize_settings, sanitize),
    Step("compare_keras", ("load", "make_vectors"), keras_settings, compare_keras),
    Step("rtl", ("optimise", "plan", "make_vectors"), rtl_settings, write_rtl),
    Step(
        "simulate_rtl",
        ("optimise", "plan", "make_vectors", "rtl"),
        simulation_settings,
        simulate_rtl,
    ),
    Step("implement_rtl", ("plan", "rtl"), implementation_settings, implement_rtl),
    Step("synthesise", ("lower", "make_vectors"), synth_settings, synthesise),
    Step(
        "report",
        ("load", "optimise", "plan", "lower", "make_vectors", "check_passes",
         "prove_overflow", "simulate", "sanitize",
         "compare_keras", "rtl", "simulate_rtl", "implement_rtl", "synthesise"),
        report_settings,
        report,
    ),
)  # fmt: skip
