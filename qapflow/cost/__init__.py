"""What a network costs in bits: BOPs, EBOPs, signed digits, nonzeros, memory footprint."""
