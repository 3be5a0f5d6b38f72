"""Sigmoid and tanh by straight lines: never further off than they say, and that is little."""

import numpy as np
import pytest

from qapflow.frontend.quantizers.lines import SMOOTH, add_lines
from qapflow.frontend.quantizers.site import Site
from qapflow.ir.builder import NetBuilder
from qapflow.ir.check import check
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Table

KINDS = (
    Fixed(True, 20, 12),  # wider and less fine than the result
    Fixed(True, 30, 20),
    Fixed(True, 22, 20),  # inside the curve
    Fixed(False, 20, 12),
    Fixed(True, 14, 10),
    Fixed(True, 20, 4),  # coarse: one table is enough
    Fixed(True, 40, 37),
    Fixed(True, 9, 9),
)


def curve(name, kind, frac):
    """Return the network, the codes of its input and its values, and what it says."""
    builder = NetBuilder()
    site = Site(builder, builder.add_input("x", (1,), kind), "act", "act")
    made = add_lines(site, name, frac)
    net = builder.finish((made.edge,))
    assert check(net) == []
    near = np.arange(max(kind.lo, -(1 << 16)), min(kind.hi, 1 << 16))
    far = np.linspace(kind.lo, kind.hi, 100_001).astype(np.int64)
    codes = np.unique(np.concatenate([near, far]))
    made_codes = interpret(net, {"x": codes[:, None]})[made.edge][:, 0]
    return net, codes, net.edge(made.edge).type.decode(made_codes), made


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("frac", [10, 16, 20])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_no_value_is_further_off_than_stated(name, frac, kind):
    _, codes, values, made = curve(name, kind, frac)
    said = float(made.reason.rpartition(" ")[2])
    worst = np.abs(values - SMOOTH[name].function(kind.decode(codes))).max()
    assert worst <= 1.05 * said  # two digits are written
    assert not made.exact
    assert said < 3 * 2.0**-frac
    assert values.min() >= SMOOTH[name].low
    assert values.max() <= 1


@pytest.mark.parametrize("name", SMOOTH)
def test_tables_stay_small(name):
    net, *_, made = curve(name, Fixed(True, 30, 20), 16)
    sizes = [node.op.values.codes.size for node in net.nodes if isinstance(node.op, Table)]
    assert sizes == [1024, 1024]
    assert f"{name} from lines of 1024 pieces" in made.reason


def test_a_coarse_input_needs_one_table_only():
    net, *_, made = curve("tanh", Fixed(True, 20, 4), 16)
    assert [node.op.values.codes.size for node in net.nodes if isinstance(node.op, Table)] == [256]
    assert "tanh from a table of 256 entries" in made.reason
