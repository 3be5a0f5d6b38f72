"""Damage model files: bytes, settings, weights and the zip around them.

Everything is drawn from a `random.Random`, so a seed repeats it.
"""

import copy
import io
import json
import zipfile

import h5py
import numpy as np

# What no setting of a layer expects everywhere: wrong kinds, extremes, and things to be executed.
ODD = (
    None, True, -1, 0, 1, 2, 3, 7, 2**31, 2**63, 10**30, 0.5, -0.0, 1e-300, 1e308, float("nan"),
    float("inf"), "", "a", "relu", "softmax", "same", "causal", "channels_first", "float16", "auto",
    "quantized_bits(4,0,alpha=1)", "quantized_bits(" * 50, "__import__('os').system('touch BAD')",
    "quantized_relu(open('BAD','w').write('x'))", "lambda x: x", "../../BAD", "/dev/zero",
    "\ud800", "\x00", "x" * 5000, [], [[]], [0], [1, 2], [-1, -1], [10**6, 10**6], [None, None],
    {}, {"class_name": "Lambda", "config": {}}, {"class_name": "Dense"},
    {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA", "defaults": None}},
    {"class_name": "QActivation", "config": {"activation": "exec('1')"}},
    {"module": "os", "class_name": "system", "config": {"command": "touch BAD"}},
    {"module": "builtins", "class_name": "eval", "config": "1", "registered_name": "eval"},
    {"class_name": "__tensor__", "config": {"value": [1e9], "dtype": "float32"}},
    {"class_name": "__numpy__", "config": {"value": [2], "dtype": "object"}},
)  # fmt: skip
CLASSES = (
    "Dense", "Conv2D", "QConv1D", "LSTM", "Lambda", "TFOpLambda", "Bidirectional", "Embedding",
    "TimeDistributed", "Functional", "Sequential", "InputLayer", "Concatenate", "GRU", "Reshape",
    "BatchNormalization", "QDense", "PruneLowMagnitude", "Model", "RNN", "UpSampling2D",
    "os.system",
)  # fmt: skip
TYPES = ("S4", "i1", "i8", "u2", "f2", "f8", "c8", "O")


def damage(path, folder, chance):
    """Write a damaged copy of a model into `folder`; return its path and what was done.

    The weights of a .json are the .h5 beside it, which may be damaged instead.
    """
    target = folder / path.name
    beside = path.with_suffix(".h5")
    data = {target: path.read_bytes()}
    if path.suffix == ".json":
        data[target.with_suffix(".h5")] = beside.read_bytes()
    story = []
    victims = [chance.choice(list(data)) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
    steps = [(victim, chance.choice(WAYS[victim.suffix])) for victim in victims]
    # Bytes last: HDF5 itself can hang on a damaged file that is to be changed once more.
    for victim, kind in sorted(steps, key=lambda step: step[1] is change_bytes):
        data[victim], what = kind(data[victim], chance)
        story.append(f"{victim.suffix}: {what}")
    for name, content in data.items():
        name.write_bytes(content)
    return target, "; ".join(story)


def change_bytes(data, chance):
    """Flip, overwrite, cut, double or insert bytes."""
    changed = bytearray(data)
    way = chance.choice(["flip", "flip", "flip", "fill", "cut", "double", "insert", "swap"])
    at = chance.randrange(max(1, len(changed)))
    length = chance.choice([1, 4, 64, 1000])
    if way == "flip":
        for _ in range(chance.choice([1, 3, 30])):
            if changed:
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    elif way == "fill":
        changed[at : at + length] = bytes([chance.choice([0, 255, 127, 65])]) * length
    elif way == "cut":
        del changed[at:]
    elif way == "double":
        changed[at:at] = changed[at : at + length]
    elif way == "insert":
        changed[at:at] = chance.randbytes(length)
    else:
        piece = changed[at : at + length]
        del changed[at : at + length]
        changed += piece
    return bytes(changed), f"{way} {length} bytes at {at}"


def change_json(data, chance):
    """Change one place of a text; one that is no JSON or too deep by now gets other bytes."""
    try:
        root = json.loads(data)
        what = change_tree(root, chance)
        return json.dumps(root).encode("utf-8", "surrogatepass"), what
    except (ValueError, RecursionError):
        return change_bytes(data, chance)


def change_tree(root, chance):
    """Change one place of nested lists and dictionaries."""
    places = list(find_places(root, ()))
    if not places:
        return "nothing"
    holder, key, path = chance.choice(places)
    where = "/".join(map(str, path))
    way = chance.choice(["odd", "odd", "odd", "number", "drop", "double", "wrap", "deep", "borrow"])
    if key == "class_name" or (way == "number" and isinstance(holder[key], str)):
        holder[key] = chance.choice(CLASSES)
    elif way == "number" and isinstance(holder[key], (int, float)):
        holder[key] *= chance.choice([-1, 2, 1000, 10**9, 0.5])
    elif way == "drop":
        del holder[key]
    elif way == "double" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif way == "wrap":
        holder[key] = chance.choice([[holder[key]], {"config": holder[key]}, str(holder[key])])
    elif way == "deep":
        for _ in range(chance.choice([5, 500])):
            holder[key] = [holder[key]]
    elif way == "borrow":
        holder[key] = copy.deepcopy(chance.choice(places)[0])
    else:
        holder[key] = chance.choice(ODD)
    return f"{way} at {where[:120]}"


def find_places(tree, path):
    """Yield (holder, key, path) of everything that is nested."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(pairs):
        yield tree, key, (*path, key)
        if isinstance(value, (dict, list)):
            yield from find_places(value, (*path, key))


def change_config(data, chance):
    """Change one place of the settings that an HDF5 file holds."""
    stream = io.BytesIO(data)
    try:
        with h5py.File(stream, "r+") as file:
            root = json.loads(file.attrs["model_config"])
            what = change_tree(root, chance)
            file.attrs["model_config"] = json.dumps(root)
    except (OSError, KeyError, ValueError, TypeError, RecursionError, RuntimeError, OverflowError):
        return change_bytes(data, chance)
    return stream.getvalue(), what


def change_weights(data, chance):
    """Change one attribute or data set of an HDF5 file."""
    stream = io.BytesIO(data)
    try:
        with h5py.File(stream, "r+") as file:
            what = change_node(file, chance)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, OverflowError):
        return change_bytes(data, chance)
    return stream.getvalue(), what


def change_node(file, chance):
    names = []
    file.visit(names.append)
    if not names:
        return "nothing"
    name = chance.choice(sorted(names))
    node = file[name]
    way = chance.choice(["drop", "numbers", "type", "shape", "huge", "link", "attribute", "group"])
    if way == "attribute" or isinstance(node, h5py.Group):
        return change_attribute(node if node.attrs else file, chance)
    array = np.asarray(node, "f4")
    del file[name]
    if way == "numbers":
        array = np.array(array)
        array.flat[: chance.choice([1, array.size])] = chance.choice([np.nan, np.inf, 1e38, 1e-45])
        file[name] = array
    elif way == "type":
        kind = chance.choice(TYPES)
        kind = h5py.string_dtype() if kind == "O" else kind
        file[name] = (
            np.zeros(array.shape, "S4") if kind == "S4" else array.astype("f8").astype("i8")
        )
        if kind not in ("S4", "i8"):
            del file[name]
            file.create_dataset(name, array.shape, kind)
    elif way == "shape":
        shapes = [array.shape[::-1], (*array.shape, 1), (array.size,), (), (0,), array.shape[1:]]
        file[name] = np.zeros(chance.choice(shapes), "f4")
    elif way == "huge":
        shape = chance.choice([(10**9,), (10**5, 10**5), (2**40, 2**20)])
        file.create_dataset(name, shape, "f4", chunks=(1024,) * len(shape))
    elif way == "link":
        links = (h5py.SoftLink(f"/{name}"), h5py.SoftLink("/"), h5py.ExternalLink("/dev/zero", "/"))
        file[name] = chance.choice(links)
    elif way == "group":
        file.create_group(name)
    return f"{way} of {name}"


def change_attribute(node, chance):
    if not node.attrs:
        return "nothing"
    key = chance.choice(sorted(node.attrs))
    odd = [b"", b"a", np.arange(3), np.nan, [b"a", b"b"], [b"a/../..", b"x"], "\x01", 10**9]
    value = chance.choice([None, *odd])
    if value is None:
        del node.attrs[key]
    else:
        node.attrs[key] = value
    return f"attribute {key}"


def change_member(data, chance):
    """Change a member of a .keras file, or the zip around it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except (OSError, ValueError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError):
        return change_bytes(data, chance)
    name = chance.choice(sorted(members))
    way = chance.choice(
        ["json"] * 5 + ["weights"] * 2 + ["drop", "rename", "bomb", "twice", "extra"]
    )
    if way in ("json", "weights"):
        name = "config.json" if way == "json" else "model.weights.h5"
        change = change_json if way == "json" else change_weights
        members[name], way = change(members.get(name, b""), chance)
    elif way == "drop":
        del members[name]
    elif way == "rename":
        members[chance.choice(["../BAD", "/tmp/BAD", "x", name.upper()])] = members.pop(name)
    elif way == "bomb":
        members[name] = bytes(chance.choice([10**6, 3 * 10**8]))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key, content in members.items():
            archive.writestr(key, content)
        if way == "extra":
            archive.writestr("assets/x.py", "import os; os.system('touch BAD')")
    return stream.getvalue(), f"{name}: {way}"


WAYS = {
    ".json": (change_json, change_json, change_json, change_bytes),
    ".h5": (change_config, change_config, change_config, change_weights, change_bytes),
    ".keras": (change_member, change_member, change_member, change_bytes),
}
