"""Estimates against reports of real tools: calibration, cross-validation, and what others say."""
