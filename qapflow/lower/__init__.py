"""From the network to an HLS project; the only package that imports hls4ml."""
