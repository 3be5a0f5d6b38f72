"""Proof by running: Keras, the interpreter and the C simulation, code by code."""
