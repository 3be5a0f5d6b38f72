"""From a model file to the integer network: every layer translated, or all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from qapflow.errors import ModelUnsupported, Unsupported, UsageError
from qapflow.frontend.archive import read_model
from qapflow.frontend.input_samples import choose_samples
from qapflow.frontend.input_types import choose_input_type
from qapflow.frontend.layers.hints import why_unknown
from qapflow.frontend.layers.table import HANDLERS
from qapflow.frontend.layers.work import DTYPES, Handler, LayerRefused, UnsupportedQuantizer, Work
from qapflow.frontend.model import LayerRecord, LayerSpec, Loaded, LoadOptions, ModelSpec
from qapflow.frontend.placeholder import SIDE, add_placeholder, guess_inputs
from qapflow.frontend.quantizers import parse_quantizer
from qapflow.frontend.readers import PASS_ON, Readers
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import INT64_BITS
from qapflow.ir.net import Net
from qapflow.ir.ops import Reshape

BROKEN = (KeyError, TypeError, ValueError, IndexError, OverflowError)  # settings of a wrong form
SECOND_OUTPUT = (
    "a second output of a layer is used, such as the states of return_state=True",
    "use the first output only: with return_sequences=True it holds the state of every step",
)
LARGEST_INPUT = 1 << 26  # values; an image of 8,192 x 8,192 pixels
HALF = ("float16", "bfloat16")


def load(source: Path | ModelSpec, options: LoadOptions | None = None) -> Loaded:
    """Turn a model into a network.

    Raises:
        UsageError: the file cannot be read, or the options do not fit it.
        ModelUnsupported: some layers cannot be built; all are listed.
    """
    options = options or LoadOptions()
    spec = source if isinstance(source, ModelSpec) else read_model(source)
    return _Loader(spec, options).run()


@dataclass
class _Loader:
    spec: ModelSpec
    options: LoadOptions
    builder: NetBuilder = field(default_factory=NetBuilder)
    edges: dict[str, str] = field(default_factory=dict)
    records: list[LayerRecord] = field(default_factory=list)
    problems: list[Unsupported] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    guessed: set[str] = field(default_factory=set)  # layers whose output is a stand-in
    inner: set[str] = field(default_factory=set)  # layers with `LayerRecord.inner`
    decided: set[str] = field(default_factory=set)  # layers with `Work.decided`
    left_out: set[str] = field(default_factory=set)  # final softmax layers
    logits: set[str] = field(default_factory=set)  # layers whose own softmax is left out

    def run(self) -> Loaded:
        self._check_options()
        self.readers = Readers(self.spec)
        outputs = [self._strip_softmax(ref) for ref in self.spec.outputs]
        for name in dict.fromkeys(name for name, index in outputs if index):
            self._refuse(self.spec.layer(name), *SECOND_OUTPUT)
        for layer in self.spec.layers:
            if layer.class_name == "InputLayer":
                self._input(layer)
            elif layer.name not in self.left_out:
                self._layer(layer)
        if self.problems:
            raise ModelUnsupported(self.problems, self.spec.name)
        net = self.builder.finish(self._output_edges([name for name, _ in outputs]))
        self._note_choices(net)
        return Loaded(net, tuple(self.records), self.spec, (*self.spec.notes, *self.notes))

    def _output_edges(self, layers: list[str]) -> tuple[str, ...]:
        """Return one edge an output; inputs and edges that are given out twice are copied."""
        taken = {record.edge for record in self.records if record.class_name == "InputLayer"}
        edges = []
        for layer in layers:
            edge = self.edges[layer]
            if edge in taken:
                shape = self.builder.edges[edge].shape
                edge = self.builder.add(f"{layer}_copy", Reshape(shape), edge, origin=layer)
                record = next(record for record in self.records if record.name == layer)
                if record.class_name == "InputLayer" and self.options.strip_softmax:
                    raise UsageError(
                        "an input is given out unchanged, so no softmax can be left out",
                        f"layer {layer!r}",
                        "build without --strip-softmax",
                    )
                if record.class_name != "InputLayer":
                    self.records.append(LayerRecord(layer, record.class_name, edge, record.regime))
            taken.add(edge)
            edges.append(edge)
        return tuple(edges)

    def _note_choices(self, net: Net) -> None:
        chosen = [record for record in self.records if record.regime == "chosen"]
        if chosen and not self.options.calibration:
            self.notes.append(
                "types of float layers are chosen on uniform random inputs: give typical samples "
                "(--calibration) for finer ones"
            )
        wide = [node.name for node in net.nodes if node.out.type.width > INT64_BITS]
        if wide:
            self.notes.append(f"edges of more than {INT64_BITS} bits: {', '.join(wide)}")

    def _check_options(self) -> None:
        known = {"", *self.spec.inputs}
        for name in (*self.options.input_types, *self.options.calibration):
            if name not in known:
                raise UsageError(
                    f"the model has no input {name!r}",
                    hint=f"its inputs are {', '.join(self.spec.inputs)}",
                )

    def _strip_softmax(self, ref: tuple[str, int]) -> tuple[str, int]:
        """Return the output before a final softmax, if asked for."""
        layer = self.spec.layer(ref[0])
        if not self.options.strip_softmax or not _is_softmax(layer):
            return ref
        self.notes.append(f"softmax {layer.name!r} left out as asked: the outputs are logits")
        if layer.class_name in ("Softmax", "Activation", "QActivation"):
            if not self.readers.readers[layer.name]:
                self.left_out.add(layer.name)
            return layer.inbound[0]
        if self.readers.readers[layer.name]:
            self._refuse(layer, "its softmax cannot be left out: other layers read it")
        self.logits.add(layer.name)
        return ref

    def _input(self, layer: LayerSpec) -> None:
        batch = layer.config.get("batch_input_shape") or ()
        shape = tuple(batch[1:])
        problem = _unfit(shape)
        if problem:
            self._refuse(layer, *problem)
            fixed = tuple(n if isinstance(n, int) and 0 < n <= SIDE else SIDE for n in shape)
            self.edges[layer.name] = add_placeholder(self.builder, layer, fixed)
            self.guessed.add(layer.name)
            return
        if layer.config.get("dtype") in HALF:
            dtype = layer.config["dtype"]
            self._refuse(layer, f"its values are rounded to {dtype}", "use float32 inputs")
        chosen = choose_input_type(layer, self.options, self.readers)
        self.notes += chosen.notes
        samples = choose_samples(
            self.spec, layer.name, chosen.type, shape, self.options.calibration
        )
        self.edges[layer.name] = self.builder.add_input(layer.name, shape, chosen.type, samples)
        edge = self.edges[layer.name]
        self.records.append(LayerRecord(layer.name, layer.class_name, edge, "exact"))

    def _layer(self, layer: LayerSpec) -> None:
        """Translate a layer; behind a refused one, on stand-ins of the likely shape."""
        names = [name for name, _ in layer.inbound]
        handler = HANDLERS.get(layer.class_name)
        if handler is None:
            self._refuse(layer, *why_unknown(layer))
        if any(index for _, index in layer.inbound) and not self.guessed & set(names):
            self._refuse(layer, *SECOND_OUTPUT)
            handler = None
        inputs = tuple(self.edges[name] for name in names)
        if handler is None:
            self._stand_in(layer, inputs)
        elif not self.guessed & set(names):
            self._translate(layer, handler, inputs)
        else:
            self._check_only(layer, handler, inputs)

    def _translate(self, layer: LayerSpec, handler: Handler, inputs: tuple[str, ...]) -> None:
        try:
            work = self._work(layer, inputs)
            edge = handler(work)
        except (LayerRefused, UnsupportedQuantizer) as error:
            self._refuse(layer, error.what, error.hint)
        except UsageError as error:  # a shape that does not fit
            self._refuse(layer, error.what, "check the model: Keras could not run it either")
        except MemoryError:
            self._refuse(layer, "its values do not fit in memory", "a smaller layer or input")
        except BROKEN as error:
            self._refuse(layer, *_broken(error))
        else:
            self.edges[layer.name] = edge
            self.notes += dict.fromkeys(work.notes)
            self._pass_on(work)
            self.records.append(record(work, edge))
            return
        self._stand_in(layer, inputs)

    def _pass_on(self, work: Work) -> None:
        """Remember whose edges are not the layer's own floats; moving them changes nothing."""
        layer = work.spec
        if layer.class_name in PASS_ON:
            sources = {name for name, _ in layer.inbound}
            work.inner = work.inner or bool(self.inner & sources)
            work.decided = work.decided or bool(self.decided & sources)
        self.inner |= {layer.name} if work.inner else set()
        self.decided |= {layer.name} if work.decided else set()

    def _check_only(self, layer: LayerSpec, handler: Handler, inputs: tuple[str, ...]) -> None:
        """Look for what does not hang on shapes: those of the inputs are guesses."""
        guesses = [add_placeholder(self.builder, layer, shape) for shape in guess_inputs(layer)]
        last = tuple(guesses)
        for attempt in (inputs, last):
            try:
                self.edges[layer.name] = handler(self._work(layer, attempt))
            except (LayerRefused, UnsupportedQuantizer) as error:
                self._refuse(layer, error.what, error.hint)
            except UsageError:  # the guess does not fit
                continue
            except BROKEN as error:
                if attempt is not last:
                    continue
                self._refuse(layer, *_broken(error))
            break
        self._stand_in(layer, inputs)

    def _stand_in(self, layer: LayerSpec, inputs: tuple[str, ...]) -> None:
        self.guessed.add(layer.name)
        if layer.name not in self.edges:
            shape = self.builder.edges[inputs[0]].shape if inputs else guess_inputs(layer)[0]
            self.edges[layer.name] = add_placeholder(self.builder, layer, shape)

    def _work(self, layer: LayerSpec, inputs: tuple[str, ...]) -> Work:
        dtype = layer.config.get("dtype")
        if dtype not in DTYPES:
            raise LayerRefused(
                f"it computes in {dtype}", hint="train in float32: remove the dtype policy"
            )
        if layer.name in self.logits:
            layer = replace(layer, config={**layer.config, "activation": "linear"})
        quantizers = self.readers.quantizers(layer.name)
        known = tuple(quantizer for quantizer in quantizers if quantizer is not None)
        return Work(
            layer,
            self.builder,
            inputs,
            self.options,
            self.spec.keras_version,
            self.readers.all_quantize(layer.name),
            known if len(known) == len(quantizers) else (),
            decides=bool(self.decided & {name for name, _ in layer.inbound}),
            guessed=bool(self.guessed & {name for name, _ in layer.inbound}),
        )

    def _refuse(self, layer: LayerSpec, reason: str, hint: str = "") -> None:
        hint = hint or "replace the layer by one that docs/layers.md lists"
        self.problems.append(Unsupported(layer.name, layer.class_name, reason, hint))


def _unfit(shape: tuple[int | None, ...]) -> tuple[str, str] | None:
    """Return why an input of this shape cannot be built, with the way out."""
    sizes = [n for n in shape if isinstance(n, int) and n > 0]
    if not shape or len(sizes) < len(shape):
        shown = ", ".join("?" if n is None else str(n) for n in shape)
        return f"its shape [{shown}] is not fixed", "save it with a fixed input shape"
    if prod(sizes) > LARGEST_INPUT:
        return f"one sample of it has {prod(sizes)} values", "a smaller input"
    return None


def _broken(error: Exception) -> tuple[str, str]:
    reason = f"its configuration cannot be understood ({type(error).__name__}: {error})"
    return reason, "save the model again with the Keras that made it"


def _is_softmax(layer: LayerSpec) -> bool:
    if layer.class_name == "Softmax":
        return True
    try:
        quantizer = parse_quantizer(layer.config.get("activation"))
    except UnsupportedQuantizer:
        return False  # its handler reports it
    return quantizer is not None and quantizer.kind == "softmax"


def record(work: Work, edge: str) -> LayerRecord:
    """Sum up how a layer was taken over."""
    masks: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.floating[Any]]]] = work.spec.masks
    zeros_mask = sum(int(np.count_nonzero(mask == 0)) for mask in masks.values())
    return LayerRecord(
        work.spec.name,
        work.spec.class_name,
        edge,
        "chosen" if work.reasons else "exact",
        "; ".join(dict.fromkeys(work.reasons)),
        sum(values.size for values, _ in work.kernels),
        sum(int(np.count_nonzero(values == 0)) for values, _ in work.kernels),
        sum(int(np.count_nonzero(const.codes == 0)) for _, const in work.kernels),
        zeros_mask if masks else None,
        work.inner,
    )
