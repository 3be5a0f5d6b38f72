"""Synthesis without a licence: Yosys counts the cells of Verilog, module by module."""
