"""A build: its settings, its folder as a cache, and the steps that fill it."""
