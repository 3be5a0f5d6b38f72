"""Recurrent layers written by hand: what is refused and why, and the types of states."""

import numpy as np
import pytest

from qapflow.errors import ModelUnsupported
from qapflow.frontend.load import load
from qapflow.frontend.model import LayerSpec, LoadOptions, ModelSpec
from qapflow.ir.check import check
from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Scan

W, GATES = "quantized_bits(4,0,alpha=1)", {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}


def layer(name, class_name, inbound=(), weights=None, **config):
    """Return one call of a layer."""
    links = tuple((item, 0) if isinstance(item, str) else item for item in inbound)
    arrays = {k: np.asarray(v, np.float32) for k, v in (weights or {}).items()}
    return LayerSpec(name, class_name, {"name": name, **config}, arrays, links)


def box(*shape, name="x"):
    """Return an input layer."""
    return layer(name, "InputLayer", batch_input_shape=[None, *shape])


def model(*layers, outputs=None):
    """Return a model whose last layer is the output."""
    inputs = tuple(item.name for item in layers if item.class_name == "InputLayer")
    return ModelSpec(
        "m", layers, inputs, outputs or ((layers[-1].name, 0),), "2.11.0", "memory", ""
    )


def arrays(kind, features=3, units=2, seed=0, prefix=""):
    """Return random weights of a layer."""
    rng = np.random.default_rng(seed)
    count = GATES[kind.removeprefix("Q")] * units
    sizes = {"kernel": (features, count), "recurrent_kernel": (units, count), "bias": (count,)}
    return {prefix + name: rng.normal(0, 0.5, size) for name, size in sizes.items()}


def recurrent(kind, inbound=("x",), name="r", **config):
    """Return a recurrent layer of two units."""
    return layer(name, kind, inbound, arrays(kind), units=2, use_bias=True, **config)


def around(kind, inner, weights=None, **config):
    """Return a wrapper."""
    entry = {"class_name": inner[0], "config": inner[1]}
    return layer("r", kind, ("x",), weights, layer=entry, **config)


def both(config=None, **more):
    """Return Bidirectional around an LSTM."""
    weights = arrays("LSTM", prefix="forward/") | arrays("LSTM", seed=1, prefix="backward/")
    inner = ("LSTM", {"units": 2, "use_bias": True, **(config or {})})
    return around("Bidirectional", inner, weights, **more)


def refused(spec):
    """Return {layer: (reason, hint)} of a refused model."""
    with pytest.raises(ModelUnsupported) as caught:
        load(spec, LoadOptions())
    return {item.layer: (item.reason, item.hint) for item in caught.value.items}


CELL = {"class_name": "MyCell", "config": {"units": 2}}
SEQUENCE = box(5, 3)
CASES = {
    "stateful": (
        recurrent("LSTM", stateful=True),
        "stateful=True: its states live on from one call to the next",
        "train with stateful=False",
    ),
    "time major": (
        recurrent("GRU", time_major=True),
        "time_major=True: its first axis is the time, not the batch",
        "use time_major=False",
    ),
    "unknown cell": (layer("r", "RNN", ("x",), cell=CELL), "its cell is a MyCell", "LSTMCell"),
    "no cell": (layer("r", "RNN", ("x",)), "its cell cannot be read", "LSTM, GRU or SimpleRNN"),
    "q gru": (
        recurrent("QGRU", kernel_quantizer=W),
        "QKeras computes with its kernel in place of its recurrent kernel",
        "give the layer a recurrent_quantizer",
    ),
    "merge mode": (
        both(merge_mode=None),
        "merge_mode=None gives two outputs",
        "use merge_mode='concat'",
    ),
    "stateful inside": (both({"stateful": True}), "stateful=True", "stateful=False"),
    "wraps dense": (
        around("Bidirectional", ("Dense", {"units": 2})),
        "it wraps a Dense",
        "wrap an LSTM, GRU or SimpleRNN",
    ),
    "two classes": (
        both(backward_layer={"class_name": "GRU", "config": {}}),
        "its two directions are layers of different classes",
        "use two layers, the second with go_backwards=True",
    ),
    "no second": (
        both(backward_layer="x"),
        "its two directions are layers of different classes",
        "use two layers",
    ),
    "activation": (
        recurrent("GRU", activation="bernoulli"),
        "bernoulli draws random numbers at inference too",
        "use binary or stochastic_binary",
    ),
    "half inside": (both({"dtype": "mixed_float16"}), "the layer in it computes in mixed", ""),
    "each lambda": (
        around("TimeDistributed", ("Lambda", {})),
        "it wraps a layer of class Lambda, which is not supported",
        "",
    ),
    "no layer inside": (
        layer("r", "TimeDistributed", ("x",)),
        "the layer in it cannot be read",
        "wrap a layer or a model",
    ),
    "no weights": (
        layer("r", "LSTM", ("x",), units=2),
        "its weight 'kernel' is not in the file",
        "save the model again, weights included",
    ),
    "masking call": (
        layer("r", "LSTM(mask)", ("x",), arrays("LSTM"), units=2),
        "it is called with settings that change what it computes: LSTM(mask)",
        "call it with its input only",
    ),
    "bias before": (
        recurrent("GRU", reset_after=True),
        "its bias has shape (6,), with reset_after=True",
        "use the weights that belong to this architecture",
    ),
    "bias after": (
        layer("r", "LSTM", ("x",), {**arrays("LSTM"), "bias": np.zeros((2, 8))}, units=2),
        "its bias has shape (2, 8), with reset_after=False",
        "use the weights that belong to this architecture",
    ),
    "old kind": (layer("r", "CuDNNLSTM", ("x",)), "CuDNNLSTM are not supported", "load_weights"),
}


@pytest.mark.parametrize("name", CASES)
def test_refusals_name_the_reason_and_the_way_out(name):
    wrong, reason, hint = CASES[name]
    found = refused(model(SEQUENCE, wrong))["r"]
    assert reason in found[0]
    assert hint in found[1]


def test_an_open_number_of_steps_is_refused():
    found = refused(model(box(None, 3), recurrent("LSTM")))
    assert found == {
        "x": ("its shape [?, 3] is not fixed", "save it with a fixed input shape"),
    }


def test_masking_before_a_recurrent_layer_is_refused():
    spec = model(SEQUENCE, layer("m", "Masking", ("x",)), recurrent("LSTM", ("m",)))
    found = refused(spec)
    assert found["m"][1] == "masking depends on the data: give sequences of fixed length"


def test_states_given_out_are_refused():
    states = recurrent("LSTM", return_state=True)
    wanted = (
        "a second output of a layer is used, such as the states of return_state=True",
        "use the first output only: with return_sequences=True it holds the state of every step",
    )
    assert refused(model(SEQUENCE, states, outputs=(("r", 1),)))["r"] == wanted
    assert refused(model(SEQUENCE, states, layer("a", "ReLU", [("r", 2)])))["a"] == wanted
    assert load(model(SEQUENCE, states, outputs=(("r", 0),)))


def test_all_refusals_come_at_once():
    spec = model(
        SEQUENCE,
        recurrent("LSTM", name="a", stateful=True, return_sequences=True),
        recurrent("GRU", ("a",), name="b", time_major=True),
        recurrent("SimpleRNN", ("x",), name="c", unroll=True, dropout=0.5),
        layer("d", "RNN", ("c",), cell=CELL),
    )
    assert set(refused(spec)) == {"a", "b", "d"}


def states_of(spec, **options):
    """Return (types of the states, regime, reason) of a model with one loop."""
    loaded = load(spec, LoadOptions(input_types={"": Fixed(True, 8, 5)}, **options))
    assert check(loaded.net) == []
    (loop,) = [node.op for node in loaded.net.nodes if isinstance(node.op, Scan)]
    (record,) = [r for r in loaded.records if r.name == "r"]
    return tuple(const.type for const in loop.initial), record.regime, record.reason


QUANTIZED = {
    "kernel_quantizer": W,
    "recurrent_quantizer": W,
    "bias_quantizer": W,
    "activation": "quantized_tanh(5)",
    "recurrent_activation": "quantized_sigmoid(4)",
}


def test_the_state_of_quantized_activations_is_on_their_grid():
    kinds, regime, _ = states_of(model(SEQUENCE, recurrent("QSimpleRNN", **QUANTIZED)))
    assert (kinds, regime) == ((Fixed(True, 5, 4),), "exact")


def test_a_cell_state_that_nothing_rounds_is_chosen():
    """Its fraction grows by the bits of the forget gate in every step."""
    _, regime, reason = states_of(model(SEQUENCE, recurrent("QLSTM", **QUANTIZED)))
    assert regime == "chosen"
    assert "in each of 5 steps; the errors add up" in reason
    quantized = {**QUANTIZED, "state_quantizer": "quantized_bits(6,1,alpha=1)"}
    assert states_of(model(SEQUENCE, recurrent("QLSTM", **quantized)))[1] == "exact"


def test_states_of_float_layers_hold_what_is_proved():
    """An output below one, and a cell state that grows by less than one in each of five steps."""
    kinds, regime, reason = states_of(model(SEQUENCE, recurrent("LSTM")))
    assert regime == "chosen"
    assert kinds == (Fixed(True, 18, 16), Fixed(True, 20, 16))
    assert "states rounded to s18.16, s20.16 in each of 5 steps" in reason
    assert states_of(model(SEQUENCE, recurrent("GRU")), float_bits=12)[0] == (Fixed(True, 12, 10),)


def test_states_that_grow_too_wide_for_their_activation_are_rounded():
    kinds, regime, _ = states_of(model(SEQUENCE, recurrent("GRU", activation="binary")))
    assert regime == "chosen"
    assert kinds == (Fixed(True, 18, 16),)


def test_states_hold_the_initial_states_of_other_layers():
    """They come from inputs, whose type reaches from -4 to 4."""
    initial = layer("r", "GRU(initial_state)", ("x", "h"), arrays("GRU"), units=2)
    kinds, _, _ = states_of(model(SEQUENCE, box(2, name="h"), initial))
    assert kinds == (Fixed(True, 20, 16),)
