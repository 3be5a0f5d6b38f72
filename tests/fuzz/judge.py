"""What a random network must fulfil: equal to Keras and to the C simulation, or rightly refused."""

import random
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

from qapflow.boards import load_target
from qapflow.errors import ModelUnsupported, QapflowError
from qapflow.frontend.load import load
from qapflow.frontend.model import LoadOptions
from qapflow.ir.check import check
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.lower.project import lower
from qapflow.passes import PASSES
from qapflow.plan.propose import propose
from qapflow.verify.compare import compare_csim
from qapflow.verify.compile_csim import compile_csim
from qapflow.verify.keras_compare import compare_keras
from qapflow.verify.keras_layers import ancestors
from tests.fuzz import keras_models

SAMPLES = 48
# A network of floats is the definition by itself; further off than this it is a wrong one.
FAR = 0.1
FLOAT32_BITS = 24  # up to here Keras adds without rounding
LAST_BIT = "depends on the machine"  # in the reasons of weights that nobody can foretell


class Wrong(Exception):
    """A failure: its kind, by which reproducers are shrunk, and the detail."""

    def __init__(self, kind, detail):
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail


def judge(recipe, simulate):
    """Return a row about one network; `simulate` runs the C simulation too."""
    start = time.monotonic()
    row = {"seed": recipe["seed"], "layers": len(recipe["steps"]), "verdict": "", "reasons": []}
    row["classes"] = sorted({step["class"] for step in recipe["steps"]})
    row["csim"] = ""
    with tempfile.TemporaryDirectory(prefix="qapflow-fuzz-") as name:
        try:
            look(recipe, Path(name), simulate, row)
        except Wrong as wrong:
            row |= {"verdict": "wrong", "kind": wrong.kind, "detail": wrong.detail}
        except TimeoutError as error:
            row |= {"verdict": "wrong", "kind": "too slow", "detail": str(error)}
        except Exception as error:  # a fuzz run lists tracebacks instead of stopping at one
            text = "".join(traceback.format_exception(error)[-3:])
            row |= {"verdict": "wrong", "kind": f"traceback {type(error).__name__}", "detail": text}
    row["seconds"] = round(time.monotonic() - start, 2)
    return row


def look(recipe, folder, simulate, row):
    chance = random.Random(recipe["seed"])
    try:
        model, tensors = keras_models.build(recipe)
        case = Case(recipe, model, tensors)
        theirs = keras_models.predict(model, case.values)
        path = save(model, folder, chance.choice(["h5", "h5", "keras", "json"]))
    except Exception as error:  # Keras and QKeras raise whatever they like
        row |= {"verdict": "no model", "reasons": [f"Keras: {error}"[:200]]}
        return
    if not all(np.isfinite(array).all() for array in theirs):
        row |= {"verdict": "no model", "reasons": ["Keras gives NaN or infinity"]}
        return
    some = case.values if chance.random() < 0.5 else {}
    loaded = read(path, LoadOptions(input_types=case.types, calibration=some), row)
    if loaded is None:
        return
    edges = interpret(loaded.net, case.codes, keep="all")
    row["verdict"] = "exact" if loaded.exact else "chosen"
    row["exact_layers"] = sum(
        r.regime == "exact" for r in loaded.records if r.name not in case.types
    )
    if not compare_outputs(loaded, edges, theirs, row) or not compare_steps(loaded, edges, case):
        prove(loaded, case, path, row)
    compare_layers(loaded, edges, case, row)
    keep_meaning(loaded.net, case.codes)
    if simulate:
        run_simulation(loaded.net, case.codes, folder / "project", chance, row)


class Case:
    """A model with the values it is tried on: codes [n, *shape] and real values by input."""

    def __init__(self, recipe, model, tensors):
        self.recipe, self.model, self.tensors = recipe, model, tensors
        shapes = {name: shape for name, shape, _ in recipe["inputs"] if name in model.input_names}
        self.types = {n: Fixed.parse(k) for n, _, k in recipe["inputs"] if n in shapes}
        self.codes = {n: samples(self.types[n], s, recipe["seed"]) for n, s in shapes.items()}
        self.values = {n: self.types[n].decode(codes) for n, codes in self.codes.items()}
        self.steps = {step["name"]: step for step in recipe["steps"]}

    def records(self, loaded):
        """Return the record of each input and step; steps of shared layers have none."""
        calls = [step["layer"] for step in self.recipe["steps"]]
        found = {record.name: record for record in loaded.records}
        names = {n: n for n in self.types}
        names |= {
            s["name"]: s["layer"] for s in self.steps.values() if calls.count(s["layer"]) == 1
        }
        return {step: found[name] for step, name in names.items() if name in found}


def samples(kind, shape, seed):
    """Return codes [n, *shape]: all lowest, all highest, zero, and random ones."""
    rng = np.random.default_rng([seed, len(shape)])
    codes = rng.integers(kind.lo, kind.hi, (SAMPLES, *shape), endpoint=True)
    codes[0], codes[1], codes[2] = kind.lo, kind.hi, 0
    codes[3] = np.where(rng.random(shape) < 0.5, kind.lo, kind.hi)
    return codes


def save(model, folder, form):
    if form == "json":
        (folder / "model.json").write_text(model.to_json())
        model.save_weights(folder / "model.h5")
        return folder / "model.json"
    path = folder / f"model.{form}"
    model.save(path, include_optimizer=False) if form == "h5" else model.save(path)
    return path


def read(path, options, row):
    """Return the loaded network, or None and the reasons of a refusal in the row."""
    try:
        loaded = load(path, options)
    except ModelUnsupported as error:
        for item in error.items:
            if not (item.layer and item.class_name and item.reason and item.hint):
                raise Wrong("refused without reason", repr(item)) from error
        row |= {
            "verdict": "refused",
            "reasons": [f"{i.class_name}: {i.reason}" for i in error.items],
        }
        return None
    except QapflowError as error:
        raise Wrong("a good file is called bad", str(error)) from error
    if broken := check(loaded.net):
        raise Wrong("unsound network", "; ".join(broken))
    return loaded


def compare_outputs(loaded, edges, theirs, row):
    """Tell whether all outputs equal those of Keras."""
    ours = [loaded.net.edge(name).type.decode(edges[name]) for name in loaded.net.outputs]
    for left, right in zip(ours, theirs, strict=True):
        if left.shape != right.shape:
            raise Wrong("shape", f"{left.shape} instead of {right.shape}")
    row["values"] = sum(array.size for array in ours)
    if loaded.exact:
        return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    row["reasons"] = [r.reason for r in loaded.records if r.regime != "exact"]
    row["far"] = max(distance(a, b) for a, b in zip(ours, theirs, strict=True))
    if row["far"] > FAR and not any(LAST_BIT in reason for reason in row["reasons"]):
        raise Wrong("far from Keras", f"relative distance {row['far']:.2g}: {row['reasons']}")
    return True  # nothing was promised


def compare_steps(loaded, edges, case):
    """Tell whether all exact layers that no float layer comes before equal those of Keras."""
    net, records = loaded.net, case.records(loaded)
    chosen = {record.edge for record in loaded.records if record.regime != "exact"}
    names = [
        step
        for step, record in records.items()
        if step in case.steps and not record.inner and not ancestors(net, (record.edge,)) & chosen
    ]
    theirs = keras_models.predict_steps(case.model, case.tensors, names, case.values)
    return all(np.array_equal(decoded(net, edges, records[n]), theirs[n]) for n in names)


def decoded(net, edges, record):
    return net.edge(record.edge).type.decode(edges[record.edge])


def prove(loaded, case, path, row):
    """Find whether a difference is Keras's own rounding, by its double precision."""
    weights = path.with_suffix(".h5") if path.suffix == ".json" else None
    net, records = loaded.net, loaded.records
    found = compare_keras(net, records, case.codes, path, weights=weights).comparison
    if found.verdict == "different":
        raise Wrong("differs from Keras", f"{found.mismatches} of {found.values}: {found.first}")
    if loaded.exact and found.verdict != "equal":
        raise Wrong("differs from Keras, unproved", found.note)
    row["note"] = found.note


def compare_layers(loaded, edges, case, row):
    """Run each exact layer behind a float layer alone, on what the network gives it."""
    net, records = loaded.net, case.records(loaded)
    for name, step in case.steps.items():
        if name not in records or any(source not in records for source in step["from"]):
            continue
        before = [records[source] for source in step["from"]]
        if records[name].regime != "exact" or any(r.inner for r in (records[name], *before)):
            continue
        values = [decoded(net, edges, record) for record in before]
        layer = case.model.get_layer(step["layer"])
        theirs = keras_models.call_layer(layer, values)
        ours = decoded(net, edges, records[name])
        if np.array_equal(ours, theirs):
            continue
        widths = [node.out.type.width for node in net.nodes if node.origin == step["layer"]]
        wide = max([*widths, *(net.edge(r.edge).type.width for r in before)]) > FLOAT32_BITS
        if wide or passes_straight_through(step, values, ours - theirs):
            row["rounded"] = [*row.get("rounded", []), step["class"]]
            continue
        count = int(np.count_nonzero(ours != theirs))
        raise Wrong(f"{step['class']} differs from Keras", f"{step}: {count} of {ours.size}")


def passes_straight_through(step, values, difference):
    """Tell whether a difference is that of x + (q(x) - x) in float32, the way QKeras quantizes."""
    largest = max(float(np.abs(value).max()) for value in values)
    return step["class"] == "QActivation" and np.abs(difference).max() <= largest * 2.0**-22


def distance(ours, theirs):
    """Return the root mean square of the difference, relative to that of the Keras values."""
    size = float(np.sqrt(np.mean(theirs**2)))
    return float(np.sqrt(np.mean((ours - theirs) ** 2))) / max(size, 1e-3)


def keep_meaning(net, codes):
    """Check that every pass keeps what the network computes."""
    expected = interpret(net, codes)
    for rewrite in PASSES:
        after = rewrite(net)
        if broken := check(after):
            raise Wrong("unsound after a pass", f"{rewrite.__name__}: {'; '.join(broken)}")
        again = interpret(after, codes)
        for left, right in zip(net.outputs, after.outputs, strict=True):
            if not np.array_equal(expected[left], again[right]):
                raise Wrong("a pass changes values", rewrite.__name__)


def run_simulation(net, codes, folder, chance, row):
    """Compare with the compiled C simulation of a random plan."""
    for rewrite in PASSES:
        net = rewrite(net)
    target = load_target(chance.choice(["xcvu9p", "pynq-z2"]))
    kind = chance.choice(["io_parallel", "io_stream"])
    backend = chance.choice(["vitis", "vivado"])
    goal = chance.choice(["latency", "resources"])
    try:
        plan = propose(net, target, io_type=kind, backend=backend, goal=goal)
        files = lower(net, plan, target, "top")
    except ModelUnsupported as error:
        if not all(item.reason and item.hint for item in error.items):
            raise Wrong("refused without reason", str(error)) from error
        row["csim"] = f"refused: {'; '.join(item.reason for item in error.items)}"
        return
    files.write(folder)
    compile_csim(folder, jobs=1)
    found = compare_csim(net, folder, codes, jobs=1)
    if found.verdict != "equal":
        raise Wrong(f"{kind} differs from the interpreter", str(found.first))
    row["csim"] = kind
