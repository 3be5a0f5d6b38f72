"""Random networks as recipes: plain data from which Keras builds the same model again.

A recipe is {"seed", "wild", "inputs": [[name, shape, type]], "steps": [...], "outputs": [names]};
a step is {"name", "class", "from": [names], "arguments": {...}, "style": weights}. A name that
occurs twice as "layer" is a shared layer.
"""

import math

from tests.fuzz import choices

MAX_VALUES = 400  # elements of an edge, so that the C simulation compiles in seconds
MAX_WEIGHTS = 1500
TYPES = ("s8.4", "s6.2", "u8.8", "u5.0", "s8.0", "s10.7", "s3.1", "u1.0", "s12.6")
SHAPES = ((5,), (9,), (16,), (1,), (6, 3), (9, 2), (12, 1), (5, 4), (6, 6, 2), (5, 7, 1), (4, 4, 3))


class Grower:
    """Grows one recipe, with the Keras tensors of its edges beside it."""

    def __init__(self, chance, make_layer, make_input):
        self.chance, self.make_layer = chance, make_layer
        self.wild = chance.random() < 0.35
        self.recipe = {"wild": self.wild, "inputs": [], "steps": [], "outputs": []}
        self.tensors = {}
        for number in range(chance.choice([1, 1, 1, 1, 2, 3])):
            self.add_input(number, make_input)
        self.edge = self.recipe["inputs"][0][0]

    def add_input(self, number, make_input):
        shape = self.chance.choice(SHAPES)
        if number and self.chance.random() < 0.7:  # so that they can be merged
            shape = self.recipe["inputs"][0][1]
        name = f"in{number}"
        self.recipe["inputs"].append([name, list(shape), self.chance.choice(TYPES)])
        self.tensors[name] = make_input(name, shape)

    def shape(self, edge):
        return tuple(self.tensors[edge].shape[1:])

    def add(self, kind, *sources, again="", **arguments):
        """Add a layer if Keras takes it and it is small; tell whether it was added."""
        name = again or f"{kind.lower()}_{len(self.recipe['steps'])}"
        step = {"name": f"e{len(self.recipe['steps'])}", "class": kind, "layer": name}
        step |= {"from": list(sources), "arguments": arguments}
        step["style"] = self.chance.choice(choices.STYLES)
        try:
            made = self.make_layer(step, [self.tensors[source] for source in sources])
        except (ValueError, TypeError, IndexError, AssertionError, ZeroDivisionError):
            return False  # Keras refuses it: a window that does not fit, an axis that is not there
        shape = tuple(made.shape[1:])
        if None in shape or 0 in shape or math.prod(shape) > MAX_VALUES:
            return False
        self.recipe["steps"].append(step)
        self.tensors[step["name"]] = made
        self.edge = step["name"]
        return True

    def others(self, shape=None):
        """Return earlier edges, of one shape if given."""
        return [n for n in self.tensors if n != self.edge and shape in (None, self.shape(n))]

    def finish(self):
        used = {source for step in self.recipe["steps"] for source in step["from"]}
        loose = [s["name"] for s in self.recipe["steps"] if s["name"] not in used]
        self.recipe["outputs"] = loose or [self.edge]
        if self.chance.random() < 0.1:
            inner = [s["name"] for s in self.recipe["steps"] if s["name"] in used]
            self.recipe["outputs"] += self.chance.sample(inner, min(1, len(inner)))
        return self.recipe


def grow(chance, make_layer, make_input, more=False):
    """Return a random recipe; `chance` is a random.Random, `more` takes layers of all kinds."""
    from tests.fuzz import layers

    grower = Grower(chance, make_layer, make_input)
    wanted = chance.choice([1, 1, 2, 2, 3, 4, 5, 6, 8, 10])
    for _ in range(40):
        if len(grower.recipe["steps"]) >= wanted:
            break
        rank = len(grower.shape(grower.edge))
        kinds = [
            kind
            for kind, ranks in (layers.MORE_KINDS if more else layers.KINDS)
            for _ in ranks
            if rank in ranks
        ]
        before = grower.edge
        getattr(layers, chance.choice(kinds))(grower)
        if chance.random() < 0.12:  # a branch: go on from somewhere else
            grower.edge = chance.choice([before, *grower.others()])
    if not grower.recipe["steps"]:
        grower.add("ReLU", grower.edge)
    return grower.finish()
