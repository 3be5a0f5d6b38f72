"""Training: pruning during quantization-aware training. Needs the [train] extra."""
