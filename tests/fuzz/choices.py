"""Random quantizers and weights: every argument, ties, extremes and holes included.

Everything is drawn from a `random.Random`, so a seed repeats it and hypothesis can drive it too.
"""

import numpy as np

# What a recipe holds instead of a QKeras object: {"quantizer": class, **arguments}.


def quantizer(kind, **arguments):
    return {"quantizer": kind, **arguments}


def scale(chance, wild):
    """Return an alpha that keeps a network exact, or any."""
    some = [None, None, 1, 1.0, 0.5, 2.0, "auto_po2"]
    return chance.choice([*some, "auto", 0.3, 1.7] if wild else some)


def fixed_scale(chance, wild):
    alpha = scale(chance, wild)
    return 1 if isinstance(alpha, str) else alpha


def bits(chance, alpha):
    # No negative `integer`: QKeras raises 2 to it as integers, which TensorFlow refuses.
    arguments = {"bits": chance.choice([1, 2, 2, 3, 4, 4, 5, 6, 8])}
    arguments["integer"] = chance.choice([0, 0, 0, 1, 2, arguments["bits"] + 1])
    if chance.random() < 0.3:
        arguments["symmetric"] = chance.choice([0, 1])
    if chance.random() < 0.2:
        arguments["keep_negative"] = chance.choice([True, False])
    return quantizer("quantized_bits", **arguments, alpha=alpha)


def weight_quantizer(chance, wild):
    kind = chance.choice(["bits"] * 6 + ["binary", "ternary", "po2", "stochastic", "other"])
    alpha = scale(chance, wild)
    if kind == "bits":
        made = bits(chance, alpha)
        if isinstance(alpha, str) and not made.get("keep_negative", True):
            made["keep_negative"] = True  # QKeras itself fails on the other
        return made
    if kind == "binary":
        return quantizer("binary", alpha=alpha)
    if kind == "ternary":
        threshold = None if isinstance(alpha, str) else chance.choice([None, 0.1, 0.5])
        return quantizer("ternary", alpha=alpha, threshold=threshold)
    if kind == "stochastic":
        return quantizer(chance.choice(["stochastic_binary", "stochastic_ternary"]), alpha=1)
    if kind == "po2":
        return po2(chance, "quantized_po2")
    return chance.choice([
        quantizer("quantized_tanh", bits=chance.choice([2, 4, 6])),
        quantizer("quantized_sigmoid", bits=chance.choice([2, 4, 6])),
        quantizer("quantized_relu", bits=3, integer=1),
        "quantized_bits(4,1)",
        "quantized_bits(5,0,alpha=1)",
    ])  # fmt: skip


def po2(chance, kind):
    made = quantizer(kind, bits=chance.choice([2, 3, 4]))
    if chance.random() < 0.5:
        made["max_value"] = chance.choice([1, 2, 4, 0.5])
    if kind == "quantized_relu_po2" and chance.random() < 0.3:
        made["negative_slope"] = 0.25
    if chance.random() < 0.2:
        made["quadratic_approximation"] = True
    return made


def bias_quantizer(chance, wild):
    if chance.random() < 0.1:
        return po2(chance, "quantized_po2")
    return bits(chance, fixed_scale(chance, wild))


def activation_quantizer(chance, wild):
    """Return what QActivation, or the `activation` of a Q layer, may get."""
    kind = chance.choice(
        ["relu"] * 4 + ["bits"] * 3 + ["tanh", "sigmoid", "binary", "ternary", "po2", "hswish"]
        + ["text"] + ["ulaw"] * wild
    )  # fmt: skip
    if kind == "relu":
        return relu(chance)
    if kind == "bits":
        return bits(chance, fixed_scale(chance, wild))
    if kind in ("tanh", "sigmoid"):
        made = quantizer(f"quantized_{kind}", bits=chance.choice([1, 2, 4, 6, 8]))
        if chance.random() < 0.4:
            made["symmetric"] = chance.choice([True, False])
        if chance.random() < 0.25:
            made[f"use_real_{kind}"] = True
        return made
    if kind == "binary":
        made = quantizer("binary", alpha=fixed_scale(chance, wild))
        return {**made, "use_01": True} if chance.random() < 0.3 else made
    if kind == "ternary":
        threshold = chance.choice([None, 0.25, 0.7])
        return quantizer("ternary", alpha=fixed_scale(chance, wild), threshold=threshold)
    if kind == "po2":
        return po2(chance, chance.choice(["quantized_po2", "quantized_relu_po2"]))
    if kind == "hswish":
        return quantizer("quantized_hswish", bits=chance.choice([4, 6]), integer=2, alpha=1)
    if kind == "ulaw":
        return quantizer("quantized_ulaw", bits=4)
    return chance.choice([
        "quantized_relu(4,1)", "quantized_relu(3)", "quantized_bits(6,2,alpha=1)", "binary",
        "quantized_relu(6,2,negative_slope=0.125)", "ternary(threshold=0.5)", "quantized_tanh(4)",
        "quantized_relu(4,2,relu_upper_bound=1.5,is_quantized_clip=False)",
    ])  # fmt: skip


def relu(chance):
    made = quantizer("quantized_relu", bits=chance.choice([1, 2, 3, 4, 5, 6, 8]))
    made["integer"] = chance.choice([0, 0, 1, 2, 3])
    if chance.random() < 0.2:
        made["negative_slope"] = chance.choice([0.125, 0.25, 0.5])
    if chance.random() < 0.15:
        made["use_sigmoid"] = 1
    if chance.random() < 0.2:
        made["relu_upper_bound"] = chance.choice([1, 1.5, 2.0, 6])
        # is_quantized_clip=False is lost in QKeras's files: it stands in texts alone
    return made


STYLES = ("normal", "normal", "normal", "sparse", "ties", "large", "tiny", "zero", "po2", "same")


def draw_weights(rng, style, shape):
    """Return values [*shape] of one of the STYLES, as float32."""
    values = rng.normal(0, 0.6, shape)
    if style == "sparse":
        values = values * (rng.random(shape) < 0.2)
    elif style == "ties":  # halfway between the codes of common grids
        values = (rng.integers(-40, 41, shape) + 0.5) / 2.0 ** rng.integers(2, 7)
    elif style == "large":
        values = values * 20
    elif style == "tiny":
        values = values / 200
    elif style == "zero":
        values = values * 0
    elif style == "po2":
        values = np.sign(values) * 2.0 ** rng.integers(-5, 2, shape)
    elif style == "same":
        values = np.full(shape, rng.choice([-0.75, 0.3, 1.0]))
    return values.astype(np.float32)
