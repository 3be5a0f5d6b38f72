"""qapflow: from a trained Keras or QKeras model to verified FPGA firmware with a report."""

__version__ = "0.1.0"
