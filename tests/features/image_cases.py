"""Convolution, pooling and other layers of images and rows in the feature matrix."""

from tests.features.case import FLOAT32, Q6, RELU, Cases, act, behind_conv, conv, first_conv, image

CASES = Cases()
add = CASES.add

# Convolutions
add("conv valid", first_conv())
add("conv same", first_conv(padding="same"))
add("conv stride2", first_conv(strides=2))
add("conv dilation2", first_conv(dilation_rate=2))
add("conv binary", first_conv(kernel="binary(alpha=1)"))
add("conv po2", first_conv(kernel="quantized_po2(4)"))
add("conv alpha auto", first_conv(kernel="quantized_bits(6,0,alpha='auto')"), *FLOAT32)
add("conv ternary auto_po2", first_conv(kernel="ternary(alpha='auto_po2')"))
add("conv1x1 pointwise", first_conv(size=1))

BOTH = {"kernel_quantizer": Q6, "bias_quantizer": Q6}
DEEP = {"depthwise_quantizer": Q6, "bias_quantizer": Q6}
SEPARABLE = {**DEEP, "pointwise_quantizer": Q6}

ROWS = (9, 3)
add("QConv1D", image(lambda k: k.q.QConv1D(4, 3, **BOTH), shape=ROWS))
add("QConv1D causal", image(lambda k: k.q.QConv1D(4, 3, padding="causal", **BOTH), shape=ROWS))
add("QSeparableConv1D", image(lambda k: k.q.QSeparableConv1D(4, 3, **SEPARABLE), shape=ROWS))
add("QDepthwiseConv2D", image(lambda k: k.q.QDepthwiseConv2D(3, **DEEP)))
add("QSeparableConv2D", image(lambda k: k.q.QSeparableConv2D(3, 3, **SEPARABLE)))
add(
    "QMobileNetSeparableConv2D",
    image(
        lambda k: k.q.QMobileNetSeparableConv2D(
            3, (3, 3), depthwise_activation=k.q.quantized_relu(6, 2), name="mobile", **SEPARABLE
        )
    ),
)
add(
    "QConv2DTranspose",
    image(lambda k: k.q.QConv2DTranspose(3, 3, strides=2, padding="same", **BOTH), shape=(3, 3, 2)),
)

# Normalization
add("conv BatchNorm", image(conv, lambda k: k.L.BatchNormalization()))
add("conv QBatchNorm", image(conv, lambda k: k.q.QBatchNormalization()))
add("QConv2DBatchnorm", image(lambda k: k.q.QConv2DBatchnorm(3, 3, **BOTH)))
add(
    "QConv2DBatchnorm ema folding",
    image(lambda k: k.q.QConv2DBatchnorm(3, 3, folding_mode="ema_stats_folding", **BOTH)),
)
add("QDepthwiseConv2DBatchnorm", image(lambda k: k.q.QDepthwiseConv2DBatchnorm(3, **DEEP)))


def dense_batchnorm(k):
    """QKeras 0.9.0 has no QDenseBatchnorm: a 1x1 QConv2DBatchnorm computes the same."""
    x = k.keras.Input((1, 1, 8))
    h = k.q.QConv2DBatchnorm(12, 1, **BOTH)(x)
    from tests.features.case import dense

    return k.keras.Model(x, dense(k, 5)(k.L.Flatten()(act(k)(h))))


add("QDenseBatchnorm", dense_batchnorm)

# Pooling
add("MaxPool", behind_conv(lambda k: k.L.MaxPooling2D(2)))
add("AvgPool2x2", behind_conv(lambda k: k.L.AveragePooling2D(2)))
add("AvgPool3x3", behind_conv(lambda k: k.L.AveragePooling2D(3, strides=1)))
add("GlobalAvgPool", behind_conv(lambda k: k.L.GlobalAveragePooling2D()))
add("GlobalMaxPool", behind_conv(lambda k: k.L.GlobalMaxPooling2D()))
AVERAGE = {"average_quantizer": "quantized_bits(8,0,alpha=1)", "activation": RELU}
add("QAveragePooling2D", behind_conv(lambda k: k.q.QAveragePooling2D(2, **AVERAGE)))
add("QGlobalAveragePooling2D", behind_conv(lambda k: k.q.QGlobalAveragePooling2D(**AVERAGE)))

# Moving
add("UpSampling nearest", behind_conv(lambda k: k.L.UpSampling2D(2)))
add(
    "UpSampling bilinear",
    behind_conv(lambda k: k.L.UpSampling2D(2, interpolation="bilinear")),
)
add("ZeroPadding", behind_conv(lambda k: k.L.ZeroPadding2D(1)))
add("Cropping2D", behind_conv(lambda k: k.L.Cropping2D(1)))
