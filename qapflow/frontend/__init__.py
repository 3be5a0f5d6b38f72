"""From a model file to the integer network, without importing Keras."""
