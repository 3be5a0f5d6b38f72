"""One function for each kind of layer: it adds it, with random settings, to what is grown."""

from tests.fuzz.choices import activation_quantizer, bias_quantizer, weight_quantizer


def draw(grower, *values):
    return grower.chance.choice(values)


def chance(grower, part):
    return grower.chance.random() < part


def weighted(grower, *names):
    """Return the quantizers of a Q layer, its bias and its activation."""
    arguments = {name: weight_quantizer(grower.chance, grower.wild) for name in names}
    if chance(grower, 0.25):
        arguments["use_bias"] = False
    else:
        arguments["bias_quantizer"] = bias_quantizer(grower.chance, grower.wild)
    if chance(grower, 0.3):
        arguments["activation"] = activation_quantizer(grower.chance, grower.wild)
    return arguments


def plain(grower):
    """Return the settings of a Keras layer without quantizers."""
    kinds = (None, "relu", "tanh", "sigmoid", "linear", "softmax", "elu", "hard_sigmoid")
    return {"use_bias": draw(grower, True, False), "activation": draw(grower, *kinds)}


def floats(grower):
    return grower.wild and chance(grower, 0.3)


def dense(grower):
    units = draw(grower, 1, 2, 3, 5, 8, 12)
    if floats(grower):
        return grower.add("Dense", grower.edge, units=units, **plain(grower))
    made = weighted(grower, "kernel_quantizer")
    return grower.add("QDense", grower.edge, units=units, **made)


def geometry(grower, rank, kernels=(1, 2, 3)):
    """Return kernel size, strides, padding and dilation of a convolution."""
    made = {"kernel_size": [draw(grower, *kernels) for _ in range(rank)]}
    made["padding"] = draw(grower, "valid", "same", *(["causal"] if rank == 1 else []))
    if chance(grower, 0.3):
        made["strides"] = [draw(grower, 2, 3)] * rank
    elif chance(grower, 0.25):
        made["dilation_rate"] = [draw(grower, 1, 2) for _ in range(rank)]
    return made


def conv(grower):
    rank = len(grower.shape(grower.edge)) - 1
    made = geometry(grower, rank)
    made["filters"] = draw(grower, 1, 2, 3, 4)
    if floats(grower):
        if chance(grower, 0.3) and grower.shape(grower.edge)[-1] == 2:
            made |= {"groups": 2, "filters": 4}
        return grower.add(f"Conv{rank}D", grower.edge, **made, **plain(grower))
    return grower.add(f"QConv{rank}D", grower.edge, **made, **weighted(grower, "kernel_quantizer"))


def depthwise(grower):
    rank = len(grower.shape(grower.edge)) - 1
    made = geometry(grower, rank)
    made["padding"] = draw(grower, "valid", "same")
    made["depth_multiplier"] = draw(grower, 1, 1, 2)
    if rank == 1 or floats(grower):
        return grower.add(f"DepthwiseConv{rank}D", grower.edge, **made, **plain(grower))
    made |= weighted(grower, "depthwise_quantizer")
    return grower.add("QDepthwiseConv2D", grower.edge, **made)


def separable(grower):
    rank = len(grower.shape(grower.edge)) - 1
    made = geometry(grower, rank)
    made["filters"] = draw(grower, 1, 2, 3)
    made["depth_multiplier"] = draw(grower, 1, 1, 2)
    if floats(grower):
        return grower.add(f"SeparableConv{rank}D", grower.edge, **made, **plain(grower))
    made |= weighted(grower, "depthwise_quantizer", "pointwise_quantizer")
    return grower.add(f"QSeparableConv{rank}D", grower.edge, **made)


def folded(grower):
    made = {"kernel_size": [draw(grower, 1, 2, 3), draw(grower, 1, 2, 3)]}
    made["padding"] = draw(grower, "valid", "same")
    made["folding_mode"] = draw(grower, "ema_stats_folding", "batch_stats_folding")
    made["use_bias"] = draw(grower, True, False)
    if chance(grower, 0.3):
        made["activation"] = activation_quantizer(grower.chance, grower.wild)
    made["bias_quantizer"] = bias_quantizer(grower.chance, grower.wild)
    if chance(grower, 0.5):
        made["depthwise_quantizer"] = weight_quantizer(grower.chance, grower.wild)
        return grower.add("QDepthwiseConv2DBatchnorm", grower.edge, **made)
    made["kernel_quantizer"] = weight_quantizer(grower.chance, grower.wild)
    return grower.add("QConv2DBatchnorm", grower.edge, filters=draw(grower, 1, 2, 3), **made)


def activation(grower):
    quantizer = activation_quantizer(grower.chance, grower.wild)
    return grower.add("QActivation", grower.edge, activation=quantizer)


def relus(grower):
    kind = draw(grower, "ReLU", "ReLU", "LeakyReLU", "Activation", "PReLU", "ThresholdedReLU")
    if kind == "ReLU":
        made = {"max_value": draw(grower, None, 6.0, 2.5), "threshold": draw(grower, 0.0, 0.5)}
        made["negative_slope"] = draw(grower, 0.0, 0.0, 0.25, 0.1)
    elif kind == "LeakyReLU":
        made = {"alpha": draw(grower, 0.125, 0.25, 0.3, 0.0)}
    elif kind == "Activation":
        made = {"activation": draw(grower, "relu", "linear", "relu6", "relu")}
    elif kind == "PReLU":
        rank = len(grower.shape(grower.edge))
        made = {"shared_axes": draw(grower, None, list(range(1, rank)) or None)}
    else:
        made = {"theta": draw(grower, 0.5, 1.0)}
    return grower.add(kind, grower.edge, **made)


def smooth(grower):
    if not grower.wild:
        return activation(grower)
    kinds = ("sigmoid", "tanh", "softmax", "elu", "selu", "softplus", "softsign", "exponential")
    kinds += ("swish", "gelu", "hard_sigmoid", "mish")
    return grower.add("Activation", grower.edge, activation=draw(grower, *kinds))


def norm(grower):
    """Behind it, mostly a quantizer, as networks have it."""
    made = {name: draw(grower, True, True, False) for name in ("center", "scale")}
    kind = "BatchNormalization"
    if chance(grower, 0.25):
        kind = "QBatchNormalization"
        for name in ("gamma", "beta", "mean", "variance"):
            if chance(grower, 0.3):
                made[f"{name}_quantizer"] = None
    added = grower.add(kind, grower.edge, **made)
    return added and chance(grower, 0.8) and activation(grower)


def pool(grower):
    rank = len(grower.shape(grower.edge)) - 1
    if chance(grower, 0.25):
        kind = f"Global{draw(grower, 'Max', 'Average')}Pooling{rank}D"
        return grower.add(kind, grower.edge, keepdims=draw(grower, True, False))
    made = {"pool_size": [draw(grower, 1, 2, 3) for _ in range(rank)]}
    made["strides"] = draw(grower, None, None, [draw(grower, 1, 2)] * rank)
    made["padding"] = draw(grower, "valid", "same")
    kind = draw(grower, "Max", "Average")
    if chance(grower, 0.2) and rank == 2:
        made["average_quantizer"] = weight_quantizer(grower.chance, grower.wild)
        made["activation"] = activation_quantizer(grower.chance, grower.wild)
        return grower.add("QAveragePooling2D", grower.edge, **made)
    added = grower.add(f"{kind}Pooling{rank}D", grower.edge, **made)
    return added and kind == "Average" and chance(grower, 0.7) and activation(grower)


def divisors(number):
    return [k for k in range(1, number + 1) if number % k == 0]


def reshape(grower):
    shape = grower.shape(grower.edge)
    total = 1
    for size in shape:
        total *= size
    first = draw(grower, *divisors(total))
    target = draw(grower, [total], [first, total // first], [first, -1])
    if chance(grower, 0.3):
        second = draw(grower, *divisors(total // first))
        target = [first, second, total // first // second]
    return grower.add("Reshape", grower.edge, target_shape=target)


def flatten(grower):
    return grower.add("Flatten", grower.edge)


def permute(grower):
    order = list(range(1, len(grower.shape(grower.edge)) + 1))
    grower.chance.shuffle(order)
    return grower.add("Permute", grower.edge, dims=order)


def repeat(grower):
    return grower.add("RepeatVector", grower.edge, n=draw(grower, 1, 2, 4))


def sides(grower, rank):
    pairs = [[draw(grower, 0, 1, 2), draw(grower, 0, 1)] for _ in range(rank)]
    return pairs[0] if rank == 1 else pairs


def pad(grower):
    rank = len(grower.shape(grower.edge)) - 1
    return grower.add(f"ZeroPadding{rank}D", grower.edge, padding=sides(grower, rank))


def crop(grower):
    rank = len(grower.shape(grower.edge)) - 1
    return grower.add(f"Cropping{rank}D", grower.edge, cropping=sides(grower, rank))


def upsample(grower):
    rank = len(grower.shape(grower.edge)) - 1
    size = [draw(grower, 1, 2), draw(grower, 2, 3)][-rank:]
    return grower.add(f"UpSampling{rank}D", grower.edge, size=size if rank > 1 else size[0])


def nothing(grower):
    kind = draw(grower, "Dropout", "GaussianNoise", "ActivityRegularization", "GaussianDropout")
    made = {} if kind == "ActivityRegularization" else {"rate": 0.3}
    return grower.add(kind, grower.edge, **({"stddev": 0.1} if kind == "GaussianNoise" else made))


def merge(grower):
    """With an edge of the same shape: a residual; or one that broadcasts."""
    edge, shape = grower.edge, grower.shape(grower.edge)
    same = grower.others(shape)
    if not same:
        if not activation(grower):
            return False
        same = [edge]
    kind = draw(grower, "Add", "Add", "Subtract", "Multiply", "Maximum", "Minimum", "Average")
    sources = [grower.edge, draw(grower, *same)]
    if kind not in ("Subtract",) and chance(grower, 0.15):
        sources.append(draw(grower, *same, grower.edge))
    if chance(grower, 0.5):
        sources.reverse()
    return grower.add(kind, *sources)


def broadcast(grower):
    rank = len(grower.shape(grower.edge))
    fitting = [n for n in grower.others() if len(grower.shape(n)) == rank]
    if not fitting:
        return merge(grower)
    return grower.add(draw(grower, "Multiply", "Add"), grower.edge, draw(grower, *fitting))


def concat(grower):
    shape = grower.shape(grower.edge)
    axis = draw(grower, -1, -1, *range(1, len(shape) + 1))
    others = grower.others() or [grower.edge]
    count = draw(grower, 1, 1, 2)
    return grower.add(
        "Concatenate", grower.edge, *(draw(grower, *others) for _ in range(count)), axis=axis
    )


def share(grower):
    """Call an earlier layer again."""
    steps = [s for s in grower.recipe["steps"] if len(s["from"]) == 1]
    if not steps:
        return dense(grower)
    step = draw(grower, *steps)
    return grower.add(step["class"], grower.edge, again=step["layer"], **step["arguments"])


ANY, ROWS, SPATIAL = (1, 2, 3), (2, 3), (2, 3)
# Function and ranks of the edges it takes; each rank counted makes it likelier.
KINDS = (
    ("dense", (1, 1, 1, 1, 2, 3)),
    ("conv", (2, 2, 2, 3, 3, 3)),
    ("depthwise", (2, 3, 3)),
    ("separable", SPATIAL),
    ("folded", (3, 3)),
    ("activation", (1, 1, 1, 2, 2, 3, 3)),
    ("relus", (1, 2, 3)),
    ("smooth", ANY),
    ("norm", (1, 1, 2, 3)),
    ("pool", (2, 2, 3, 3)),
    ("reshape", ANY),
    ("flatten", SPATIAL),
    ("permute", ROWS),
    ("repeat", (1,)),
    ("pad", SPATIAL),
    ("crop", SPATIAL),
    ("upsample", SPATIAL),
    ("nothing", ANY),
    ("merge", (1, 1, 2, 3)),
    ("broadcast", ANY),
    ("concat", ANY),
    ("share", ANY),
)


def recurrent(grower, **fixed):
    """Return class and settings of a recurrent layer."""
    kind = draw(grower, "SimpleRNN", "LSTM", "GRU")
    made = {"units": draw(grower, 1, 2, 3), "return_sequences": draw(grower, True, False)}
    made |= {"go_backwards": chance(grower, 0.2), "use_bias": chance(grower, 0.8), **fixed}
    if kind == "GRU":
        made["reset_after"] = draw(grower, True, False)
    if floats(grower):
        return kind, made
    for name in ("kernel_quantizer", "recurrent_quantizer"):
        made[name] = weight_quantizer(grower.chance, grower.wild)
    made["bias_quantizer"] = bias_quantizer(grower.chance, grower.wild)
    if chance(grower, 0.6):
        made["state_quantizer"] = {"quantizer": "quantized_bits", "bits": 8, "integer": 1}
    bits = draw(grower, 4, 6, 8)
    made["activation"] = {
        "quantizer": draw(grower, "quantized_tanh", "quantized_relu"),
        "bits": bits,
    }
    if kind != "SimpleRNN":
        made["recurrent_activation"] = {"quantizer": "quantized_sigmoid", "bits": bits}
    return f"Q{kind}", made


def unroll(grower):
    kind, made = recurrent(grower)
    return grower.add(kind, grower.edge, **made)


def both_ways(grower):
    kind, made = recurrent(grower, go_backwards=False)
    if kind.startswith("Q"):
        made["activation"]["quantizer"] = "quantized_tanh"
    mode = draw(grower, "concat", "sum", "mul", "ave")
    wrapper = "QBidirectional" if kind.startswith("Q") else "Bidirectional"
    inner = {"class": kind, "arguments": made}
    return grower.add(wrapper, grower.edge, layer=inner, merge_mode=mode)


def each_step(grower):
    """Give every row, or every image of a row of images, to one layer."""
    if floats(grower):
        inner = {"class": "Dense", "arguments": {"units": 3, **plain(grower)}}
    elif len(grower.shape(grower.edge)) == 2 or chance(grower, 0.3):
        inner = {
            "class": "QDense",
            "arguments": {"units": 2, **weighted(grower, "kernel_quantizer")},
        }
    else:
        settings = {"filters": 2, "kernel_size": draw(grower, 1, 2)}
        settings |= weighted(grower, "kernel_quantizer")
        inner = {"class": "QConv1D", "arguments": settings}
    return grower.add("TimeDistributed", grower.edge, layer=inner)


def transposed(grower):
    rank = len(grower.shape(grower.edge)) - 1
    made = {
        "filters": draw(grower, 1, 2),
        "kernel_size": [draw(grower, 1, 2, 3) for _ in range(rank)],
    }
    made |= {"padding": draw(grower, "valid", "same"), "strides": [draw(grower, 1, 2)] * rank}
    if rank == 1 or floats(grower):
        return grower.add(f"Conv{rank}DTranspose", grower.edge, **made, **plain(grower))
    made |= weighted(grower, "kernel_quantizer")
    return grower.add("QConv2DTranspose", grower.edge, **made)


def nested(grower):
    """A model of two layers as one layer."""
    shape = list(grower.shape(grower.edge))
    settings = {"units": draw(grower, 2, 3), "input_shape": shape}
    settings |= weighted(grower, "kernel_quantizer")
    second = draw(grower, "QActivation", "Flatten", "ReLU")
    quantizer = activation_quantizer(grower.chance, grower.wild)
    inner = [
        {"class": "QDense", "arguments": settings},
        {"class": second, "arguments": {"activation": quantizer} if second[0] == "Q" else {}},
    ]
    return grower.add("Sequential", grower.edge, layers=inner)


def look_up(grower):
    """An Embedding of an input of whole numbers."""
    whole = [name for name, _, kind in grower.recipe["inputs"] if kind in ("u5.0", "u1.0")]
    if not whole:
        return dense(grower)
    return grower.add(
        "Embedding", draw(grower, *whole), input_dim=32, output_dim=draw(grower, 1, 3)
    )


def adapt(grower):
    made = {"total_bits": draw(grower, 4, 6, 8), "symmetric": draw(grower, True, False)}
    made["activation"] = draw(grower, "quantized_relu", "quantized_bits")
    return grower.add("QAdaptiveActivation", grower.edge, **made)


def product(grower):
    """Contractions: of two edges, or of one with weights."""
    shape = grower.shape(grower.edge)
    if len(shape) == 2 and grower.wild and chance(grower, 0.4):
        made = {"equation": "abc,cd->abd", "output_shape": [None, 3], "bias_axes": "d"}
        return grower.add("EinsumDense", grower.edge, **made)
    if grower.wild and chance(grower, 0.3):
        return grower.add("LayerNormalization", grower.edge, axis=-1)
    fitting = [n for n in grower.others() if len(grower.shape(n)) == len(shape)]
    if not fitting:
        return merge(grower)
    return grower.add("Dot", grower.edge, draw(grower, *fitting), axes=draw(grower, 1, -1))


MORE_KINDS = (
    *((kind, tuple(dict.fromkeys(ranks))) for kind, ranks in KINDS),
    ("unroll", (2,) * 12),
    ("both_ways", (2,) * 6),
    ("each_step", (2, 2, 3, 3)),
    ("transposed", (2, 3, 3)),
    ("nested", (1, 1, 2, 3)),
    ("look_up", (1, 1)),
    ("adapt", ANY),
    ("product", (1, 2, 2)),
)
