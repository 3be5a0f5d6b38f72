"""Cells of the project's own models by Yosys: against recorded baselines, and by size."""
