"""Recipes: what a training does, as YAML, checked, with every default."""
