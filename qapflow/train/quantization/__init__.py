"""Quantizers in a Keras model: which, from which epoch, with which binary points."""
