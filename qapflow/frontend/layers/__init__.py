"""One function a Keras layer: from its configuration and weights to operations."""
