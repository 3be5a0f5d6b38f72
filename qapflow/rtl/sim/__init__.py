"""Simulation of the written hardware: bit for bit, with latency and interval counted."""
