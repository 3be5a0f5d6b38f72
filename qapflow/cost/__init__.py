"""What a network costs in bits: BOPs, EBOPs, signed digits, nonzeros, memory footprint."""

from qapflow.cost.bops import LayerShape, bops, dense_shapes
from qapflow.cost.declared import declared_bits
from qapflow.cost.figures import BoardEstimate, Cost, LayerCost, NetCost
from qapflow.cost.measure import measure
from qapflow.cost.shapes import read_shapes

__all__ = [
    "BoardEstimate",
    "Cost",
    "LayerCost",
    "LayerShape",
    "NetCost",
    "bops",
    "declared_bits",
    "dense_shapes",
    "measure",
    "read_shapes",
]
