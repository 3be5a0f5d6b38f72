"""Zeros: single weights by masks, neurons and channels that leave the saved layers."""
