"""Which handler translates which class, and what to say of classes without one."""

from __future__ import annotations

from collections.abc import Mapping

from qapflow.frontend.layers import activation, linear, merge, norm, pool, shape
from qapflow.frontend.layers.work import Handler

HANDLERS: Mapping[str, Handler] = {
    "Dense": linear.dense,
    "QDense": linear.dense,
    "Conv1D": linear.conv,
    "Conv2D": linear.conv,
    "QConv1D": linear.conv,
    "QConv2D": linear.conv,
    "DepthwiseConv1D": linear.depthwise_conv,
    "DepthwiseConv2D": linear.depthwise_conv,
    "QDepthwiseConv2D": linear.depthwise_conv,
    "SeparableConv1D": linear.separable_conv,
    "SeparableConv2D": linear.separable_conv,
    "QSeparableConv1D": linear.separable_conv,
    "QSeparableConv2D": linear.separable_conv,
    "QConv2DBatchnorm": linear.conv_batchnorm,
    "QDepthwiseConv2DBatchnorm": linear.depthwise_conv_batchnorm,
    "BatchNormalization": norm.batch_norm,
    "BatchNormalizationV1": norm.batch_norm,
    "QBatchNormalization": norm.batch_norm,
    "Activation": activation.activation,
    "QActivation": activation.activation,
    "ReLU": activation.relu,
    "LeakyReLU": activation.leaky_relu,
    "ELU": activation.elu,
    "ThresholdedReLU": activation.thresholded_relu,
    "PReLU": activation.prelu,
    "Softmax": activation.softmax,
    "MaxPooling1D": pool.max_pool,
    "MaxPooling2D": pool.max_pool,
    "AveragePooling1D": pool.average_pool,
    "AveragePooling2D": pool.average_pool,
    "QAveragePooling2D": pool.average_pool,
    "GlobalMaxPooling1D": pool.global_max_pool,
    "GlobalMaxPooling2D": pool.global_max_pool,
    "GlobalAveragePooling1D": pool.global_average_pool,
    "GlobalAveragePooling2D": pool.global_average_pool,
    "QGlobalAveragePooling2D": pool.global_average_pool,
    "Flatten": shape.flatten,
    "Reshape": shape.reshape,
    "Permute": shape.permute,
    "RepeatVector": shape.repeat_vector,
    "ZeroPadding1D": shape.zero_pad,
    "ZeroPadding2D": shape.zero_pad,
    "Cropping1D": shape.crop,
    "Cropping2D": shape.crop,
    "UpSampling1D": shape.upsample,
    "UpSampling2D": shape.upsample,
    "Concatenate": merge.concatenate,
    "Add": merge.merge("add"),
    "Subtract": merge.merge("sub"),
    "Multiply": merge.merge("mul"),
    "Maximum": merge.merge("max"),
    "Minimum": merge.merge("min"),
    "Average": merge.average,
    "Dropout": shape.keep,
    "SpatialDropout1D": shape.keep,
    "SpatialDropout2D": shape.keep,
    "GaussianDropout": shape.keep,
    "GaussianNoise": shape.keep,
    "AlphaDropout": shape.keep,
    "ActivityRegularization": shape.keep,
}

# Classes that pass their input on to whoever quantizes it next.
TRANSPARENT = ("Flatten", "Reshape", "Dropout", "Permute", "Activation:linear")

HINTS: Mapping[str, str] = {
    "Lambda": "replace the Lambda by Keras layers: its code is never run, so it cannot be built",
    "TFOpLambda": "replace the TensorFlow operation by a Keras layer (Add, Multiply, Reshape ...)",
    "SlicingOpLambda": "replace slicing by Cropping, or split the model's inputs",
    "LSTM": "recurrent layers are not built yet",
    "GRU": "recurrent layers are not built yet",
    "SimpleRNN": "recurrent layers are not built yet",
    "PruneLowMagnitude": "strip the wrapper with tfmot.sparsity.keras.strip_pruning",
    "QuantizeWrapperV2": "models of tfmot's quantize_model are not built: quantize with QKeras",
    "Masking": "masking depends on the data: give sequences of fixed length",
}
