"""The nnet:: functions that the importer reads."""

from __future__ import annotations

from collections.abc import Mapping

from qapflow.importer import elements, matrix, moves, windows
from qapflow.importer.reader import Handler

HANDLERS: Mapping[str, Handler] = {
    "dense": matrix.read_dense,
    "conv_1d_cl": matrix.read_conv,
    "conv_2d_cl": matrix.read_conv,
    "pointwise_conv_1d_cl": matrix.read_conv,
    "pointwise_conv_2d_cl": matrix.read_conv,
    "depthwise_conv_1d_cl": matrix.read_depthwise,
    "depthwise_conv_2d_cl": matrix.read_depthwise,
    "separable_conv_1d_cl": matrix.read_separable,
    "separable_conv_2d_cl": matrix.read_separable,
    "pooling1d_cl": windows.read_pooling,
    "pooling2d_cl": windows.read_pooling,
    "global_pooling1d_cl": windows.read_global_pooling,
    "global_pooling2d_cl": windows.read_global_pooling,
    "linear": elements.read_linear,
    "relu": elements.read_relu,
    "relu1": elements.read_relu_max,
    "relu6": elements.read_relu_max,
    "relu_max": elements.read_relu_max,
    "leaky_relu": elements.read_leaky,
    "thresholded_relu": elements.read_thresholded,
    "prelu": elements.read_prelu,
    "hard_sigmoid": elements.read_hard,
    "hard_tanh": elements.read_hard,
    "binary_tanh": elements.read_binary,
    "normalize": elements.read_normalize,
    "normalize_binary_tanh": elements.read_normalized_step,
    "normalize_ternary_tanh": elements.read_normalized_step,
    "add": elements.merging("add"),
    "subtract": elements.merging("sub"),
    "multiply": elements.merging("mul"),
    "maximum": elements.merging("max"),
    "minimum": elements.merging("min"),
    "average": elements.read_average,
    "zeropad1d_cl": moves.read_padding,
    "zeropad2d_cl": moves.read_padding,
    "cropping1d_cl": moves.read_cropping,
    "cropping2d_cl": moves.read_cropping,
    "clone_stream": moves.read_copy,
    "repack_stream": moves.read_copy,
    "transpose": moves.read_transpose,
    "transpose_2d": moves.read_transpose,
    "concatenate1d": moves.read_concatenate,
    "concatenate2d": moves.read_concatenate,
    "concatenate3d": moves.read_concatenate,
    "resize_nearest": moves.read_resize,
}
