"""Rewrites of the network that never change what it computes."""
