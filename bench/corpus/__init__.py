"""The table of a whole collection of models: what is built, how exactly, how fast."""
